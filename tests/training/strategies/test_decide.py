"""What one epoch's end decides, against `bayes` called by hand: every setting reaches its rule."""

import types

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.bayes import scores, update
from bayesnas_tf.bayes.prune import PruneOptions
from bayesnas_tf.bayes.update import BayesOptions
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.curvature.interface import CurvatureOptions, Estimate
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.models.language_model import ModelOptions
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.search_settings import SearchSettings
from bayesnas_tf.training.settings import ScalarOptions, SwitchOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.decide import Decider, Situation
from bayesnas_tf.training.strategies.bayesnas.priors import CellPrior
from tests.references import bayes as reference

NODES, EDGES, OPS, WINDOWS = 3, 6, 4, 5
STREAM = np.array([0, 1, 2, 1, 0, 2, 2, 1], np.int32)
CORPUS = Corpus("toy", Vocabulary(("a", "b", "c")), STREAM, STREAM, STREAM)
SITUATION = Situation(
    epoch=2, step=70, steps=40, train_nats=0.9, valid_nats=0.8, gradient_rms=0.01, config_name="toy", seed=3
)


def random_array(seed, *shape, low=0.01, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, size=shape)


def decider(zero=False, removals=None, w=None, **parts):
    """A decider over a cell that is only its scalars."""
    w = random_array(0, EDGES, OPS, low=-1.0) if w is None else w
    cell = types.SimpleNamespace(
        space=Highway(NODES),
        scalars=tf.Variable(w),
        zero_scalars=tf.Variable(random_array(1, EDGES)) if zero else None,
    )
    settings = SearchSettings(
        corpus=CorpusOptions(),
        cell=CellOptions(zero_edge_switch=zero),
        model=ModelOptions(),
        windows=WindowOptions(batch_size=4, bptt=10),
        weights=WeightOptions(),
        scalars=parts.get("scalars", ScalarOptions(lr=0.5, lambda_w=0.2)),
        curvature=CurvatureOptions(),
        bayes=parts.get("bayes", BayesOptions()),
        prune=parts.get("prune", PruneOptions(threshold=0.0)),
        switches=parts.get("switches", SwitchOptions()),
        resamples=20,
    )
    h_zero = random_array(2, WINDOWS, EDGES) if zero else None
    estimate = Estimate(
        random_array(3, WINDOWS, EDGES, OPS), random_array(4, WINDOWS, EDGES, OPS, low=-1.0), h_zero, h_zero
    )
    problem = types.SimpleNamespace(model=types.SimpleNamespace(cell=cell), corpus=CORPUS)
    return Decider(problem, settings, CellPrior(cell), estimate, removals)


def test_the_record_is_the_update_by_the_equations():
    record = decider(bayes=BayesOptions(scale="mean")).decide(SITUATION).record
    h = random_array(3, WINDOWS, EDGES, OPS).mean(axis=0)
    np.testing.assert_allclose(record.h, h)
    s = {}
    for key, w in reference.keyed(record.w, NODES).items():
        of_key = {
            name: reference.keyed(getattr(record, name), NODES)[key] for name in ("h", "c", "omega", "s")
        }
        assert of_key["c"] == pytest.approx(reference.posterior_variance(1.0, of_key["h"]))
        assert of_key["omega"] == pytest.approx(reference.omega(1.0, of_key["c"]))
        s[key] = reference.switch(w, of_key["omega"])
        assert of_key["s"] == pytest.approx(s[key])
    gamma = reference.keyed(record.gamma, NODES)
    for key, value in reference.prior_variance(s).items():
        assert gamma[key] == pytest.approx(value)
    assert (record.epoch, record.step, record.live_nodes) == (2, 70, NODES)
    assert record.kappa == 1.0
    assert record.h_windows.shape == (WINDOWS, EDGES, OPS)


def test_kappa_counts_the_tokens_of_a_window():
    assert decider().kappa == pytest.approx(4 * 10 / 0.2)


def test_the_genotype_says_where_it_comes_from():
    genotype = decider().decide(SITUATION).record.genotype
    assert genotype.name == "toy-seed3"
    assert genotype.provenance == {
        "config": "toy",
        "seed": 3,
        "corpus": "toy",
        "lambda_w": 0.2,
        "estimator": "ggn",
        "kappa": pytest.approx(200.0),
        "score": "gamma",
        "identity_penalty": 1.0,
    }


