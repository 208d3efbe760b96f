"""The norm of a node (`cells.norms`) as a rule, and the Jacobian of a standardisation."""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import norms
from bayesnas_tf.cells.rules.base import Rule, elementwise

STATISTICS: dict[norms.Norm, int] = {"batch": -2, "layer": -1}  # norm -> the axis of its statistics


class Standardised(NamedTuple):
    """y = (x - mean) / root over one axis (`cells.norms.standardise`), and its symmetric Jacobian."""

    y: tf.Tensor
    inverse: tf.Tensor  # 1 / root
    axis: int

    @classmethod
    def of(cls, x: tf.Tensor, axis: int) -> "Standardised":
        """From x `[..., B, U]`."""
        y, inverse = norms.standardise(x, axis)
        return cls(y, inverse, axis)

    def mean(self, v: tf.Tensor) -> tf.Tensor:
        """Of v `[..., B, U]` over the axis, which stays with size 1."""
        return tf.reduce_mean(v, axis=self.axis, keepdims=True)

    def moved(self, v: tf.Tensor, constant: bool = False) -> tf.Tensor:
        """The Jacobian times v `[..., B, U]`; `constant`: as if the statistics were constants."""
        if constant:
            return v * self.inverse
        return (v - self.mean(v) - self.y * self.mean(v * self.y)) * self.inverse

    def diagonal(self, s: tf.Tensor, constant: bool = False) -> tf.Tensor:
        """The squared Jacobian, transposed, times s `[..., B, U]`; `constant` as for `moved`.

        The closed form of docs/method.md, `recursive`, over the n entries of the axis: the Jacobian is full,
        but the sum of its squares needs three means alone, and no array of n x n entries.
        """
        if constant:
            return s * tf.square(self.inverse)
        count, mean = tf.cast(tf.shape(self.y)[self.axis], s.dtype), self.mean
        own = s * (1.0 - 2.0 * (1.0 + tf.square(self.y)) / count)
        others = mean(s) + 2.0 * self.y * mean(s * self.y) + tf.square(self.y) * mean(s * tf.square(self.y))
        return (own + others / count) * tf.square(self.inverse)


def norm(kind: norms.Norm, terms: int) -> Rule:
    """The norm of a sum of `terms` terms.

    Diagonal lanes go through the statistics in closed form. With D terms the statistics are constants,
    because their own second derivatives make every entry negative at initialisation.
    """
    if kind not in STATISTICS:
        factor = 1.0 / terms if kind == "mean" else 1.0
        scaled = elementwise(
            lambda x: norms.normalise(x, kind, terms),
            lambda x: (tf.constant(factor, x.dtype),),
        )
        return scaled._replace(linear=True, cheap=True)
    axis = STATISTICS[kind]
    return Rule(
        lambda x: norms.normalise(x, kind, terms),
        lambda g, x: (Standardised.of(x, axis).moved(g),),
        lambda h, x, constant=False: (Standardised.of(x, axis).diagonal(h, constant),),
        statistics=True,
        cheap=True,
    )
