"""The command from flags to files: page, CSV, errors, and nothing of TensorFlow."""

import csv
import html.parser
import os
import re
import subprocess
import sys

import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import report as command
from bayesnas_tf.report import page
from tests.report import builder

SECTIONS = ("short", "results", "budgets", "answers", "strategies", "progress", "ranks", "sizes", "cells",
            "health", "failures", "unread")  # fmt: skip
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def report(*arguments):
    """The exit code of `report`."""
    return config.run_command(command.run_report, "report", list(arguments))


class Tags(html.parser.HTMLParser):
    """Counts tags and attributes of a page; keeps its ids and what it points to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.links = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "action")]


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_report_is_one_page_and_three_tables_beside_its_first_folder(sweep, capsys):
    assert report(f"--runs={sweep}") == 0
    out = capsys.readouterr().out
    assert f"page       {sweep}/report.html" in out
    assert "4 searches, 21 trainings of 1 configuration, 1 run without a result" in out
    seen = Tags((sweep / "report.html").read_text(encoding="utf-8"))
    own = [name for name in seen.ids if not re.fullmatch("[mp][0-9a-f]{10}", name)]  # others are of charts
    assert [name for name in own if not name.endswith("-title")] == list(SECTIONS)
    assert len(seen.ids) == len(set(seen.ids))
    runs, cells, answers = (rows(sweep / f"report_{name}.csv") for name in ("runs", "cells", "comparisons"))
    assert (len(runs), len(cells), len(answers)) == (25, 7, 5)
    assert {row["kind"] for row in runs} == {"search", "evaluate"}
    assert {row["at_printed_budget"] for row in cells} == {"False"}
    best = min(cells, key=lambda row: float(row["valid_mean"]))
    tests = [
        float(row["test_ppl"])
        for row in runs
        if row["kind"] == "evaluate" and row["genotype"] == best["genotype"]
    ]
    assert float(best["test_mean"]) == pytest.approx(sum(tests) / 3)
    assert best["seeds"] == "0 1 2"


def test_the_same_runs_give_the_same_files(sweep, tmp_path):
    for name in ("a", "b"):
        assert report(f"--runs={sweep}", f"--out={tmp_path}/{name}/x.html") == 0
    for name in ("x.html", "x_runs.csv", "x_cells.csv", "x_comparisons.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_page_points_to_nothing_outside(content):
    seen = Tags(page.html(content))
    assert all(link.startswith(("data:", "#")) for link in seen.links)
    assert not {"script", "iframe", "object", "embed"} & set(seen.tags)
    assert seen.tags.count("meta") == 5


def test_the_failed_run_stands_there_with_its_error(content):
    assert "error: the loss is not finite. Lower the rate" in page.html(content)
    (failure,) = content.collection.failures
    assert (failure.state, failure.attempts) == ("failed", 3)


def test_texts_from_files_stay_texts(tmp_path, capsys):
    cell = builder.found_cell()
    cell = type(cell)(
        cell.nodes, cell.output, EVIL + "\ud800\0", {"config": EVIL, "lambda_w": 0.17, "strategy": EVIL}
    )
    builder.search(tmp_path / "a <b>&", 0, genotype=cell, norm=EVIL)
    builder.evaluate(tmp_path / "e", cell, 0, corpus=EVIL, **{"A.b": EVIL})
    builder.evaluate(tmp_path / "f", EVIL, 0, corpus=EVIL)
    builder.evaluate(tmp_path / "g", "=1+1", 0)
    config.write_json(tmp_path / "sweep.json", {"runs": [{"run": EVIL, "state": "failed", "error": EVIL}]})
    assert report(f"--runs={tmp_path}") == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen = Tags(text)
    assert "&lt;script&gt;" in text
    assert "script" not in seen.tags
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert seen.tags.count("img") == 1
    assert {row["cell"] for row in rows(tmp_path / "report_runs.csv")} >= {EVIL, "'=1+1"}


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], 2, "report needs runs. Add --runs=DIR"),
        (["--runs=rums"], 1, "no folder rums. Named in --runs (did you mean 'runs'?)"),
        (["--runs=runs"], 1, "no run in runs. Give a run directory"),
        (["--runs=runs", "--gin_file=ptb.gin"], 2, "Remove --gin_file"),
    ],
)
def test_a_report_says_what_it_lacks(tmp_path, monkeypatch, capfd, arguments, code, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "notes").mkdir(parents=True)
    (tmp_path / "runs" / "notes" / "a.txt").write_text("x")
    assert report(*arguments) == code
    err = capfd.readouterr().err
    assert err.startswith("error: ")
    assert part in err
    assert err.count("\n") == 1


def test_a_page_that_cannot_be_written_is_one_line(sweep, tmp_path, capfd):
    (tmp_path / "file").write_text("x")
    assert report(f"--runs={sweep}", f"--out={tmp_path}/file/x.html") == 1
    assert "Choose another --out" in capfd.readouterr().err


def test_a_dry_run_writes_nothing(sweep, tmp_path, capsys):
    assert report(f"--runs={sweep}", f"--out={tmp_path}/x.html", "--dry_run") == 0
    assert not list(tmp_path.iterdir())
    assert "4 searches" in capsys.readouterr().out


def test_the_command_needs_no_tensorflow(sweep, tmp_path, root):
    command_line = [
        "-X",
        "importtime",
        "-m",
        "bayesnas_tf.report",
        f"--runs={sweep}",
        f"--out={tmp_path}/x.html",
    ]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, *command_line], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-300:]
    assert (tmp_path / "x.html").exists()
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "jinja2" in imported
    assert not imported & {"tensorflow", "keras", "tensorflow_datasets"}


def test_one_search_alone_is_a_report_that_says_what_it_cannot(tmp_path):
    builder.search(tmp_path / "run")
    assert report(f"--runs={tmp_path}/run") == 0
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for sentence in (
        "No training of a cell has ended here.",
        "Never trained here",
        "No searched cell was trained here, so that",
    ):
        assert sentence in text
