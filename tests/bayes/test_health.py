"""Rank correlation, reliability, stability and the sentences of a search's health."""

import json
import math

import numpy as np
import pytest

from bayesnas_tf.bayes import health, scores
from bayesnas_tf.numerics import ranks
from bayesnas_tf.space.genotype import Genotype, Node


def literal_ranks(values):
    """1 + the number of smaller values + half the number of other equal ones."""
    return [
        1 + sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_pearson_of_average_ranks(seed):
    a, b = np.random.default_rng(seed).integers(0, 6, (2, 30))  # many ties
    np.testing.assert_array_equal(ranks.ranks(a), literal_ranks(a))
    expected = np.corrcoef(literal_ranks(a), literal_ranks(b))[0, 1]
    assert ranks.spearman(a, b) == pytest.approx(expected, abs=1e-13)


def test_spearman_without_ties_is_the_textbook_formula():
    a, b = np.random.default_rng(7).normal(size=(2, 5, 4))
    d = ranks.ranks(a) - ranks.ranks(b)
    assert ranks.spearman(a, b) == pytest.approx(1 - 6 * np.sum(d**2) / (20 * (20**2 - 1)), abs=1e-13)


def test_spearman_sees_order_only():
    a = np.random.default_rng(0).normal(size=(6, 4))
    assert ranks.spearman(a, np.exp(3 * a)) == pytest.approx(1.0)
    assert ranks.spearman(a, -(a**3)) == pytest.approx(-1.0)


@pytest.mark.parametrize("bad", [np.ones(4), np.array([1.0, 2.0, np.nan, 3.0])])
def test_spearman_of_nothing_to_rank_is_nan(bad):
    assert math.isnan(ranks.spearman(bad, np.arange(4.0)))


def test_reliability_compares_even_and_odd_windows():
    signal = np.random.default_rng(1).normal(size=(10, 4))
    assert health.h_reliability(np.stack([signal, 2 * signal] * 3)) == pytest.approx(1.0)
    assert health.h_reliability(np.stack([signal, -signal])) == pytest.approx(-1.0)
    assert math.isnan(health.h_reliability(signal[None]))


def test_choice_stability_counts_resamples_that_agree():
    # node 1 never hesitates; node 2 follows the mean of two windows out of three, and a tie is no choice of 0
    h = np.zeros((3, 2, 1))
    h[:, 0, 0] = [1.0, 2.0, 3.0]
    h[:, 1, 0] = [1.0, 1.0, -1.0]

    def choose(mean):
        return np.where(mean[:, 0] > 0, 0, -1)

    stability = health.choice_stability(h, choose, 4000, seed=0)
    # the mean is positive with 2 or 3 draws of three from the two good windows: 20/27, sd .007 over 4000
    assert stability[0] == 1.0
    assert stability[1] == pytest.approx(20 / 27, abs=0.03)
    np.testing.assert_array_equal(stability, health.choice_stability(h, choose, 4000, seed=0))


def test_structure_of_a_star_and_of_a_chain():
    star = Genotype((Node(0, "tanh"), Node(0, "identity")), (1, 2))
    chain = Genotype((Node(0, "relu"), Node(1, "relu"), Node(2, "relu")), (1, 2, 3))
    assert health.structure(star) == (1.0, 1.0, 0.5)
    assert health.structure(chain) == (1 / 3, 2.0, 0.0)


def test_gain_and_pull_ratio():
    assert health.gain(6.71, 6.71 * 0.9) == pytest.approx(0.1)
    with np.errstate(all="raise"):
        ratio = health.pull_ratio(np.array([2.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(ratio, [0.5, np.inf, np.nan])


def test_oracle_correlations_cover_the_scores_at_hand():
    rng = np.random.default_rng(2)
    w, h, gradient = np.exp(rng.normal(size=(3, 10, 4)))
    context = scores.Context(w, h, w, w, w, 1.0, oracle=0.5 * w**2 * h)
    found = health.oracle_correlations(context)
    assert set(found) == set(scores.SCORES) - {"oracle", "taylor"}
    assert found["saliency"] == pytest.approx(1.0)
    assert "taylor" in health.oracle_correlations(context._replace(gradient=gradient))


GOOD = {
    "unigram_nats": 6.7,
    "train_nats": 5.5,
    "valid_nats": 5.6,
    "pull_ratio": 1.0,
    "travel": 0.4,
    "h_reliability": 0.95,
    "choice_stability": (1.0, 0.8),
    "star_share": 0.5,
    "mean_depth": 2.0,
    "identity_share": 0.25,
}


def test_a_sound_search_has_no_warnings_nor_has_an_unmeasured_one():
    assert health.Health(**GOOD).warnings == []
    assert health.Health().warnings == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("valid_nats", 6.6, "over word frequencies"),
        ("pull_ratio", 10.0, "L1 pulls w 10 times as hard"),
        ("pull_ratio", 0.1, "only 0.1 times as hard as the data"),
        ("travel", 0.06, "moved a scalar by 0.06"),
        ("h_reliability", 0.6, "two halves of the windows is 0.60"),
        ("choice_stability", (0.2, 0.4), "30% of the nodes"),
        ("star_share", 1.0, "star"),
        ("identity_share", 0.5, "identity"),
    ],
)
def test_each_warning(field, value, words):
    (sentence,) = health.Health(**{**GOOD, field: value}).warnings
    assert words in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_is_said(odd):
    sentences = health.Health(**{**GOOD, "valid_nats": odd}).warnings
    assert sentences[0].startswith("The validation loss of the supernet is not finite")


def test_a_kept_switch_that_l1_outweighs_is_named():
    switch = {"w": 0.1, "saliency": 1e-4, "kept": True}
    switches = {
        "idle": switch,
        "gone": {**switch, "kept": False},
        "used": {**switch, "saliency": 0.3},
    }
    pulls = dict.fromkeys(switches, 0.02)
    (sentence,) = health.switch_warnings(switches, pulls)
    assert "gains: idle. Raise" in sentence
    assert health.switch_warnings(switches, dict.fromkeys(switches, 1e-4)) == []


def test_to_dict_is_strict_json():
    report = health.Health(
        **{**GOOD, "travel": math.inf, "choice_stability": tuple(np.array([0.5, 1.0]))},
        oracle_correlations={"gamma": math.nan, "saliency": 0.9},
    ).to_dict()
    read = json.loads(json.dumps(report, allow_nan=False))
    assert read == report
    assert read["travel"] is None
    assert read["oracle_correlations"] == {"gamma": None, "saliency": 0.9}
    assert read["gain"] == pytest.approx(1 - 5.6 / 6.7)
    assert read["stability"] == 0.75
    assert read["choice_stability"] == [0.5, 1.0]
    assert read["warnings"] == []
