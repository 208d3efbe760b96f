"""Each strategy as the command runs it: what it leaves, that it resumes, that the seed decides."""

import json

import gin
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.commands import curvature as curvature_command
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.strategies import registry, scoring
from bayesnas_tf.training.strategies.darts.step import DartsOptions
from bayesnas_tf.training.strategies.random_search.strategy import RandomSearch
from tests.support import tiny
from tests.support.searches import FLAGS, SMALL, architecture, assert_same_search, run, run_killed

pytestmark = pytest.mark.usefixtures("eager_steps")
CELLS = {"random": 4, "random_ws": 3, "enas": 3, "halving": 4, "evolution": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strategies")
    tiny.write(folder, lines=15)
    return folder


@pytest.fixture(scope="module", params=FLAGS)
def ended(request, folder):
    """Name and run directory of a search of two epochs by each strategy."""
    assert run(folder, request.param, request.param) == 0
    return request.param, folder / request.param


def test_every_strategy_is_tested_and_has_its_name():
    assert {*FLAGS, "bayesnas"} == set(registry.NAMES)  # BayesNAS has tests of its own
    for name in registry.NAMES:
        config.parse([], ["DartsOptions.lr=0.5", "EnasOptions.units=3", f"named_strategy.name={name!r}"])
        options = gin.get_configurable("named_strategy")()
        assert options.name == name
        assert type(options) in registry.STRATEGIES
    assert (registry.named_strategy("enas").units, registry.named_strategy("darts1").order) == (3, 1)
    assert registry.named_strategy("darts2") == DartsOptions(order=2, lr=0.5)


def test_it_leaves_a_cell_that_says_where_it_comes_from(ended):
    strategy, directory = ended
    cell, summary = Genotype.load(directory / "genotype.json"), tiny.summary(directory)
    assert summary["strategy"] == cell.provenance["strategy"] == strategy
    assert {"config": "tiny", "seed": 0, "corpus": "text"}.items() <= cell.provenance.items()
    assert (cell.name, len(cell.nodes), cell.output) == ("tiny-seed0", 2, (1, 2))
    assert summary["genotype"] == cell.to_dict()
    assert (summary["live_nodes"], summary["pruned_fraction"], summary["travel"]) == (2, None, None)
    health = summary["health"]
    assert health["unigram_nats"] > 0
    assert health["valid_nats"] == summary["valid_nats"]
    seconds = json.loads((directory / "summary.json").read_text())["seconds"]
    assert seconds.keys() == {"train", "hessian", "scores"}
    assert seconds["hessian"] == 0.0
    assert not (directory / "posterior.npz").exists()
    tags = set()
    for path in (directory / "tb").glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"nats/train", "nats/valid", "cell", "health/mean_depth"} <= tags
    assert ("heatmap/probabilities" in tags) == (strategy not in ("random", "halving"))


def test_the_cell_is_the_best_of_what_the_search_knew(ended):
    strategy, directory = ended
    data, chosen = architecture(directory), Highway.choice(Genotype.load(directory / "genotype.json"))
    if strategy in CELLS:
        nats = data["candidate_nats"].mean(axis=1)
        assert data["candidates"].shape == (CELLS[strategy], 2, 2)
        assert np.isfinite(nats).all()
        np.testing.assert_array_equal(chosen, data["candidates"][nats.argmin()])
        assert tiny.summary(directory)["health"]["candidates"] == CELLS[strategy]
    else:
        assert data["probabilities"].shape == (3, 4)
        for node, rows in ((1, slice(0, 1)), (2, slice(1, 3))):
            into = data["probabilities"][rows]
            assert into[tuple(chosen[node - 1])] == into.max()


