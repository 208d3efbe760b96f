"""Elementwise functions of one or two values."""

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule, elementwise


def times() -> Rule:
    """The product of two values."""
    return elementwise(lambda a, b: a * b, lambda a, b: (b, a))


def one_minus() -> Rule:
    """1 - a."""
    return elementwise(lambda a: 1.0 - a, lambda a: (-tf.ones_like(a),))


def apply(operation: str) -> Rule:
    """A primitive by its name."""
    op = primitives.by_name(operation)
    return elementwise(op.f, lambda a: (op.d1(a),), lambda a: (op.d2(a),))
