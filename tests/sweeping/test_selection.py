"""The selection of 5.3 on trainings whose results are made up: who is trained, how long, and who wins."""

import statistics

import pytest

from bayesnas_tf.errors import UserError
from bayesnas_tf.space.highway import published
from bayesnas_tf.sweeping import selection
from bayesnas_tf.sweeping.selection import Candidate, Selection, with_homes
from bayesnas_tf.sweeping.settings import RankOptions

# candidate -> cell and the perplexity of its trainings with seed 0; d found the same cell as b
CELLS = {"a": "DARTS_V1", "b": "DARTS_V2", "c": "GDAS", "d": "DARTS_V2", "e": "SDARTS_RS"}
PPL = {"a": 90.0, "b": 80.0, "c": 70.0, "e": 85.0}
SEEDS = (0, 1, 2)


class Trainings:
    """Trainings that end at once; the perplexity falls with epochs and differs by seed."""

    def __init__(self, ppl=PPL, broken=()):
        self.ppl, self.broken, self.stages = ppl, broken, []

    def run(self, jobs):
        self.stages.append(jobs)

    def summary(self, job):
        if job.directory in self.broken:
            return None
        home = job.directory.split("/")[1]
        epochs = job.params["evaluate.epochs"]
        valid = self.ppl.get(home, 60.0) + job.seed + 100.0 / epochs  # random cells are best of all
        return {"valid_ppl": valid, "test_ppl": valid - 2.0, "epochs": epochs}

    def names(self, stage):
        return list(dict.fromkeys(job.candidate for job in self.stages[stage]))


def candidates(controls=0):
    found = with_homes(
        [
            Candidate(name, published.named(cell), f"search/{name}/genotype.json", name, {"x": name}, SEEDS)
            for name, cell in CELLS.items()
        ]
    )
    return found + selection.controls(found, controls, list(CELLS))


def select(trainings, controls=0, **options):
    options = {"gin_files": ("e.gin",), "seeds": SEEDS, "epochs": 100, "best": 2, **options}
    return Selection(RankOptions(**options), trainings.run, trainings.summary).select(candidates(controls))


def test_the_best_by_mean_validation_perplexity_are_trained_longer_and_reported_on_test():
    trainings = Trainings()
    selected, budget = select(trainings, more_epochs=50)
    assert [stage[0].stage for stage in trainings.stages] == ["rank", "final"]
    assert trainings.names(0) == ["a", "b", "c", "d", "e"]
    assert trainings.names(1) == ["b", "c", "d"]  # d is b's cell
    assert [entry["candidate"] for entry in selected] == ["c", "b"]
    valid = [70.0 + seed + 100.0 / 150 for seed in SEEDS]
    assert selected[0]["valid_ppl"] == pytest.approx(
        {"mean": statistics.fmean(valid), "sd": statistics.stdev(valid), "n": 3}
    )
    assert selected[0]["test_ppl"]["mean"] == pytest.approx(selected[0]["valid_ppl"]["mean"] - 2.0)
    assert selected[0]["genotype"]["name"] == "GDAS"
    assert {entry["stage"] for entry in selected} == {"final"}
    # four distinct cells to 100 epochs, two of them 50 more
    assert budget == {"epochs": 3 * (4 * 100 + 2 * 50), "epochs_without_rungs": 3 * (4 * 100 + 2 * 50)}


def test_the_final_training_goes_on_with_that_of_the_ranking():
    trainings = Trainings()
    select(trainings, more_epochs=50)
    job = next(job for job in trainings.stages[1] if job.candidate == "d" and job.seed == 2)
    assert (job.directory, job.extends) == ("final/b/seed2", "rank/b/seed2")
    assert job.params["evaluate.epochs"] == 150
    assert job.genotype == "search/d/genotype.json"
    assert job.bindings == {"x": "d"}
    assert {job.directory for job in trainings.stages[0]} == {
        f"rank/{home}/seed{seed}" for home in "abce" for seed in SEEDS
    }


def test_halving_selects_the_same_cells_with_fewer_epochs():
    trainings = Trainings()
    selected, budget = select(trainings, rungs=(10, 40), best=1)
    assert [stage[0].stage for stage in trainings.stages] == ["rung-10", "rung-40", "rank"]
    assert [trainings.names(k) for k in range(3)] == [["a", "b", "c", "d", "e"], ["b", "c", "d"], ["c"]]
    assert [stage[0].extends for stage in trainings.stages] == ["", "rung-10/b/seed0", "rung-40/c/seed0"]
    assert [entry["candidate"] for entry in selected] == ["c"]
    assert budget == {"epochs": 3 * (4 * 10 + 2 * 30 + 60), "epochs_without_rungs": 3 * 4 * 100}


