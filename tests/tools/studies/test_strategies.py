"""`tools.studies.strategies`: statistics of a small sweep worked by hand."""

import json
import math

import pytest

from bayesnas_tf.report.statistics import sample
from tools.studies import strategies

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


def test_rows_are_means_pairs_and_distances_to_the_floor(sweep):
    enas, darts = strategies.rows(sweep)
    assert (enas.strategy, darts.strategy) == ("enas", "darts")
    assert (darts.cells, darts.own.n, darts.own.mean) == (2, 2, 12.0)
    assert darts.own.sd == pytest.approx(math.sqrt(8.0))
    assert darts.to_controls.mean == pytest.approx((10 - 11 + 14 - 13) / 2)
    assert darts.p == 1.0  # the differences -1 and 1 cancel
    assert darts.to_random == pytest.approx((12.0 - 14.0, math.sqrt(8.0 / 2 + 8.0 / 2)))
    assert (enas.cells, enas.own.n, enas.to_controls.mean) == (1, 2, -4.0)
    assert enas.p == 1.0  # one cell is one pair
    assert "| enas | 2 | 1 | 11.00 |" in strategies.table([enas, darts])


def test_a_uniform_cell_that_a_search_found_too_stays_in_the_floor(sweep):
    assert strategies.uniform(sweep) == {"random-1", "random-2"}
    shared = {**sweep["runs"][0], "candidate": "random-3", "bindings": {}}
    published = {**shared, "candidate": "DARTS_V2", "run": "rank/DARTS_V2/seed0"}
    control = {**shared, "candidate": "random-1-nodes8-depth9", "run": "rank/random-1-nodes8-depth9/seed0"}
    sweep["runs"] += [shared, published, control]
    assert strategies.uniform(sweep) == {"random-1", "random-2", "a0"}
    darts = strategies.rows(sweep)[1]
    assert darts.to_random.mean == pytest.approx(12.0 - (12.0 + 16.0 + 10.0) / 3)


def row(strategy, own, pairs, floor):
    """A row of cells, of their differences to controls, and of uniform random cells."""
    p = strategies.sign_flip(pairs) if pairs else math.nan
    own = sample(own)
    return strategies.Row(strategy, own.n, own, sample(pairs), p, strategies.distance(own, sample(floor)))


FLOOR = [20.0, 21.0, 22.0]


def test_who_is_better_than_all_by_more_than_the_noise_wins():
    first = row("darts", [10.0, 10.1, 10.2], [-1.0] * 6, FLOOR)
    second = row("enas", [12.0, 12.1, 12.2], [], FLOOR)
    told = strategies.verdict([first, second])
    assert told[0].startswith("First is darts, 10.10 in the mean.")
    assert told[1:] == [
        "- against enas, the second: -2.00, better by more than the noise (standard error 0.08)",
        "- against uniform random cells: -10.90, better by more than the noise (standard error 0.58)",
        "- against its own controls: -1.00, better by more than the noise (6 pairs, p = 0.031)",
        "darts wins at this budget.",
    ]


def test_who_is_first_within_the_noise_does_not_win():
    first = row("darts", [19.0, 20.0, 21.0], [1.0] * 4, FLOOR)
    second = row("enas", [20.0], [], FLOOR)
    assert strategies.verdict([first, second])[1:] == [
        "- against enas, the second: cannot be told, a side has fewer than two cells",
        "- against uniform random cells: -1.00, within the noise (standard error 0.82)",
        "- against its own controls: +1.00, within the noise "
        "(4 pairs, p = 0.125, and so few cannot bring it below 0.125)",
        "Nothing speaks for it beyond the noise: no strategy wins at this budget.",
    ]


def test_who_is_better_than_some_does_not_win_either():
    first = row("darts", [10.0, 10.1, 10.2], [1.0] * 6, FLOOR)
    told = strategies.verdict([first])
    assert told[2] == "- against its own controls: +1.00, worse by more than the noise (6 pairs, p = 0.031)"
    assert told[3] == "Not beyond the noise against its own controls: no strategy wins at this budget."
    assert strategies.verdict([]) == ["No training of a searched cell has ended."]


def test_the_sign_flip_is_exact():
    assert strategies.sign_flip([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 / 16)
    assert strategies.sign_flip([1.0, 1.0, 1.0, -3.0]) == 1.0


def test_the_ranking_of_each_epoch_is_compared_with_the_last(sweep, tmp_path, capsys):
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
    diverged = {"valid_ppl": None}
    sweep["runs"].append({**sweep["runs"][0], "run": "rank/a9/seed0", "summary": diverged})
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    assert strategies.main([f"--sweep={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("epoch 1: rank correlation with the last epoch -1.00")
    assert lines[start + 1] == "epoch 2: rank correlation with the last epoch 1.00"
    assert lines[-1].startswith("Trainings without a result: 1. They are not lost at random")
    assert not any("wins at this budget" in line for line in lines)
