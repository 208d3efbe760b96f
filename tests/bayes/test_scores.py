"""Every score against its formula written out; the table must cover the registry."""

import math
from typing import get_args

import numpy as np
import pytest

from bayesnas_tf.bayes import scores, update
from bayesnas_tf.space.highway.space import Highway

SHAPE = (10, 4)

# one edge-op at a time: (w, gradient, h, gamma, kappa, oracle) -> score
TWINS = {
    "gamma": lambda w, g, h, gamma, kappa, oracle: gamma,
    "saliency": lambda w, g, h, gamma, kappa, oracle: w * w * h / 2,
    "evidence": lambda w, g, h, gamma, kappa, oracle: (
        (w * w * (1 / gamma + kappa * h) - math.log(gamma * (1 / gamma + kappa * h))) / 2
    ),
    "taylor": lambda w, g, h, gamma, kappa, oracle: w * w * h / 2 - w * g,
    "magnitude": lambda w, g, h, gamma, kappa, oracle: abs(w),
    "oracle": lambda w, g, h, gamma, kappa, oracle: oracle,
}


def make(seed=0, **changes):
    """A context of random numbers."""
    rng = np.random.default_rng(seed)
    positive = [np.exp(rng.normal(size=SHAPE)) for _ in range(4)]
    h, gamma, omega, s = positive
    signed = [rng.normal(size=SHAPE) for _ in range(3)]
    w, gradient, oracle = signed
    return scores.Context(w, h, gamma, omega, s, 30.0, gradient, oracle)._replace(**changes)


def test_every_score_has_a_twin_and_an_option():
    assert set(scores.SCORES) == set(TWINS) == set(get_args(scores.Score))


@pytest.mark.parametrize("name", sorted(scores.SCORES))
def test_score_equals_its_formula(name):
    context = make()
    expected = np.vectorize(TWINS[name])(
        context.w, context.gradient, context.h, context.gamma, context.kappa, context.oracle
    )
    # ln(gamma / c) is of order 1 here and adds to w^2 / c: an absolute 1e-13 bounds its rounding
    np.testing.assert_allclose(scores.score(name, context), expected, rtol=1e-12, atol=1e-13)


def test_evidence_is_the_log_ratio_of_prior_to_posterior_density_at_zero():
    context = make(1)
    c = 1 / (1 / context.gamma + context.kappa * context.h)

    def log_density(mean, variance):
        return -0.5 * (np.log(2 * math.pi * variance) + mean**2 / variance)

    expected = log_density(0.0, context.gamma) - log_density(context.w, c)
    np.testing.assert_allclose(scores.evidence(context), expected, rtol=1e-11, atol=1e-12)


def test_evidence_of_a_scalar_that_the_prior_holds_at_zero_is_zero():
    context = make(gamma=np.zeros(SHAPE))
    np.testing.assert_array_equal(scores.evidence(context), 0.0)


def test_evidence_falls_with_h_when_w_is_zero():
    context = make(w=np.zeros(SHAPE))
    assert (scores.evidence(context) < 0.0).all()


def test_taylor_is_exact_for_a_quadratic_loss():
    rng = np.random.default_rng(3)
    h, w, best = np.exp(rng.normal(size=SHAPE)), rng.normal(size=SHAPE), rng.normal(size=SHAPE)

    def loss(x):
        return 0.5 * h * (x - best) ** 2

    context = make(w=w, h=h, gradient=h * (w - best))
    np.testing.assert_allclose(scores.taylor(context), loss(0.0) - loss(w), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "field"), [("taylor", "gradient"), ("oracle", "oracle")])
def test_a_score_without_its_input_says_what_to_do(name, field):
    with pytest.raises(ValueError, match=f"PruneOptions.score='{name}' needs .*Set PruneOptions.score"):
        scores.score(name, make(**{field: None}))


def test_unknown_score_lists_the_scores():
    with pytest.raises(ValueError, match="saliency"):
        scores.score("luck", make())


def test_context_of_an_update_uses_the_floored_h_before_kappa():
    h = np.full(SHAPE, 0.5)
    h[0, 0] = -1.0
    w = np.full(SHAPE, 2.0, dtype=np.float32)
    zero = update.ZeroEdge(update.Prior.start(10), np.ones(10), np.ones(10))
    posterior = update.update(
        update.Prior.start(*SHAPE), w, h, update.Rules(update.BayesOptions(), 4.0, Highway(4)), zero
    )
    context = scores.Context.of(posterior, w)
    assert context.h[0, 0] == pytest.approx(1e-8 / 4)
    assert context.h[1, 1] == 0.5
    assert context.w.dtype == np.float64
    assert context.kappa == 4.0
    np.testing.assert_array_equal(context.gamma, posterior.gamma)
    np.testing.assert_array_equal(context.s_zero, posterior.zero.s)
