import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.curvature import exact
from bayesnas_tf.curvature.interface import CurvatureOptions
from tests.curvature.small import small_model, small_window
from tests.references import cell as cell_reference
from tests.references import curvature as reference

NORMS = ["batch", "layer", "none", "mean"]


@pytest.mark.parametrize("norm", NORMS)
def test_the_hessian_equals_central_differences_of_the_gradient(norm):
    model = small_model(norm=norm, zero_edge_switch=True)
    x, y, state = small_window()
    options = CurvatureOptions(estimator="exact")
    compiled = tf.function(lambda *window: exact.estimate(model, *window, None, options))
    actual = compiled(x, y, state)
    twin = cell_reference.copy_of(model.cell, model)
    expected = reference.hessian(twin, x.numpy(), y.numpy(), state.numpy())
    scale = np.abs(expected.h).max()
    np.testing.assert_allclose(actual.h, expected.h, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(actual.h_zero, expected.h_zero, rtol=1e-6, atol=1e-7 * scale)
    assert np.any(expected.h < 0.0)  # what the Gauss-Newton matrix never has


def test_eager_equals_graph():
    model = small_model(norm="batch")
    x, y, state = small_window()
    options = CurvatureOptions(estimator="exact")
    eager = exact.estimate(model, x, y, state, None, options)
    graph = tf.function(lambda *window: exact.estimate(model, *window, None, options))(x, y, state)
    np.testing.assert_allclose(eager.h, graph.h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sharing", ["node", "edge_op"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_gauss_newton_oracle_equals_its_definition(norm, sharing):
    model = small_model(norm=norm, weight_sharing=sharing, zero_edge_switch=True)
    x, y, state = small_window()
    actual = tf.function(lambda *window: exact.ggn_diagonal(model, *window))(x, y, state)
    twin = cell_reference.copy_of(model.cell, model)
    expected = reference.gauss_newton(twin, x.numpy(), state.numpy())
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-13)
