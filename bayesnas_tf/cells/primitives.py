"""The four operations of the search space, each with its first two derivatives.

The order of `OPS`, that of `OP_NAMES`, is the order of the last axis of every `[E, O]` array in this package.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.space.highway.operations import OP_NAMES, position

__all__ = ["OPS", "OP_NAMES", "Primitive", "by_name", "values_and_slopes"]


class Primitive(NamedTuple):
    """An elementwise function f with f' and f'', each a function of the input of f."""

    name: str
    f: Callable[[tf.Tensor], tf.Tensor]
    d1: Callable[[tf.Tensor], tf.Tensor]
    d2: Callable[[tf.Tensor], tf.Tensor]


def _tanh_d1(x):
    """1 - tanh(x)^2."""
    return 1.0 - tf.square(tf.tanh(x))


def _tanh_d2(x):
    """-2 tanh(x) (1 - tanh(x)^2)."""
    y = tf.tanh(x)
    return -2.0 * y * (1.0 - tf.square(y))


def _relu_d1(x):
    """The step function; 0 at x = 0, as TensorFlow's own gradient."""
    return tf.cast(x > 0.0, x.dtype)


def _sigmoid_d1(x):
    """y (1 - y), with y the sigmoid."""
    y = tf.sigmoid(x)
    return y * (1.0 - y)


def _sigmoid_d2(x):
    """y (1 - y) (1 - 2y), with y the sigmoid."""
    y = tf.sigmoid(x)
    return y * (1.0 - y) * (1.0 - 2.0 * y)


OPS: tuple[Primitive, ...] = (
    Primitive("tanh", tf.tanh, _tanh_d1, _tanh_d2),
    Primitive("relu", tf.nn.relu, _relu_d1, tf.zeros_like),
    Primitive("sigmoid", tf.sigmoid, _sigmoid_d1, _sigmoid_d2),
    Primitive("identity", tf.identity, tf.ones_like, tf.zeros_like),
)


def by_name(name: str) -> Primitive:
    """The operation of that name; `ValueError` lists the names there are."""
    return OPS[position(name)]


def values_and_slopes(x):
    """f(x) and f'(x) of every operation, in the order of `OPS`, from one tanh.

    With t = tanh(x/2): σ(x) = (1 + t) / 2 and tanh(x) = 2t / (1 + t²).
    """
    t = tf.tanh(0.5 * x)
    tanh, sigmoid = 2.0 * t / (1.0 + t * t), 0.5 + 0.5 * t
    values = (tanh, tf.nn.relu(x), sigmoid, x)
    return values, (1.0 - tanh * tanh, _relu_d1(x), sigmoid * (1.0 - sigmoid), tf.ones_like(x))
