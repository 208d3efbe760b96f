import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.curvature import thesis
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.space.highway import topology
from tests.references import cell as cell_reference
from tests.references import curvature as reference
from tests.support.pairs import pairwise
from tests.support.small import BATCH, STEPS, UNITS, small_model, small_window

SEED = tf.constant([1, 2])


def both(tau, d_term, **form):
    """The estimate and its twin."""
    model = small_model(**form)
    x, y, state = small_window()
    options = CurvatureOptions(estimator="thesis", tau=tau, d_term=d_term)
    actual = thesis.estimate(model, x, y, state, SEED, options)
    twin = cell_reference.copy_of(model.cell, model)
    return actual, reference.thesis(twin, x.numpy(), y.numpy(), state.numpy(), tau, d_term)


@pytest.mark.parametrize(
    ("norm", "sharing", "d_term"),
    pairwise(["batch", "layer", "none", "mean"], ["node", "edge", "edge_op"], [False, True]),
)
def test_every_norm_and_sharing_equals_the_loops(norm, sharing, d_term):
    actual, expected = both(3, d_term, norm=norm, weight_sharing=sharing)
    np.testing.assert_allclose(actual.h, expected.h, rtol=1e-10, atol=1e-13)
    assert actual.h_zero is None


@pytest.mark.parametrize("d_term", [False, True], ids=["printed", "with D"])
@pytest.mark.parametrize("tau", [1, 2, STEPS, STEPS + 3])
def test_every_horizon_equals_the_loops_switches_included(tau, d_term):
    form = {"nodes": 3, "zero_edge_switch": True, "norm_learnable": True}
    actual, expected = both(tau, d_term, norm="batch", **form)
    np.testing.assert_allclose(actual.h, expected.h, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(actual.h_zero, expected.h_zero, rtol=1e-10, atol=1e-13)


def test_without_d_nothing_is_negative_and_d_matters():
    printed, _ = both(3, False, norm="batch")
    with_d, _ = both(3, True, norm="batch")
    assert np.all(printed.h.numpy() >= 0.0)
    assert not np.allclose(printed.h, with_d.h, rtol=1e-3)


def test_path_factors_sum_over_all_paths_to_the_output():
    squares = np.random.default_rng(0).uniform(0.1, 1.0, size=topology.edge_count(3))
    s = {
        pair: squares[topology.edge_index(*pair)] for pair in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    }
    c3 = 1.0
    c2 = 1.0 + s[2, 3]
    c1 = 1.0 + s[1, 3] + s[1, 2] * c2
    c0 = s[0, 1] * c1 + s[0, 2] * c2 + s[0, 3] * c3
    np.testing.assert_allclose(thesis.path_factors(tf.constant(squares), 3), np.array([c0, c1, c2, c3]) / 9.0)


def test_time_is_shifted_towards_the_past():
    x = np.random.default_rng(0).normal(size=(STEPS, BATCH, UNITS))
    shifted = thesis.earlier(tf.constant(x)).numpy()
    np.testing.assert_array_equal(shifted[:-1], x[1:])
    np.testing.assert_array_equal(shifted[-1], 0.0)
