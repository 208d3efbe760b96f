"""Sums with a fixed order: two runs of one graph give the same last bit."""

import functools
import operator
from collections.abc import Iterable

import tensorflow as tf


def keep_order() -> None:
    """Let no graph of this process join sums: TensorFlow's arithmetic optimizer makes one `AddN` of three.

    It is to be called before a graph runs; docs/performance.md has the times with and without.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def ordered_sum(terms: Iterable[tf.Tensor]) -> tf.Tensor:
    """The sum of tensors `[...]`, in their order.

    `tf.add_n` begins with whichever buffer comes free first, so that two runs differ in the last bits; a sum
    of two does not depend on the order. In a graph it stays so behind `keep_order` alone.
    """
    return functools.reduce(operator.add, terms)


def fan_out(x: tf.Tensor, copies: int) -> list[tf.Tensor]:
    """x `[...]` for `copies` users, whose gradients are added in this order.

    TensorFlow's own sum of more than two gradients has no fixed order (`ordered_sum`).
    """
    if copies < 3:
        return [x] * copies

    @tf.custom_gradient
    def spread(x):
        return tuple(tf.identity(x) for _ in range(copies)), lambda *upstream: ordered_sum(upstream)

    return list(spread(x))
