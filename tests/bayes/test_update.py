"""M6 to M10 against their printed forms, their limits and their fixed point."""

import warnings

import numpy as np
import pytest

from bayesnas_tf.bayes import update
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.space import Highway
from tests.references import bayes as reference

NODES, OPS = 5, 4
EDGES = topology.edge_count(NODES)
SPACE = Highway(NODES)
EPSILON = np.finfo(np.float64).eps


def rules(kappa, **options):
    return update.Rules(update.BayesOptions(**options), kappa, SPACE)


def positive(seed, shape=(EDGES, OPS)):
    """Log-normal numbers over some five decades."""
    return np.exp(np.random.default_rng(seed).normal(0.0, 2.0, shape))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("sum_over_lambda", 2240 / 0.17),
        ("mean", 1.0),
        ("mean_over_lambda", 1 / 0.17),
        ("sum", 2240.0),
        ("corpus", 929589.0),
    ],
)
def test_kappa_of_each_scale(scale, expected):
    assert update.kappa(scale, 64 * 35, 929589, 0.17) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("scale", ["sum_over_lambda", "mean_over_lambda"])
def test_kappa_over_a_zero_lambda_says_what_to_do(scale):
    with pytest.raises(ValueError, match=r"Set lambda_w above 0, or set BayesOptions\.scale"):
        update.kappa(scale, 2240, 929589, 0.0)


def test_kappa_without_lambda_needs_none():
    assert update.kappa("sum", 2240, 929589, 0.0) == 2240.0


def test_unknown_scale_lists_the_scales():
    with pytest.raises(ValueError, match="corpus"):
        update.kappa("total", 1, 1, 1.0)


def test_floor_clips_and_counts():
    h, count = update.floor_negative(np.array([-2.0, 0.0, 1e-9, 3.0]), "clip", 1e-8)
    np.testing.assert_array_equal(h, [1e-8, 1e-8, 1e-8, 3.0])
    assert count == 3


def test_floor_by_absolute_value_counts_signs():
    h, count = update.floor_negative(np.array([-2.0, 0.0, 3.0]), "abs")
    np.testing.assert_array_equal(h, [2.0, 0.0, 3.0])
    assert count == 1


def test_posterior_variance_equals_3_16():
    gamma, h = positive(0), positive(1)
    np.testing.assert_allclose(
        update.posterior_variance(gamma, h), reference.posterior_variance(gamma, h), rtol=1e-12
    )


