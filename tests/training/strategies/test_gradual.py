"""A search that prunes gradually, and one whose L1 weighs what an entry costs; both spaces."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.commands import sweep
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.reporting import summary_text
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping.selection import Candidate
from bayesnas_tf.training.settings import ScalarOptions, SwitchOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep
from bayesnas_tf.training.train_loop import TrainLoop
from tests.support import tiny

GRADUAL = {
    "PruneOptions.share_per_update": 0.6,
    "ScalarOptions.lambda_w": 0.002,
    "ScalarOptions.cost_share": 0.5,
    "search.epochs": 3,
    "CellOptions.nodes": 3,
    "search.strategy": "@BayesNasOptions()",
    "BayesNasOptions.proposals": 4,
}

# L1 removes them
SWITCHES = {"search.switches": "@SwitchOptions()", "SwitchOptions.lambda_w": 20.0}


def run(folder, name, space):
    settings = {**GRADUAL, "CellOptions.space": f"'{space}'", **(SWITCHES if space == "memory" else {})}
    return tiny.run(folder, name, *(f"--gin_param={key}={value}" for key, value in settings.items()))


@pytest.fixture(scope="module", params=["highway", "memory"])
def ended(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    tiny.write(folder, lines=12)
    assert run(folder, "run", request.param) == 0
    return request.param, folder


def test_every_update_takes_its_share_for_good(ended):
    _, folder = ended
    posterior = tiny.posterior(folder / "run")
    of_edges = np.isfinite(posterior["w"][0]) & (posterior["edges"][:, :1] >= 0)
    left = [int((gamma[of_edges] > 0.0).sum()) for gamma in posterior["gamma"]]
    first = int(of_edges.sum())
    assert left[0] == first and left[1] == first - np.ceil(0.6 * first)
    assert left[2] == max(3, left[1] - np.ceil(0.6 * left[1]))
    gone = posterior["gamma"][1] == 0.0
    np.testing.assert_array_equal(posterior["w"][2][gone], 0.0)


def test_health_tells_what_each_removal_cost(ended):
    _, folder = ended
    told = tiny.summary(folder / "run")["health"]["discretisation"]
    cell = Genotype.load(folder / "run" / "genotype.json")
    assert told["left"][-1] == len(cell.nodes) + len(cell.switches) + len(cell.gated)
    assert told["left"] == sorted(told["left"], reverse=True)
    assert (
        len(told["before"]) == len(told["after"]) == 3 and np.isfinite([told["before"], told["after"]]).all()
    )
    assert "scalars left" in "\n".join(summary_text.summary_lines(tiny.summary(folder / "run")))


def test_cells_drawn_from_the_posterior_are_candidates_of_a_sweep(ended):
    space, folder = ended
    found = Genotype.load(folder / "run" / "genotype.json")
    candidate = Candidate("a", found, str(folder / "run" / "genotype.json"), "a", {}, (0,))
    told = tiny.summary(folder / "run")["proposals"]
    drawn = sweep.proposals(candidate, tiny.summary(folder / "run"))
    assert 1 <= len(drawn) <= 4  # a supernet that is pruned has few cells left
    assert [cell.name for cell in drawn] == [f"a-{k}" for k in range(1, len(drawn) + 1)]
    assert {cell.genotype.space for cell in drawn} == {space}
    assert [cell.genotype.provenance["draw"] for cell in drawn] == list(range(1, len(drawn) + 1))
    assert [Genotype.from_dict(cell) for cell in told] == [cell.genotype for cell in drawn]
    assert all(Genotype.load(cell.source) == cell.genotype for cell in drawn)


@pytest.mark.parametrize("ended", ["memory"], indirect=True)
def test_what_is_gone_has_no_travel(ended):
    _, folder = ended
    summary, posterior = tiny.summary(folder / "run"), tiny.posterior(folder / "run")
    gone = posterior["gamma"][-2, posterior["edges"][:, 0] < 0, -1] == 0.0  # before the last update
    travels = [switch["travel"] for switch in summary["health"]["switches"].values()]
    assert [travel is None for travel in travels] == gone.tolist()
    assert any(gone)


@pytest.mark.parametrize("ended", ["memory"], indirect=True)  # switches are gone there as well
def test_a_killed_search_ends_as_an_unbroken_one(ended, monkeypatch):
    space, folder = ended
    end_epoch, calls = TrainLoop.end_epoch, []

    def killed(self):
        end_epoch(self)
        calls.append(None)
        if len(calls) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainLoop, "end_epoch", killed)
        assert run(folder, "broken", space) != 0
    assert run(folder, "broken", space) == 0
    tiny.assert_same_result(folder / "broken", folder / "run")


def test_l1_follows_the_prices_of_the_space():
    cell = SearchCell(CellOptions(units=3, nodes=2, norm="mean", space="memory"), dtype="float64")
    model = LanguageModel(7, cell, ModelOptions(), dtype="float64")
    scalars, switches = ScalarOptions(lr=1.0, lambda_w=0.3, cost_share=0.6), SwitchOptions(lambda_w=0.7)
    step = SearchStep(model, WindowOptions(2, 4), WeightOptions(), scalars, switches)
    before = cell.scalars.numpy()
    step.move_scalars([tf.zeros_like(cell.scalars)])
    space = cell.space
    prices = 1 / 4 * np.where(space.sites.edges[:, np.newaxis], 0.3, 0.7) * space.prices(0.6)
    moved = (before - cell.scalars.numpy())[space.sites.exists]
    np.testing.assert_allclose(moved, np.minimum(prices, 1.0)[space.sites.exists], atol=1e-12)
