"""`tools.studies.yardstick`: what it draws, and that the gin file has what it prints."""

import json

import pytest

from tests.support.recipes import DATA, RECIPES, needs_tables, of
from tools import cli
from tools.studies import yardstick
from tools.studies.yardstick import Rated


def test_each_part_gives_one_cell_to_each_half():
    rated = [Rated(float(k), f"c{k}") for k in range(87)]
    halves = yardstick.halves(rated, 3)
    assert halves == yardstick.halves(rated, 3) != yardstick.halves(rated, 4)
    assert len({*halves.choosing, *halves.reporting}) == 2 * yardstick.PARTS
    for names in halves:
        parts = [int(name[1:]) * yardstick.PARTS // len(rated) for name in names]
        assert parts == pytest.approx(range(yardstick.PARTS), abs=1)
        assert names == sorted(names, key=lambda name: int(name[1:]))


def test_candidates_are_distinct_cells_that_never_diverged(tmp_path):
    rnn, gru = RECIPES["rnn"], RECIPES["gru"]
    blind = of(f="linear h_prev_0", h_new_0="activation_tanh f")
    rows = [(5, rnn, 0, 4.9), (2, rnn, 0, 5.0), (3, gru, 0, 4.8), (4, RECIPES["lstm"], 1, 4.5)]
    rows += [(6, RECIPES["odd"], 0, None), (7, blind, 0, 5.1)]
    names = ("id", "recipe", "diverged", "test_nats")
    (tmp_path / "nasbench_nlp").mkdir()
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (tmp_path / "nasbench_nlp" / "ptb.jsonl").write_text("\n".join(lines))
    assert yardstick.candidates(tmp_path) == [(4.8, "nasbench-3"), (5.0, "nasbench-2")]


def test_without_a_table_it_says_so(tmp_path, capsys):
    assert cli.ended(lambda: yardstick.main(["--data_dir", str(tmp_path)])) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "ptb.jsonl" in error and error.count("\n") == 1


@needs_tables
def test_the_study_has_the_cells_of_seed_0(root, capsys):
    assert yardstick.main(["--data_dir", str(DATA)]) == 0
    assert capsys.readouterr().out in (root / "gin" / "studies" / "yardstick_small.gin").read_text()