@pytest.mark.parametrize("gamma", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("h", [1e-6, 1e-2, 1.0, 1e2])
def test_omega_equals_the_printed_3_17_within_its_cancellation(gamma, h):
    # gamma - c loses the digits of (1 + gamma h) / (gamma h); c itself carries two roundings
    tolerance = 4 * EPSILON * (1 + gamma * h) / (gamma * h) + 4 * EPSILON
    printed = reference.omega(gamma, reference.posterior_variance(gamma, h))
    np.testing.assert_allclose(update.omega(gamma, h), printed, rtol=tolerance)


def test_omega_stays_right_where_the_printed_form_is_zero():
    gamma, h = np.float32(1e-2), np.float32(1e-6)
    one = np.float32(1.0)
    printed = np.sqrt(gamma - one / (one / gamma + h)) / gamma
    assert printed == 0.0
    assert update.omega(gamma, h) == pytest.approx(1e-3, rel=1e-6)
    assert update.omega(1e-2, 1e-6) == pytest.approx(1e-3 / np.sqrt(1 + 1e-8), rel=1e-14)


def test_switch_equals_3_18():
    w, omega = np.random.default_rng(0).normal(size=(EDGES, OPS)), positive(2)
    expected = np.vectorize(reference.switch)(w, omega)
    np.testing.assert_allclose(update.switch(w, omega, 1e12), expected, rtol=1e-12)


def test_switch_limits():
    w = np.array([0.0, 0.0, 1.0, 1.0, -3.0])
    omega = np.array([0.0, 1.0, 0.0, 1e-320, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(update.switch(w, omega, 1e6), [0.0, 0.0, 1e6, 1e6, 1.5])


def test_prior_variance_equals_3_19():
    s = positive(3)
    expected = reference.prior_variance(reference.keyed(s, NODES))
    gamma = reference.keyed(update.prior_variance(s, "parents", SPACE), NODES)
    assert gamma.keys() == expected.keys()
    for key, value in expected.items():
        assert gamma[key] == pytest.approx(value, rel=1e-12), key


def test_prior_variance_equals_3_9_with_the_and():
    s, s_zero = positive(4), positive(5, EDGES)
    pairs = {tuple(edge): value for edge, value in zip(topology.edges(NODES).tolist(), s_zero, strict=True)}
    expected = reference.prior_variance_zero_edge(reference.keyed(s, NODES), pairs)
    gamma = reference.keyed(update.prior_variance(s, "zero_edge", SPACE, s_zero), NODES)
    for key, value in expected.items():
        assert gamma[key] == pytest.approx(value, rel=1e-12), key


def test_prior_variance_without_parents_is_s():
    s = positive(6)
    np.testing.assert_array_equal(update.prior_variance(s, "none", SPACE), s)


def test_zero_edge_without_switches_says_what_to_do():
    with pytest.raises(ValueError, match=r"zero_edge_switch"):
        update.prior_variance(positive(7), "zero_edge", SPACE)


def test_open_switches_give_3_19_and_closed_ones_close_what_follows():
    s = positive(8)
    wide = update.prior_variance(s, "zero_edge", SPACE, np.full(EDGES, 1e18))
    np.testing.assert_allclose(wide, update.prior_variance(s, "parents", SPACE), rtol=1e-9)
    closed = update.prior_variance(s, "zero_edge", SPACE, np.zeros(EDGES))
    behind = topology.edges(NODES)[:, 0] > 0
    np.testing.assert_array_equal(closed[behind], 0.0)
    np.testing.assert_array_equal(closed[~behind], s[~behind])


def test_zeros_give_limits_without_warnings():
    s = positive(9)
    s[topology.incoming(2)] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gamma = update.prior_variance(s, "parents", SPACE)
        zero = np.zeros(3)
        np.testing.assert_array_equal(update.posterior_variance(zero, np.array([0.0, 1.0, 1e300])), 0.0)
        np.testing.assert_array_equal(update.posterior_variance(np.array([2.0]), np.array([0.0])), 2.0)
        np.testing.assert_array_equal(update.omega(zero, np.array([0.0, 1.0, 4.0])), [0.0, 1.0, 2.0])
    assert np.isfinite(gamma).all()
    np.testing.assert_array_equal(gamma[topology.outgoing(2, NODES)], 0.0)


@pytest.mark.parametrize("h", [1e-4, 0.3, 1.0, 50.0])
def test_first_update_from_gamma_one(h):
    w = np.random.default_rng(1).normal(size=(EDGES, OPS))
    posterior = update.update(update.Prior.start(EDGES, OPS), w, np.full((EDGES, OPS), h), rules(1.0))
    np.testing.assert_allclose(posterior.s, np.abs(w) * np.sqrt((1 + h) / h), rtol=1e-12)
    np.testing.assert_array_equal(
        posterior.gamma[topology.outgoing(0, NODES)], posterior.s[topology.outgoing(0, NODES)]
    )


@pytest.mark.parametrize(("w", "h"), [(1.0, 1.0), (0.3, 20.0), (2.0, 1e-3)])
def test_fixed_point_without_parents(w, h):
    prior = update.Prior.start(1, 1)
    for _ in range(400):
        prior = update.update(prior, np.array([[w]]), np.array([[h]]), rules(1.0, parents="none")).prior
    assert prior.gamma[0, 0] == pytest.approx((w**2 + np.sqrt(w**4 + 4 * w**2 / h)) / 2, rel=1e-12)


def test_update_chains_the_equations():
    w, h = np.random.default_rng(2).normal(size=(EDGES, OPS)), positive(10)
    h[3, 1] = -1.0
    prior = update.Prior(positive(11), positive(12), positive(13))
    posterior = update.update(prior, w, h, rules(7.0))
    used = np.maximum(7.0 * h, 1e-8)
    c = reference.posterior_variance(prior.gamma, used)
    omega = np.sqrt(used / (1.0 + prior.gamma * used))
    np.testing.assert_array_equal(posterior.h, h)
    np.testing.assert_allclose(posterior.h_used, used, rtol=1e-15)
    np.testing.assert_allclose(posterior.c, c, rtol=1e-12)
    np.testing.assert_allclose(posterior.omega, omega, rtol=1e-12)
    np.testing.assert_allclose(posterior.s, np.minimum(np.abs(w) / omega, 1e6), rtol=1e-12)
    np.testing.assert_array_equal(posterior.gamma, update.prior_variance(posterior.s, "parents", SPACE))
    assert posterior.clipped == 1
    assert posterior.kappa == 7.0
    assert posterior.zero is None
    assert posterior.prior == (posterior.gamma, posterior.omega, posterior.s)


def test_update_carries_the_zero_edge_switches():
    given = rules(2.0, parents="zero_edge")
    w, h = np.ones((EDGES, OPS)), positive(14)
    zero = update.ZeroEdge(update.Prior.start(EDGES), np.full(EDGES, 0.5), positive(15, EDGES))
    posterior = update.update(update.Prior.start(EDGES, OPS), w, h, given, zero)
    alone = update.update(zero.prior, zero.w, zero.h, rules(2.0, parents="none"))
    np.testing.assert_array_equal(posterior.zero.s, alone.s)
    np.testing.assert_array_equal(posterior.zero.gamma, alone.s)
    np.testing.assert_array_equal(
        posterior.gamma, update.prior_variance(posterior.s, "zero_edge", SPACE, alone.s)
    )


def test_update_names_what_does_not_fit():
    start = update.Prior.start(EDGES, OPS)
    good = np.ones((EDGES, OPS))
    with pytest.raises(ValueError, match="w has shape"):
        update.update(start, np.ones((EDGES, 3)), good, rules(1.0))
    broken = good.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 60 entries of h are not finite"):
        update.update(start, good, broken, rules(1.0))
    for wrong in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="kappa"):
            update.update(start, good, good, rules(wrong))


@pytest.mark.parametrize(
    "wrong",
    [{"scale": "sums"}, {"negative": "drop"}, {"parents": "all"}, {"floor": -1.0}, {"cap": 0.0}],
)
def test_options_name_the_wrong_setting(wrong):
    with pytest.raises(ValueError, match=f"BayesOptions.{next(iter(wrong))}"):
        update.BayesOptions(**wrong)
