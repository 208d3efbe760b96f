import numpy as np
import pytest

from bayesnas_tf.curvature import exact
from bayesnas_tf.curvature.interface import CurvatureOptions
from tests.references import cell as cell_reference
from tests.references import curvature as reference
from tests.support.small import small_model, small_window

SLOW = pytest.mark.slow  # nested loops, once per scalar
NORMS = ["batch", pytest.param("layer", marks=SLOW), pytest.param("none", marks=SLOW), "mean"]


@pytest.mark.parametrize("norm", NORMS)
def test_the_hessian_equals_central_differences_of_the_gradient(norm):
    model = small_model(norm=norm, zero_edge_switch=True)
    x, y, state = small_window()
    options = CurvatureOptions(estimator="exact")
    actual = exact.estimate(model, x, y, state, None, options)
    twin = cell_reference.copy_of(model.cell, model)
    expected = reference.hessian(twin, x.numpy(), y.numpy(), state.numpy())
    scale = np.abs(expected.h).max()
    np.testing.assert_allclose(actual.h, expected.h, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(actual.h_zero, expected.h_zero, rtol=1e-6, atol=1e-7 * scale)
    assert np.any(expected.h < 0.0)  # what the Gauss-Newton matrix never has


@pytest.mark.parametrize(
    ("norm", "sharing"), [("batch", "node"), pytest.param("mean", "edge_op", marks=SLOW)]
)
def test_the_gauss_newton_oracle_equals_its_definition(norm, sharing):
    model = small_model(norm=norm, weight_sharing=sharing, zero_edge_switch=True)
    x, y, state = small_window()
    actual = exact.ggn_diagonal(model, x, y, state)
    twin = cell_reference.copy_of(model.cell, model)
    expected = reference.gauss_newton(twin, x.numpy(), state.numpy())
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-13)
