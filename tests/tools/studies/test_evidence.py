"""The numbers of docs/evidence.md: how they are computed, and that the CSV holds all that they need."""

import itertools
import json
import math

import numpy as np
import pytest

from bayesnas_tf.space.memory import published
from tools.studies import evidence


def row(group, candidate, valid, test=None):
    test = valid + 0.05 if test is None else test
    return evidence.Row(group, candidate, 0, "cell", 380000, 100, 4, valid, test, 1.5, 200, "abc")


def test_the_best_of_n_is_the_mean_over_all_draws():
    draw = np.random.default_rng(0)
    valid, test = draw.normal(size=7).tolist(), draw.normal(size=7).tolist()
    for count in (1, 2, 5, 7):
        draws = [min(chosen, key=lambda k: valid[k]) for chosen in itertools.combinations(range(7), count)]
        expected = np.mean([test[k] for k in draws])
        assert evidence.best_of(valid, test, count) == pytest.approx(expected)
    with pytest.raises(ValueError, match="there are 7"):
        evidence.best_of(valid, test, 8)


def test_ri_is_in_perplexity_and_its_interval_holds_it():
    found, drawn = [3.70, 3.72, 3.71], [3.80, 3.85, 3.79, 3.83]
    gain = evidence.relative_improvement(found, drawn)
    ppl = [np.mean(np.exp(values)) for values in (found, drawn)]
    assert gain.value == pytest.approx(100 * (ppl[1] - ppl[0]) / ppl[1])
    assert gain.low < gain.value < gain.high and gain.low > 0.0
    assert evidence.relative_improvement(found, found).value == 0.0
    assert evidence.better(found, drawn) == 1.0 and evidence.better(found, found) == 0.5


def test_of_one_distribution_about_one_in_twenty_intervals_excludes_0():
    draw = np.random.default_rng(1)
    gains = [evidence.relative_improvement(*draw.normal(3.8, 0.02, (2, 15)), seed=k) for k in range(200)]
    assert 2 <= sum(gain.low > 0.0 or gain.high < 0.0 for gain in gains) <= 28


def test_the_table_is_a_function_of_the_csv(tmp_path):
    draw = np.random.default_rng(2)
    rows = [row("bayesnas", f"s{k}", v) for k, v in enumerate(draw.normal(3.76, 0.01, 10))]
    rows += [row("enas", f"e{k}", v) for k, v in enumerate(draw.normal(3.81, 0.02, 10))]
    rows += [row(evidence.RANDOM, f"r{k}", v) for k, v in enumerate(draw.normal(3.81, 0.02, 20))]
    evidence.write(rows, tmp_path / "docs" / "cells.csv")
    again = evidence.read(tmp_path / "docs" / "cells.csv")
    assert sorted(again) == sorted(rows)
    table = evidence.table(again)
    assert table == evidence.table(rows)
    lines = {line[:16].strip(): line.split() for line in table.splitlines()}
    assert float(lines["bayesnas"][-1]) < 1e-6 < 0.05 < float(lines["enas"][-1])
    assert float(lines["best of 8"][3]) < float(lines["best of 2"][3])


def test_a_training_without_a_result_counts_as_the_worst():
    rows = [row("bayesnas", "a", 3.7), row("bayesnas", "b", math.inf), row(evidence.RANDOM, "r", 3.9)]
    assert [r.test_nats for r in evidence.judged(rows)["bayesnas"]] == pytest.approx([3.75, 3.95])


def test_rows_tell_where_a_cell_comes_from(tmp_path):
    cell = published.named("LSTM").to_dict()
    trained = {"genotype": cell, "valid_nats": 3.7, "test_nats": 3.8, "seconds": {"train": 2.0}}
    drawn = {**trained, "genotype": {**cell, "provenance": {"draw": 1}}}
    found = {"strategy": "enas", "genotype": cell, "tokens": {"train": 100, "architecture": 20}}
    runs = [
        {"stage": "search", "candidate": "S", "seed": 0, "state": "done", "summary": found},
        {"stage": "rank", "candidate": "S", "seed": 0, "state": "done", "summary": trained},
        {"stage": "rank", "candidate": "memory-random-3", "seed": 0, "state": "done", "summary": trained},
        {"stage": "rank", "candidate": "S-1", "seed": 0, "state": "done", "summary": drawn},
        {"stage": "rank", "candidate": "LSTM", "seed": 0, "state": "failed", "summary": None},
        {"stage": "rank", "candidate": "GRU", "seed": 0, "state": "waiting", "summary": None},
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": runs}))
    rows = evidence.rows_of(tmp_path)
    groups = [("enas", 120), (evidence.RANDOM, 0), (evidence.DRAWN, 0), ("LSTM", 0)]
    assert [(r.group, r.search_tokens) for r in rows] == groups
    assert rows[3].test_nats == evidence.FAILED
    named = [r.group for r in evidence.rows_of(tmp_path, "gradual")]
    assert named == ["gradual", *(group for group, _ in groups[1:])]
