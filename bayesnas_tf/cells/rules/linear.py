"""Rules that are linear in their arguments."""

import math

import tensorflow as tf

from bayesnas_tf.cells.rules.base import Rule
from bayesnas_tf.numerics.sums import ordered_sum


def plus() -> Rule:
    """The sum of all arguments, in their order."""
    copies = lambda g, *x: (g,) * len(x)  # noqa: E731
    return Rule(lambda *x: ordered_sum(x), copies, copies, linear=True)


def mean() -> Rule:
    """(M4) The mean of all arguments."""
    return Rule(
        # not add_n: it sums in the order in which buffers come free, and two runs differ in the last bit
        lambda *x: tf.reduce_mean(tf.stack(x), axis=0),
        lambda g, *x: (g / len(x),) * len(x),
        lambda h, *x: (h / len(x) ** 2,) * len(x),
        linear=True,
    )


def stack() -> Rule:
    """All arguments on a new axis in front: `[k, ..., B, U]`."""

    def pull(g, *x):
        axis = -1 - x[0].shape.rank
        return tuple(tf.unstack(g, num=len(x), axis=axis))

    return Rule(lambda *x: tf.stack(x), pull, pull, linear=True)


def part(k: int, count: int) -> Rule:
    """The k-th of `count` equal parts of the last axis."""

    def pull(g, x):
        zeros = tf.zeros_like(g)
        return (tf.concat([*[zeros] * k, g, *[zeros] * (count - 1 - k)], axis=-1),)

    return Rule(lambda x: tf.split(x, count, axis=-1)[k], pull, pull, linear=True, cheap=True)


def columns(first: int, end: int, count: int) -> Rule:
    """Parts `first` to `end` of `count` equal parts of the last axis, side by side."""

    def value(x):
        width = x.shape[-1] // count
        return x[..., first * width : end * width]

    def pull(g, x):
        width = x.shape[-1] // count
        return (tf.pad(g, [*[[0, 0]] * (g.shape.rank - 1), [first * width, (count - end) * width]]),)

    return Rule(value, pull, pull, linear=True, cheap=True)


def scale(row: int) -> Rule:
    """x times row `row` of a weight `[N, U]`, plus that row of another."""

    def pull(g, x, factor, offset):
        del offset
        at = tf.one_hot(row, factor.shape[0], dtype=g.dtype)[:, tf.newaxis]
        of_rows = lambda part: part[..., tf.newaxis, :] * at  # noqa: E731
        return g * factor[row], of_rows(g * x), of_rows(g)

    def diagonal(h, x, factor, offset):
        del offset
        at = tf.one_hot(row, factor.shape[0], dtype=h.dtype)[:, tf.newaxis]
        of_rows = lambda part: part[..., tf.newaxis, :] * at  # noqa: E731
        return h * tf.square(factor[row]), of_rows(h * tf.square(x)), of_rows(h)

    return Rule(lambda x, factor, offset: x * factor[row] + offset[row], pull, diagonal)


def bias() -> Rule:
    """x `[..., B, N]` plus biases side by side, zeros behind them: `[U]`, and `[m, U]` for m of them."""

    def pull(g, x, *biases):
        widths = [math.prod(bias.shape) for bias in biases]
        rest = x.shape[-1] - sum(widths)
        parts = zip(biases, tf.split(g, [*widths, rest], axis=-1), strict=False)
        return (g, *(tf.reshape(part, [*part.shape[:-1], *bias.shape]) for bias, part in parts))

    def value(x, *biases):
        flat = tf.concat([tf.reshape(bias, [-1]) for bias in biases], axis=-1)
        return x + tf.pad(flat, [[0, x.shape[-1] - flat.shape[0]]])

    return Rule(value, pull, pull, linear=True)


def rows(*numbers: int) -> Rule:
    """These rows of a weight `[E, ...]`; computed once per window, and differentiated by TensorFlow."""

    def none(*_):
        raise NotImplementedError("rows of a weight are taken outside of the time loop")

    # along the last axis: a gather along the first has slices as its gradient
    taken = lambda w: tf.transpose(tf.gather(tf.transpose(w), numbers, axis=1))  # noqa: E731
    return Rule(taken, none, none)