def test_every_strategy_trains_on_the_same_tokens(ended, folder):
    strategy, directory = ended
    tokens = tiny.summary(directory)["tokens"]
    corpus = (folder / "train.txt").read_text()
    stream = len(corpus.split()) + corpus.count("\n")
    assert tokens["train"] == 2 * 4 * (
        stream // 4 - 1
    )  # two epochs of four rows; their first is not predicted
    valid = (folder / "valid.txt").read_text()
    columns = (len(valid.split()) + valid.count("\n")) // 4
    windows = (columns - 1) // 4
    per_epoch = -(-(stream // 4 - 1) // 4)
    expected = {
        "darts1": 2 * per_epoch * 4 * 4,
        "darts2": 2 * per_epoch * 4 * 4 + 3 * tokens["train"],
        "random": 4 * windows * 4 * 4,
        "halving": (4 + 2) * windows * 4 * 4,  # of four cells, then of the best two
        "evolution": 6 * windows * 4 * 4,
        "random_ws": 2 * 3 * windows * 4 * 4,
        "enas": 2 * per_epoch * 4 * 4 + 2 * 3 * windows * 4 * 4,
    }
    assert tokens["architecture"] == expected[strategy]


def test_curvature_is_for_the_mixture_and_refuses_sampled_cells(ended, folder, capsys):
    strategy, directory = ended
    flags = [f"--run={directory}", f"--data_dir={folder}", "--dry_run"]
    code = config.run_command(curvature_command.run_curvature, "curvature", flags)
    told = capsys.readouterr()
    if strategy in CELLS:
        assert code == 1
        assert f"was searched by {strategy}, and `curvature` cannot use its supernet" in told.err
    else:
        assert code == 0
        assert "would write" in told.out


# darts1 is a part of darts2; random search is killed below, while cells diverge
@pytest.mark.parametrize("ended", ["darts2", "random_ws", "enas", "halving", "evolution"], indirect=True)
def test_a_killed_search_ends_as_an_unbroken_one_and_its_cell_is_a_function_of_the_seed(
    ended, folder, monkeypatch
):
    strategy, directory = ended
    assert_same_search(run_killed(folder, f"{strategy}-broken", strategy, monkeypatch), directory)


@pytest.fixture
def diverging(monkeypatch):
    """The numbers of cells, none at first, that random search gives a weight of NaN to begin with."""
    numbers, begin = set(), RandomSearch.begin

    def begin_badly(self, number):
        begin(self, number)
        if number in numbers:
            self.problem.model.decoder_bias.assign(np.full(self.problem.model.vocabulary, np.nan))

    monkeypatch.setattr(RandomSearch, "begin", begin_badly)
    return numbers


def test_a_random_search_goes_on_behind_cells_that_diverge_also_when_it_is_killed(
    folder, diverging, monkeypatch
):
    if not (folder / "random" / "summary.json").exists():
        assert run(folder, "random", "random") == 0
    diverging |= {1, 2}  # the last share of an epoch, and the first
    assert run(folder, "diverging", "random") == 0
    finite, found = architecture(folder / "random"), architecture(folder / "diverging")
    nats = found["candidate_nats"]
    assert np.all(nats[[1, 2]] == scoring.MOST_NATS)
    np.testing.assert_array_equal(nats[[0, 3]], finite["candidate_nats"][[0, 3]])
    one, other = tiny.summary(folder / "random")["tokens"], tiny.summary(folder / "diverging")["tokens"]
    assert other == {"train": one["train"], "architecture": one["architecture"] / 2}
    assert tiny.summary(folder / "diverging")["health"]["candidates_lost"] == 2
    assert_same_search(run_killed(folder, "resumed", "random", monkeypatch), folder / "diverging")


def test_a_random_search_of_which_every_cell_diverges_says_what_helps(folder, diverging, capsys):
    diverging |= {0, 1, 2, 3}
    assert run(folder, "lost", "random") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "error: the training of all 4 cells diverged. Lower WeightOptions.lr" in told


def test_another_seed_is_another_search(folder):
    one_epoch = "--gin_param=search.epochs=1"
    assert run(folder, "other", "random_ws", "--seed=1", one_epoch) == 0
    assert run(folder, "same", "random_ws", one_epoch) == 0
    one, other = architecture(folder / "same"), architecture(folder / "other")
    assert np.any(one["candidates"] != other["candidates"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["search.strategy='darts'"],
            "search.strategy cannot be 'darts'",
        ),
        (["search.strategy=@DartsOption()"], "did you mean 'DartsOptions'"),
        (["search.strategy=@DartsOptions()", "CellOptions.zero_edge_switch=True"], "DARTS has no zero edges"),
        (
            ["search.strategy=@RandomOptions()", "RandomOptions.cells=3"],
            "must be a multiple of search.epochs=2",
        ),
        (["search.strategy=@RandomOptions()", "RandomOptions.cells=1000"], "500 trainings cannot share the"),
        (["search.strategy=@EnasOptions()", "EnasOptions.baseline_decay=1.0"], r"must be in [0, 1)"),
        (
            ["search.strategy=@EnasOptions()", "CellOptions.weight_sharing='edge'"],
            "cannot use CellOptions.weight_sha",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(folder, capsys, flags, message):
    params = [f"--gin_param={flag}" for flag in flags]
    assert tiny.run(folder, "wrong", *params, "--overwrite") == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_diagnose_is_for_bayesnas(folder, capsys):
    assert run(folder, "diagnosed", "random", "--diagnose") == 1
    assert "search.strategy is random. Remove --diagnose" in capsys.readouterr().err


def test_a_dry_run_shows_the_strategy(folder, capsys):
    assert run(folder, "dry", "enas", "--dry_run") == 0
    assert "strategy   EnasOptions(units=4" in capsys.readouterr().out


def test_the_summary_of_bayesnas_names_it_too(folder):
    flags = [f"--gin_param={param}" for param in SMALL]
    assert tiny.run(folder, "bayes", *flags, "--gin_param=search.epochs=1") == 0
    summary = json.loads((folder / "bayes" / "summary.json").read_text())
    assert summary["strategy"] == summary["genotype"]["provenance"]["strategy"] == "bayesnas"
    assert summary["pruned_fraction"] is not None
    assert summary["tokens"]["architecture"] == 2 * 4 * 4


def test_the_passes_of_an_oracle_that_decides_are_counted(folder):
    flags = [f"--gin_param={param}" for param in (*SMALL, "search.epochs=1", "PruneOptions.score='oracle'")]
    assert tiny.run(folder, "oracle", *flags) == 0
    edge_ops = 3 * 4
    assert tiny.summary(folder / "oracle")["tokens"]["architecture"] == 2 * 4 * 4 * (1 + edge_ops + 1)
