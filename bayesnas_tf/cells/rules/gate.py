"""The highway bypass (M1, M2): x + σ(g) (o(a) - x), with [g, a] the halves of a pre-activation."""

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule


@tf.custom_gradient
def gated(x, gate, candidate):
    """x + sigmoid(g) (c - x): the highway bypass (3.3), with the gate's logit g; one gradient reaches x."""

    def gradient(upstream):
        opened = tf.sigmoid(gate)
        of_candidate = opened * upstream
        return upstream - of_candidate, (candidate - x) * (1.0 - opened) * of_candidate, of_candidate

    return x + tf.sigmoid(gate) * (candidate - x), gradient


def gate(operation: str) -> Rule:
    """Of x `[..., B, U]` and [g, a] `[..., B, 2U]`."""
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