def test_rungs_that_restart_go_on_with_nothing_and_cost_whole_trainings():
    trainings = Trainings()
    _, budget = select(trainings, rungs=(10, 40), best=1, restart=True)
    assert [stage[0].extends for stage in trainings.stages] == ["", "", ""]
    assert budget == {"epochs": 3 * (4 * 10 + 2 * 40 + 100), "epochs_without_rungs": 3 * 4 * 100}


def test_random_cells_stand_beside_the_searched_ones_and_are_never_selected():
    trainings = Trainings()
    selected, _ = select(trainings, controls=2, more_epochs=50)
    assert [entry["control"] for entry in selected] == [False, True, True, False, True, True]
    assert [entry["candidate"] for entry in selected if not entry["control"]] == ["c", "b"]
    assert [entry["beside"] for entry in selected] == [None, "c", "c", None, "b", "b"]
    for entry in selected:
        cell = published.named(entry["candidate"]) if entry["control"] else published.named("GDAS")
        if entry in selected[:3]:
            assert sum(cell.depths()) == sum(published.named("GDAS").depths())
    controls = [c for c in candidates(2) if c.beside]
    assert [c.beside for c in controls] == ["a", "a", "b", "b", "c", "c", "e", "e"]
    assert len({c.name for c in controls}) == 8


def test_controls_and_homes_stay_when_a_search_that_failed_succeeds_later():
    whole = candidates(1)
    without_b = [c for c in whole if not c.beside and c.name != "b"]
    before = with_homes(without_b)
    controls = selection.controls(before, 1, list(CELLS))
    assert [(c.name.split("-")[1], c.beside) for c in controls] == [
        ("1", "a"),
        ("3", "c"),
        ("4", "d"),
        ("5", "e"),
    ]
    trained = {c.home for c in before}
    after = with_homes([c for c in whole if not c.beside], trained.__contains__)
    assert [c.home for c in after] == ["a", "d", "c", "d", "e"]
    assert selection.controls(after, 1, list(CELLS)) == controls


def test_best_0_compares_all():
    selected, _ = select(Trainings(), best=0)
    assert [entry["candidate"] for entry in selected] == ["c", "b", "e", "a"]
    assert selected[0]["stage"] == "rank"


@pytest.mark.parametrize(("best", "chosen"), [(2, [("e", 3), ("a", 3)]), (3, [("e", 3), ("a", 3), ("b", 2)])])
def test_a_cell_short_of_trainings_is_behind_whole_ones_and_one_without_any_goes(best, chosen):
    broken = {"rank/c/seed0", "rank/c/seed1", "rank/c/seed2", "rank/b/seed0"}
    selected, _ = select(Trainings(broken=broken), best=best)
    assert [(entry["candidate"], entry["valid_ppl"]["n"]) for entry in selected] == chosen


def test_a_cell_found_by_more_searches_is_not_asked_for_more_trainings_than_it_has():
    twice = [c._replace(seeds=(k,)) for k, c in enumerate(candidates())]
    standing = selection.standings(
        twice, {"a": selection.Score(9.0, None, 1), "b": selection.Score(8.0, 1.0, 2)}
    )
    assert standing == {"a": (False, 9.0), "b": (False, 8.0)}
    assert selection.standings(twice, {"b": selection.Score(8.0, None, 1)}) == {"b": (True, 8.0)}


def test_a_diverged_training_is_no_measurement():
    selected, _ = select(Trainings(ppl=PPL | {"c": float("inf")}))
    assert [entry["candidate"] for entry in selected] == ["b", "e"]


def test_nothing_trained_is_an_error():
    everything = {f"rank/{home}/seed{seed}" for home in "abce" for seed in SEEDS}
    with pytest.raises(UserError, match="every training of stage rank failed"):
        select(Trainings(broken=everything))


def test_one_training_has_no_spread():
    assert selection.score([3.0]) == (3.0, None, 1)
    assert selection.score([None, 3.0, 5.0]) == (4.0, pytest.approx(2.0**0.5), 2)
    assert selection.score([None]) is None


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"gin_files": ()}, "gin_files"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"rungs": (40, 10)}, "ascending"),
        ({"rungs": (100,)}, "below RankOptions.epochs=100"),
        ({"keep": 1.0}, r"be in \(0, 1\)"),
        ({"seed_of_search": True, "cells": ("GDAS",)}, "cells"),
    ],
)
def test_what_ranks_nothing_is_refused(options, part):
    with pytest.raises(ValueError, match=part):
        RankOptions(**{"gin_files": ("e.gin",), "epochs": 100, **options})
