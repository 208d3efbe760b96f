"""Elementwise functions by name, each with its first two derivatives."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.errors import unknown

LEAK = 0.01  # the slope of `leaky_relu` below 0, which is PyTorch's


class Primitive(NamedTuple):
    """An elementwise function f with f' and f'', each a function of the input of f."""

    name: str
    f: Callable[[tf.Tensor], tf.Tensor]
    d1: Callable[[tf.Tensor], tf.Tensor]
    d2: Callable[[tf.Tensor], tf.Tensor]


def _tanh_d1(x: tf.Tensor) -> tf.Tensor:
    """1 - tanh(x)^2."""
    return 1.0 - tf.square(tf.tanh(x))


def _tanh_d2(x: tf.Tensor) -> tf.Tensor:
    """-2 tanh(x) (1 - tanh(x)^2)."""
    y = tf.tanh(x)
    return -2.0 * y * (1.0 - tf.square(y))


def _relu_d1(x: tf.Tensor) -> tf.Tensor:
    """The step function; 0 at x = 0, as TensorFlow's own gradient."""
    return tf.cast(x > 0.0, x.dtype)


def _leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """x where that is positive, else LEAK x; TensorFlow's own takes the slope in float32 alone."""
    return tf.where(x > 0.0, x, LEAK * x)


def _leaky_relu_d1(x: tf.Tensor) -> tf.Tensor:
    """1 where x is positive, else LEAK."""
    return tf.where(x > 0.0, tf.ones_like(x), LEAK * tf.ones_like(x))


def _sigmoid_d1(x: tf.Tensor) -> tf.Tensor:
    """y (1 - y), with y the sigmoid."""
    y = tf.sigmoid(x)
    return y * (1.0 - y)


def _sigmoid_d2(x: tf.Tensor) -> tf.Tensor:
    """y (1 - y) (1 - 2y), with y the sigmoid."""
    y = tf.sigmoid(x)
    return y * (1.0 - y) * (1.0 - 2.0 * y)


FUNCTIONS: tuple[Primitive, ...] = (
    Primitive("tanh", tf.tanh, _tanh_d1, _tanh_d2),
    Primitive("relu", tf.nn.relu, _relu_d1, tf.zeros_like),
    Primitive("sigmoid", tf.sigmoid, _sigmoid_d1, _sigmoid_d2),
    Primitive("identity", tf.identity, tf.ones_like, tf.zeros_like),
    Primitive("leaky_relu", _leaky_relu, _leaky_relu_d1, tf.zeros_like),
)

_BY_NAME = {function.name: function for function in FUNCTIONS}


def by_name(name: str) -> Primitive:
    """The function of that name; `ValueError` lists the names there are."""
    if name not in _BY_NAME:
        raise ValueError(unknown("operation", name, _BY_NAME))
    return _BY_NAME[name]


def values_and_slopes(names: tuple[str, ...], x: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """f(x) and f'(x) of each function, of the shape of x `[...]`.

    Those among the four of `highway` come from one tanh. With t = tanh(x/2): σ(x) = (1 + t) / 2 and
    tanh(x) = 2t / (1 + t²).
    """
    t = tf.tanh(0.5 * x)
    tanh, sigmoid = 2.0 * t / (1.0 + t * t), 0.5 + 0.5 * t
    known = {
        "tanh": (tanh, 1.0 - tanh * tanh),
        "relu": (tf.nn.relu(x), _relu_d1(x)),
        "sigmoid": (sigmoid, sigmoid * (1.0 - sigmoid)),
        "identity": (x, tf.ones_like(x)),
    }
    pairs = [known.get(name) or (by_name(name).f(x), by_name(name).d1(x)) for name in names]
    values, slopes = zip(*pairs, strict=True)
    return list(values), list(slopes)
