"""Elementwise functions of one to three values."""

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule, elementwise


def times() -> Rule:
    """The product of two values."""
    return elementwise(lambda a, b: a * b, lambda a, b: (b, a))


def one_minus() -> Rule:
    """1 - a."""
    return elementwise(lambda a: 1.0 - a, lambda a: (-tf.ones_like(a),))


def blend() -> Rule:
    """a b + (1 - a) c: b where a is 1, c where it is 0. Linear in each argument by itself."""
    return elementwise(lambda a, b, c: a * b + (1.0 - a) * c, lambda a, b, c: (b - c, a, 1.0 - a))


def apply(operation: str) -> Rule:
    """A primitive by its name."""
    op = primitives.by_name(operation)
    return elementwise(op.f, lambda a: (op.d1(a),), lambda a: (op.d2(a),))
