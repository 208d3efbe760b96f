"""`tools.studies.baselines`: what it runs, and its table of what lies in the run directories."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from tools.studies import baselines


def test_every_baseline_file_of_ptb_is_a_row(root):
    files = {path.stem for path in (root / "gin" / "baselines").glob("*.gin")}
    assert set(baselines.SYSTEMS) == {name for name in files if not name.endswith("_wikitext2")}


def test_a_baseline_has_its_file_and_a_genotype_the_protocol_of_cells():
    given = Namespace(out=Path("o"), gin_file=["s.gin"], gin_param=["A.b=1"], seed=3, data_dir="d")
    shared = ["--gin_file=s.gin", "--gin_param=A.b=1"]
    where = ["--seed=3", "--data_dir=d"]
    assert baselines.command("nas", given)[3:] == [
        "--gin_file=baselines/nas.gin",
        *shared,
        "--run_dir=o/nas",
        *where,
    ]
    assert baselines.command("runs/x.json", given)[3:] == [
        "--gin_file=ptb_eval.gin",
        "--genotype=runs/x.json",
        *shared,
        "--run_dir=o/x",
        *where,
    ]


def test_a_row_tells_size_speed_curve_and_perplexity(tmp_path):
    summary = {"parameters": 1234, "valid_ppl": 80.125, "test_ppl": 78.0}
    summary |= {"tokens_per_second": 500.0, "seconds": {"train": 4.0}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    rows = [{"step": 10 * k, "split": "train", "nats": float(9 - k)} for k in range(1, 9)]
    rows += [{"step": 80, "split": "valid", "nats": 4.0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    expected = "| 1,234 | 80 | 2,000 | 500 | 7.50 5.50 3.50 1.50 | 80.1 / 78.0 |"
    assert baselines.row(tmp_path) == f"| {tmp_path.name} {expected}"


def test_cells_of_searches_are_named_by_their_run_and_no_two_share_a_folder(capsys):
    assert baselines.folder("runs/darts1/genotype.json") == "darts1"
    with pytest.raises(SystemExit):
        baselines.main(["a/cell.json", "b/cell.json"])
    assert "share the run directory 'cell'" in capsys.readouterr().err


def test_a_run_that_fails_ends_it_behind_the_table_of_what_ended(tmp_path, capsys, monkeypatch):
    codes = iter([0, 3])
    monkeypatch.setattr("subprocess.run", lambda command: Namespace(returncode=next(codes)))
    monkeypatch.setattr(baselines, "row", lambda directory: f"| {directory.name} |")
    assert baselines.main([f"--out={tmp_path}"]) == 3
    assert capsys.readouterr().out.splitlines()[2:] == ["| rhn |"]
