"""Searches that train one cell after the other: what halving carries on, who has children, and kills."""

import json

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.reporting import run_files
from bayesnas_tf.space.memory.space import Memory
from bayesnas_tf.training.strategies import scoring
from bayesnas_tf.training.strategies.evolution import ageing
from bayesnas_tf.training.strategies.halving import rungs
from bayesnas_tf.training.strategies.halving.strategy import Halving
from tests.support import tiny
from tests.support.searches import Killed, architecture, assert_same_search, run

ADAM = [
    "--gin_param=search.optimizer=@OptimizerOptions()",
    "--gin_param=OptimizerOptions.rule='adam'",
    "--gin_param=OptimizerOptions.decay='linear'",
    "--gin_param=WeightOptions.lr=0.05",
]
MEMORY = [
    *ADAM,
    *("--gin_param=CellOptions.space='memory'", "--gin_param=search.epochs=1"),
    *("--gin_param=search.report_every=1", "--gin_param=search.checkpoint_every=3"),
]
CELLS, RUNGS = 4, (4, 2)
pytestmark = pytest.mark.usefixtures("eager_steps")
KILLS = {"halving": (2, -1), "evolution": (5, 0)}  # steps; those from 0 down are counted from the last one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    tiny.write(folder, lines=17)
    return folder


@pytest.fixture(scope="module")
def watched(folder):
    """What a search by halving carries, behind the begin and before the score of each training."""
    found, begin, score = {"begin": {}, "score": {}}, Halving.begin, Halving.score

    def values(self, number):
        return self.cell(number), [tf.convert_to_tensor(variable).numpy() for variable in self.carried]

    def watched_begin(self, number):
        begin(self, number)
        found["begin"][number] = values(self, number)

    def watched_score(self, number):
        found["score"][number] = values(self, number)
        score(self, number)
        found["nats"], found["owners"] = self.scores, self.bank.owners.numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Halving, "begin", watched_begin)
        patch.setattr(Halving, "score", watched_score)
        assert run(folder, "halving", "halving", *MEMORY) == 0
    return found


@pytest.fixture(scope="module")
def evolved(folder):
    assert run(folder, "evolution", "evolution", *MEMORY) == 0
    return folder / "evolution"


@pytest.fixture(params=KILLS)
def ended(request, folder, watched, evolved):
    """Strategy and run directory of a search of the memory space in one epoch, by Adam."""
    return request.param, folder / request.param


def killed_at(folder, name, strategy, steps, monkeypatch):
    """The run directory of a search that is killed behind each of these steps, and resumed each time."""
    original = run_files.MetricsFile.on_step
    for at in steps:

        def kill(self, record, at=at):
            original(self, record)
            if record.step == at:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(run_files.MetricsFile, "on_step", kill)
            with pytest.raises(Killed):
                run(folder, name, strategy, *MEMORY)
    assert run(folder, name, strategy, *MEMORY) == 0
    return folder / name


def test_kills_between_checkpoints_leave_no_trace(ended, folder, monkeypatch):
    """A killed process had gone on to other cells, and written them to its bank: all of it is done again."""
    strategy, directory = ended
    last = max(row["step"] for row in tiny.rows(directory))
    kills = [at if at > 0 else last + at for at in KILLS[strategy]]
    assert_same_search(killed_at(folder, f"{strategy}-killed", strategy, kills, monkeypatch), directory)


def test_each_training_has_a_rate_that_falls_to_0(ended):
    strategy, directory = ended
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    rates = [row["lr"] for row in lines if row["split"] == "train"]
    begins = [0, *(k for k in range(1, len(rates)) if rates[k] > rates[k - 1])]
    assert len(begins) == {"halving": sum(RUNGS), "evolution": 6}[strategy]
    lengths = np.diff([*begins, len(rates)])
    if strategy == "halving":  # the second rung has as many windows for half as many cells
        np.testing.assert_allclose(lengths, np.repeat([1, 2], RUNGS) * len(rates) / 8, atol=1.0)
    else:
        assert np.ptp(lengths) <= 1


