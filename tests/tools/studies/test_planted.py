"""The texts of the planted signal, and the table of what searches made of them."""

import collections
import json

import numpy as np
import pytest

from tools.studies import planted


def test_a_symbol_comes_back_behind_its_delay():
    for delay in planted.DELAYS:
        lines = [line.split() for line in planted.text(delay, 3000, 0).splitlines()]
        assert 3000 <= sum(len(words) + 1 for words in lines) < 3000 + delay + 3
        for first, *between, last in lines:
            assert first == last and first.startswith("s")
            assert between == ["."] * (len(between) - 1) + ["?"]
        assert {len(words) - 2 for words in lines} == set(range(1, delay + 1))
        assert len({words[0] for words in lines}) == planted.SYMBOLS
    assert planted.text(1, 300, 0) == planted.text(1, 300, 0) != planted.text(1, 300, 1)


def test_the_least_loss_is_what_is_random_in_a_line():
    lines = [line.split() for line in planted.text(20, 300_000, 0).splitlines()]
    tokens = sum(len(words) + 1 for words in lines)
    of_lines = collections.Counter((words[0], len(words)) for words in lines)
    shares = np.array(list(of_lines.values())) / len(lines)
    entropy = -np.sum(shares * np.log(shares)) * len(lines) / tokens
    assert planted.least_nats(20, recalled=True) == pytest.approx(entropy, rel=0.01)
    surprise = np.log(planted.SYMBOLS) * len(lines) / tokens
    assert planted.least_nats(20, recalled=False) == pytest.approx(entropy + surprise, rel=0.01)


def test_every_text_that_the_study_names_is_written(root, tmp_path):
    planted.write(tmp_path)
    named = (root / "gin" / "studies" / "planted.gin").read_text()
    assert len(list(tmp_path.iterdir())) == 6
    assert all(f"'{path.name}'" in named for path in tmp_path.iterdir())


def test_the_table_counts_the_searches_that_kept_a_switch(tmp_path, capsys, monkeypatch):
    runs = []
    for delay, seed, kept in ((1, 0, False), (20, 0, True), (20, 1, False), (20, 2, True)):
        run = f"search/train_file={planted.FILE.format(delay=delay, split='train')}-seed{seed}"
        switch = {"w": 0.7 if kept else 0.0, "gamma": 0.5, "saliency": 0.1, "kept": kept}
        (tmp_path / run).mkdir(parents=True)
        summary = {"valid_nats": 2.0, "health": {"switches": {"memory": switch}}}
        (tmp_path / run / "summary.json").write_text(json.dumps(summary))
        runs.append({"run": run, "seed": seed, "state": "done"})
    runs.append({"run": "search/x", "seed": 3, "state": "failed"})
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": runs}))
    monkeypatch.setattr("sys.argv", ["planted", f"--sweep={tmp_path}", f"--out={tmp_path}/rows.csv"])
    assert planted.main() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    found = [row for row in rows if row[1] == "nats:"]
    assert [row[-1] for row in found] == ["2.000", "2.000"] and "0.376 or 0.530" in " ".join(found[1])
    assert [row for row in rows if row[1] != "nats:"] == [
        ["1", "memory", "0", "of", "1", "0.00"],
        ["20", "memory", "2", "of", "3", "0.70", "0.00", "0.70"],
    ]
    written = (tmp_path / "rows.csv").read_text().splitlines()
    assert written[0] == "delay,seed,valid_nats,switch,w,gamma,saliency,kept"
    assert written[-1] == "20,2,2.0,memory,0.7,0.5,0.1,True"
    assert len(written) == 5