@pytest.mark.parametrize("score", ["gamma", "saliency", "taylor", "magnitude", "oracle"])
def test_each_score_ranks_by_its_own_rule(score):
    removals = random_array(5, EDGES, OPS)
    made = decider(prune=PruneOptions(score=score, threshold=0.0), removals=removals)
    averages = made.windows().mean(axis=0)
    _, context = made.context(averages)
    values, mask = made.scored(context)
    np.testing.assert_array_equal(values, scores.SCORES[score](context))
    assert not mask.any()
    chosen = made.choices(averages)
    genotype = made.decide(SITUATION).record.genotype
    assert [(c // OPS, c % OPS) for c in chosen] == [
        (node.source, ("tanh", "relu", "sigmoid", "identity").index(node.op)) for node in genotype.nodes
    ]


def test_a_dead_cell_is_a_reason_not_a_genotype():
    decision = decider(prune=PruneOptions(threshold=1e9)).decide(SITUATION)
    assert decision.record.genotype is None
    assert decision.record.live_nodes == 0
    assert decision.record.pruned.all()
    assert decision.collapse.startswith("the cell has collapsed")
    assert decision.record.health["star_share"] is None


def test_health_reports_pull_travel_and_what_was_not_measured():
    health = decider().decide(SITUATION).record.health
    assert health["l1_pull"] == pytest.approx(0.2 / 10)  # omega = 1 in the first epoch
    assert health["pull_ratio"] == pytest.approx(0.02 / 0.01)
    assert health["travel"] == pytest.approx(0.5 * 0.02 * 40)
    assert health["gradient_rms"] == 0.01
    assert health["unigram_nats"] == pytest.approx(CORPUS.unigram_nats("valid"))
    assert len(health["choice_stability"]) == NODES
    assert health["clipped"] == 0
    assert health["oracle_correlations"] == {}
    per_token = ScalarOptions(lr=0.5, lambda_w=0.2, l1_per_token=True)
    assert decider(scalars=per_token).decide(SITUATION).record.health["l1_pull"] == pytest.approx(0.2)


def test_an_oracle_that_was_measured_is_correlated_with_every_score():
    w = random_array(0, EDGES, OPS)
    health = decider(w=w, removals=w**2).decide(SITUATION).record.health
    assert health["oracle_correlations"]["magnitude"] == pytest.approx(1.0)
    assert "oracle" not in health["oracle_correlations"]


def test_what_an_update_leaves_is_the_prior_and_the_l1_weights_of_the_next():
    made = decider(zero=True, bayes=BayesOptions(parents="zero_edge"))
    decision = made.decide(SITUATION)
    weights = [tf.Variable(tf.ones([EDGES, OPS])), tf.Variable(tf.ones([EDGES]))]
    made.prior.adopt(decision.posterior, weights)
    for part, prior, omega in zip(
        (decision.posterior, decision.posterior.zero),
        (made.prior.scalars, made.prior.zero),
        weights,
        strict=True,
    ):
        for array, expected in zip(prior.arrays(), part.prior, strict=True):
            np.testing.assert_array_equal(array, expected)
        np.testing.assert_allclose(omega, part.omega, rtol=1e-6)
    again = made.decide(SITUATION).record
    first = update.update(
        decision.posterior.prior,
        made.w,
        again.h,
        update.Rules(BayesOptions(), made.kappa, None),
    )
    np.testing.assert_allclose(again.c, first.c)


def test_the_bootstrap_resamples_the_gradient_too():
    made = decider(prune=PruneOptions(score="taylor", threshold=0.0))
    other = made.windows()
    other[:, 1] = 1e3 * random_array(9, EDGES, OPS)  # the gradient outweighs everything
    assert (made.choices(other.mean(axis=0)) != made.choices(made.windows().mean(axis=0))).any()


def test_what_a_space_has_not_may_be_set_to_anything():
    assert decider(switches=SwitchOptions(lambda_w=0.0)).rules.kappa == decider().rules.kappa
