"""Selection by data: one graph serves every cell of a space. One-hot arguments have no rows."""

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule
from bayesnas_tf.cells.rules.gate import gated
from bayesnas_tf.numerics.sums import fan_out, ordered_sum


def pick(row: int, count: int) -> Rule:
    """Of `count` stacked values `[count, ..., B, U]` the one that row `row` of one-hot `[N, M]` marks."""

    def value(one_hot, stacked):
        return tf.ensure_shape(tf.tensordot(one_hot[row, :count], stacked, 1), stacked.shape[1:])

    def pull(g, one_hot, stacked):
        weights = tf.reshape(one_hot[row, :count], [count] + [1] * (stacked.shape.rank - 1))
        return None, weights * tf.expand_dims(g, axis=-stacked.shape.rank)

    return Rule(value, pull, pull)


def choose(options: tuple[str, ...], row: int, plain: tuple[str, ...] = ()) -> Rule:
    """What a row of a one-hot `[N, O]` marks: the gate of x `[..., B, U]` and [g, a] with one of `options`.

    Or, where it marks a column behind those, one of the functions `plain` of x.
    """
    ops, functions = ([primitives.by_name(name) for name in names] for names in (options, plain))

    def marks(one_hot) -> tuple[list, list]:
        of_row = tf.unstack(one_hot[row, : len(ops) + len(functions)])
        return of_row[: len(ops)], of_row[len(ops) :]

    def value(one_hot, x, pre):
        logit, a = tf.split(pre, 2, axis=-1)
        gating, direct = marks(one_hot)
        copies = fan_out(a, len(ops))
        chosen = ordered_sum(mark * op.f(copy) for mark, op, copy in zip(gating, ops, copies, strict=True))
        if not functions:
            return gated(x, logit, chosen)
        terms = [mark * function.f(x) for mark, function in zip(direct, functions, strict=True)]
        return ordered_sum([ordered_sum(gating) * gated(x, logit, chosen), *terms])

    def slopes(one_hot, x, pre):
        """∂y in x and [g, a]."""
        logit, a = tf.split(pre, 2, axis=-1)
        gating, direct = marks(one_hot)
        c, open_ = tf.sigmoid(logit), ordered_sum(gating)
        t = ordered_sum(mark * op.f(a) for mark, op in zip(gating, ops, strict=True))
        slope = ordered_sum(mark * op.d1(a) for mark, op in zip(gating, ops, strict=True))
        terms = [mark * function.d1(x) for mark, function in zip(direct, functions, strict=True)]
        carry = ordered_sum([open_ * (1.0 - c), *terms])
        return carry, open_ * c * (1.0 - c) * (t - x), c * slope

    def pull(g, one_hot, x, pre):
        carry, opening, slope = slopes(one_hot, x, pre)
        return None, carry * g, tf.concat([opening * g, slope * g], axis=-1)

    def diagonal(h, one_hot, x, pre):
        carry, opening, slope = (tf.square(part) for part in slopes(one_hot, x, pre))
        return None, carry * h, tf.concat([opening * h, slope * h], axis=-1)

    return Rule(value, pull, diagonal)
