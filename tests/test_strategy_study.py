"""tools/strategy_study: statistics of a small sweep worked by hand."""

import json
import math
import runpy

import pytest


@pytest.fixture
def tool(root):
    return runpy.run_path(str(root / "tools" / "strategy_study"), run_name="strategy_study")


# candidate -> (strategy, home, perplexity); two searches found one cell and share its training
CELLS = {
    "a0": ("darts", "a0", 10.0),
    "a1": ("darts", "a1", 14.0),
    "b0": ("enas", "b0", 11.0),
    "b1": ("enas", "b0", 11.0),
    "random-1": (None, "random-1", 12.0),
    "random-2": (None, "random-2", 16.0),
    "m1": (None, "m1", 11.0),
    "m2": (None, "m2", 13.0),
    "m3": (None, "m3", 15.0),
}
SELECTED = [("a0", None), ("m1", "a0"), ("b0", None), ("m3", "b0"), ("m2", "a1"), ("a1", None)]


@pytest.fixture
def sweep():
    runs = [
        {
            "stage": "rank",
            "candidate": name,
            "run": f"rank/{home}/seed0",
            "bindings": {"STRATEGY": strategy} if strategy else {},
            "summary": {"valid_ppl": ppl},
        }
        for name, (strategy, home, ppl) in CELLS.items()
    ]
    runs.append({**runs[0], "stage": "search", "summary": {"valid_ppl": 99.0}})
    selected = [{"candidate": name, "control": bool(cell), "beside": cell} for name, cell in SELECTED]
    return {"runs": runs, "selected": selected}


def test_rows_are_means_pairs_and_distances_to_the_floor(tool, sweep):
    enas, darts = tool["rows"](sweep)
    assert (enas.strategy, darts.strategy) == ("enas", "darts")
    assert (darts.searches, darts.cells, darts.mean) == (2, 2, 12.0)
    assert darts.sd == pytest.approx(math.sqrt(8.0))
    assert darts.to_controls == pytest.approx((10 - 11 + 14 - 13) / 2)
    assert darts.p == 1.0  # the differences -1 and 1 cancel
    assert darts.to_random == pytest.approx(12.0 - 14.0)
    assert darts.standard_error == pytest.approx(math.sqrt(8.0 / 2 + 8.0 / 2))
    assert (enas.searches, enas.cells, enas.to_controls) == (2, 1, -4.0)
    assert enas.p == 1.0  # one cell is one pair
    assert "| enas | 2 | 1 | 11.00 |" in tool["table"]([enas, darts])


def test_the_sign_flip_is_exact(tool):
    assert tool["sign_flip"]([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 / 16)
    assert tool["sign_flip"]([1.0, 1.0, 1.0, -3.0]) == 1.0


def test_the_ranking_of_each_epoch_is_compared_with_the_last(tool, sweep, tmp_path, capsys):
    homes = sorted({home for _, home, _ in CELLS.values()})
    for number, home in enumerate(homes):
        directory = tmp_path / "rank" / home / "seed0"
        directory.mkdir(parents=True)
        rows = [
            {"split": "valid", "nats": -number},
            {"split": "train", "nats": 9},
            {"split": "valid", "nats": number},
        ]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    assert tool["main"]([f"--sweep={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "epoch 1: rank correlation with the last epoch -1.00",
        "epoch 2: rank correlation with the last epoch 1.00",
    ]
