"""The highway bypass (M1, M2): x + σ(g) (o(a) - x), with [g, a] the halves of a pre-activation."""

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule


@tf.custom_gradient
def gated(x: tf.Tensor, gate: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
    """x + sigmoid(g) (c - x), `[..., B, U]` each: the highway bypass (M2; 3.3), with the gate's logit g.

    The gradient is written out, so that one gradient reaches x, and not one for each time that it is read:
    sums of three have no fixed order (`numerics.sums.ordered_sum`).
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        opened = tf.sigmoid(gate)
        of_candidate = opened * upstream
        return upstream - of_candidate, (candidate - x) * (1.0 - opened) * of_candidate, of_candidate

    return x + tf.sigmoid(gate) * (candidate - x), gradient


def gate(operation: str) -> Rule:
    """x + σ(g) (o(a) - x) (M1, M2) of x `[..., B, U]` and [g, a] `[..., B, 2U]`, as one operation.

    As one, the diagonal of x is (1 - σ(g))² h. As a sum and a product of parts it would be (1 + σ(g)²) h,
    above 1 at every step, and the curvature would grow through time (docs/method.md, `recursive`).
    """
    op = primitives.by_name(operation)

    def value(x, pre):
        logit, a = tf.split(pre, 2, axis=-1)
        return gated(x, logit, op.f(a))

    def slopes(x, pre):
        """∂y in x, g and a."""
        logit, a = tf.split(pre, 2, axis=-1)
        c = tf.sigmoid(logit)
        return 1.0 - c, c * (1.0 - c) * (op.f(a) - x), c * op.d1(a)

    def pull(g, x, pre):
        carry, opening, slope = slopes(x, pre)
        return carry * g, tf.concat([opening * g, slope * g], axis=-1)

    def diagonal(h, x, pre):
        carry, opening, slope = (tf.square(part) for part in slopes(x, pre))
        return carry * h, tf.concat([opening * h, slope * h], axis=-1)

    def second(g, x, pre):
        logit, a = tf.split(pre, 2, axis=-1)
        c = tf.sigmoid(logit)
        opening = c * (1.0 - c) * (op.f(a) - x)
        return None, tf.concat([(1.0 - 2.0 * c) * opening * g, c * op.d2(a) * g], axis=-1)

    return Rule(value, pull, diagonal, second)