def test_a_child_is_a_neighbour_of_a_cell_that_lives(evolved):
    data, summary = architecture(evolved), tiny.summary(evolved)
    cells, nats = data["candidates"], data["candidate_nats"].mean(axis=1)
    assert len(cells) == 6 and np.isfinite(nats).all()
    for number in range(2, 6):
        living = cells[ageing.alive(number, 2)]
        assert 1 in (living != cells[number]).reshape(2, -1).sum(axis=1)
    assert data["probabilities"].shape == Memory(2).sites.exists.shape
    assert summary["valid_nats"] == nats.min()
    assert summary["health"]["population_median_nats"] == pytest.approx(np.median(nats[-2:]))


def test_the_best_of_a_rung_are_trained_on_from_where_they_were_left(watched):
    assert [cell for cell, _ in watched["begin"].values()][:CELLS] == list(range(CELLS))
    going_on = [watched["begin"][number][0] for number in (4, 5)]
    assert going_on == rungs.best(watched["nats"][:CELLS], 2).tolist() == sorted(watched["owners"])
    for number, cell in zip((4, 5), going_on, strict=True):
        begun, left = watched["begin"][number][1], watched["score"][cell][1]
        assert len(begun) == len(left) > 10  # with slots of Adam
        for one, other in zip(begun, left, strict=True):
            np.testing.assert_array_equal(one, other)
        grown = zip(begun, watched["score"][number][1], strict=True)
        assert any(np.any(one != other) for one, other in grown)
    first = [values for cell, values in watched["begin"].values()][:CELLS]
    assert all(not np.any(slot) for values in first for slot in values if slot.dtype == np.int64)


def test_the_best_last_score_wins_and_numbers_about_all_are_of_the_first_rung(folder, watched):
    nats, data = watched["nats"], architecture(folder / "halving")
    expected = nats[:CELLS].copy()
    expected[rungs.best(nats[:CELLS], 2)] = nats[CELLS:]
    np.testing.assert_array_equal(data["candidate_nats"], expected)
    summary = tiny.summary(folder / "halving")
    assert summary["valid_nats"] == expected.mean(axis=1).min()
    health = summary["health"]
    assert health["candidate_median_nats"] == pytest.approx(np.median(nats[:CELLS].mean(axis=1)))
    assert health["candidate_best_nats"] == summary["valid_nats"]


def test_cells_that_diverge_are_lost_and_stay_so_on_the_next_rung(folder, watched, monkeypatch):
    begin, bad = Halving.begin, {0, 1, 3}

    def begin_badly(self, number):
        begin(self, number)
        if number in bad:
            self.problem.model.decoder_bias.assign(np.full(self.problem.model.vocabulary, np.nan))

    monkeypatch.setattr(Halving, "begin", begin_badly)
    assert run(folder, "diverging", "halving", *MEMORY) == 0
    found, summary = architecture(folder / "diverging"), tiny.summary(folder / "diverging")
    assert (found["candidate_nats"] == scoring.MOST_NATS).all(axis=1).tolist() == [True, True, False, True]
    assert summary["health"]["candidates_lost"] == 3
    whole, tokens = tiny.summary(folder / "halving")["tokens"], summary["tokens"]
    # cell 2 is scored on both rungs; cell 0, which goes on beside it, on none
    assert tokens == {"train": whole["train"], "architecture": whole["architecture"] // 3}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["@HalvingOptions()", "HalvingOptions.shares=(1, 2, 3)"], "one number for each rung"),
        (["@HalvingOptions()", "HalvingOptions.eta=1"], "HalvingOptions.eta=1. It must be at least 2"),
        (["@HalvingOptions()", "HalvingOptions.shares=(1, 0)"], "HalvingOptions.shares"),
        (["@HalvingOptions()", "search.epochs=3"], "Set search.epochs = 2"),
        (["@HalvingOptions()", "HalvingOptions.cells=400"], "Lower HalvingOptions.cells"),
        (["@EvolutionOptions()", "EvolutionOptions.cells=7"], "must be a multiple of search.epochs=2"),
        (["@EvolutionOptions()", "EvolutionOptions.population=24"], "leaves no child"),
        (
            ["@EvolutionOptions()", "EvolutionOptions.sample=9"],
            "Set it to at most EvolutionOptions.population=8",
        ),
        (["@EvolutionOptions()", "EvolutionOptions.cells=400"], "Lower EvolutionOptions.cells"),
    ],
)
def test_what_does_not_fit_is_one_line(folder, capsys, flags, message):
    params = [f"--gin_param=search.strategy={flags[0]}", *(f"--gin_param={flag}" for flag in flags[1:])]
    assert tiny.run(folder, "wrong", *params, "--overwrite") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
