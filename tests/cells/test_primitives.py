"""f, f' and f'' of every operation."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.space.highway import operations

# away from 0, where relu has no derivative, by more than the step of the differences
POINTS = np.concatenate([-np.linspace(0.1, 4.0, 14), np.linspace(0.1, 4.0, 14)])
STEP = 1e-5

NUMPY = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "identity": lambda x: x,
    "leaky_relu": lambda x: np.where(x > 0.0, x, 0.01 * x),
}
EVERY = [pytest.param(function, id=function.name) for function in primitives.FUNCTIONS]


def difference(f):
    """Central difference: error f'''/6 STEP^2 + eps/STEP, under 1e-9 + 2e-11 here."""
    up, down = tf.constant(POINTS + STEP), tf.constant(POINTS - STEP)
    return (f(up).numpy() - f(down).numpy()) / (2 * STEP)


def test_order_of_the_operations_is_fixed():
    assert operations.OP_NAMES == ("tanh", "relu", "sigmoid", "identity")
    assert set(NUMPY) == {function.name for function in primitives.FUNCTIONS}


@pytest.mark.parametrize("op", EVERY)
def test_value_equals_numpy(op):
    np.testing.assert_allclose(op.f(tf.constant(POINTS)).numpy(), NUMPY[op.name](POINTS), rtol=1e-14)


@pytest.mark.parametrize("op", EVERY)
def test_derivatives_equal_central_differences(op):
    x = tf.constant(POINTS)
    np.testing.assert_allclose(op.d1(x).numpy(), difference(op.f), atol=1e-9)
    np.testing.assert_allclose(op.d2(x).numpy(), difference(op.d1), atol=1e-9)


@pytest.mark.parametrize("op", EVERY)
def test_first_derivative_is_the_tape_gradient_also_at_zero(op):
    x = tf.constant(np.append(POINTS, 0.0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = op.f(x)
    np.testing.assert_allclose(op.d1(x).numpy(), tape.gradient(y, x).numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("op", EVERY)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_shape_and_dtype_are_kept(op, dtype):
    x = tf.ones([2, 3], dtype)
    for function in (op.f, op.d1, op.d2):
        assert function(x).dtype == dtype
        assert function(x).shape == (2, 3)


def test_by_name():
    assert all(primitives.by_name(op.name) is op for op in primitives.FUNCTIONS)
    with pytest.raises(ValueError, match=r"unknown operation 'swish'.*tanh, relu, sigmoid, .*leaky_relu"):
        primitives.by_name("swish")


def test_values_and_slopes_from_one_tanh_equal_those_of_each_operation():
    x = tf.constant(np.linspace(-30.0, 30.0, 401))
    names = (*operations.OP_NAMES[::-1], "leaky_relu", "tanh")
    values, slopes = primitives.values_and_slopes(names, x)
    for op, value, slope in zip(map(primitives.by_name, names), values, slopes, strict=True):
        np.testing.assert_allclose(value, op.f(x), rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(slope, op.d1(x), rtol=1e-12, atol=1e-14)
