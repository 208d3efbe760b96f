"""How a search's own score is compared with training."""

import sys

import numpy as np
import pytest

from bayesnas_tf.data import storage
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space import known
from bayesnas_tf.space.memory.space import Memory
from tools.studies import agreement, evidence

SPACE = Memory(6)
NAMES = [f"memory-random-{k}" for k in range(1, 9)]


def posterior(path, saliency):
    """Two updates, the last with these saliencies."""
    w = np.full((2, *saliency.shape), 2.0)
    h = np.stack([np.full(saliency.shape, 9.0), saliency / 2.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_arrays(path, {"w": w, "h": np.where(SPACE.sites.exists, h, np.nan)})
    return path


@pytest.fixture
def drawn():
    return np.random.default_rng(0).gamma(1.0, size=SPACE.sites.exists.shape)


def test_the_score_is_the_sum_over_what_the_cell_takes(tmp_path, drawn):
    rows = agreement.scores("s", posterior(tmp_path / "p.npz", drawn), dict.fromkeys(NAMES, 3.8))
    for row in rows:
        cell, sites = known.named(row.cell), SPACE.sites
        rows_of_edges = {(s, t): r for r, (s, t) in enumerate(sites.pairs()) if r not in sites.switches}
        edges = sum(
            drawn[rows_of_edges[node.source, number], sites.options.index(node.op)]
            for number, node in enumerate(cell.nodes, start=1)
        )
        on = [*cell.switches, *(f"product {number}" for number in cell.gated)]
        switches = sum(drawn[row, -1] for row, name in sites.switches.items() if name in on)
        assert row.of_edges == pytest.approx(edges) and row.of_switches == pytest.approx(switches)
        assert row.score == pytest.approx(edges + switches)


def test_the_best_score_on_the_best_cell_is_tau_of_1(tmp_path, drawn):
    path = posterior(tmp_path / "p.npz", drawn)
    scored = agreement.scores("s", path, dict.fromkeys(NAMES, 0.0))
    for sign in (1, -1):
        rows = [row._replace(test_nats=-sign * row.score) for row in scored]
        assert agreement.taus(rows)["score"] == pytest.approx(sign)


def test_the_command_scores_every_search_and_writes_what_it_counted(tmp_path, drawn, monkeypatch, capsys):
    for name in ("a", "b"):
        posterior(RunFiles(tmp_path / "sweep" / "search" / name).posterior, drawn)
    of_csv = [
        evidence.Row(evidence.RANDOM, name, 0, "cell", 1, 1, 4, 3.7, 3.8 + k / 100, 1.0, 0, "c")
        for k, name in enumerate(NAMES)
    ]
    other = of_csv[0]._replace(group="bayesnas", candidate="found")
    evidence.write([*of_csv, other], tmp_path / "cells.csv")
    out = tmp_path / "new" / "rows.csv"
    flags = {"sweep": tmp_path / "sweep", "cells": tmp_path / "cells.csv", "out": out}
    monkeypatch.setattr(sys, "argv", ["agreement", *(f"--{name}={path}" for name, path in flags.items())])
    assert agreement.main() == 0
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert table["score"][0] == "2" and table["score"][2] == "0.00"  # two searches alike
    assert len(out.read_text().splitlines()) == 1 + 2 * len(NAMES)


@pytest.mark.parametrize(
    ("name", "message"),
    [("memory-random-X", "is no known cell"), ("random-3", "8 nodes of the space highway")],
)
def test_a_cell_that_the_search_cannot_score_is_named(tmp_path, drawn, name, message):
    with pytest.raises(ValueError, match=message):
        agreement.scores("s", posterior(tmp_path / "p.npz", drawn), {name: 3.8})
