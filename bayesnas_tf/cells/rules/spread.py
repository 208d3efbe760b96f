"""The mixed edges that leave one node, as the staged form takes them: all at once, before any norm.

`spread` is what a source gives to each of k nodes behind it, `[B, k, U]`; `accumulate` adds that to the sums
that earlier sources have begun, and `first` takes the sum that is complete. XLA makes one pass over memory of
a stage of these three, and several where the sums are arrays of their own (docs/performance.md).
"""

import math
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.rules.base import Rule
from bayesnas_tf.numerics.sums import ordered_sum

SLICES = 16  # of the rows; with 32 and 64 rows the fastest number or close to it

# The gradient of k sums [B, k, U]: one array, or for each sum that has one, by its number, a part [B, U]. A
# sum is complete in one stage: from there its part goes back to all sources as it is, and is never copied.
Sums: TypeAlias = tf.Tensor | dict[int, tf.Tensor]


def spread(options: tuple[str, ...], plain: tuple[str, ...] = ()) -> Rule:
    """(M2) Σ_o w^o (x + σ(g) (o(a) - x)) + Σ_p w^p p(x) of k edges, `[B, k, U]`.

    From x `[B, U]`, [g, a] of the edges side by side `[B, k 2U]`, and their scalars `[k, O]`: a column for
    each of `options`, then for each of the functions `plain`. The gradient of the scalars comes by units,
    `[k, O, U]`.
    """
    count = len(options)

    def value(x, pre, w):
        gate, a = _halves(pre, w)
        values, _ = primitives.values_and_slopes(options, a)
        x = x[:, tf.newaxis]
        carried = _per_edge(tf.reduce_sum(w[:, :count], axis=1)) * x
        given = carried + _opened(gate) * (_mixture(w, values) - carried)
        if not plain:
            return given
        values, _ = primitives.values_and_slopes(plain, x)
        return given + _mixture(w[:, count:], values)

    def pull(g, x, pre, w):
        g = whole(g, [x.shape[0], w.shape[0], x.shape[1]])
        gate, a = _halves(pre, w)
        values, slopes = primitives.values_and_slopes(options, a)
        total, x, gate = _per_edge(tf.reduce_sum(w[:, :count], axis=1)), x[:, tf.newaxis], _opened(gate)
        opened = gate * g
        carried = g - opened
        d_gate = (_mixture(w, values) - total * x) * (1.0 - gate) * opened
        d_pre = tf.stack([d_gate, _mixture(w, slopes) * opened], axis=2)
        d_x, d_w = total * carried, [sum_of_rows(carried * x + opened * value) for value in values]
        if plain:
            values, slopes = primitives.values_and_slopes(plain, x)
            d_x += _mixture(w[:, count:], slopes) * g
            d_w += [sum_of_rows(g * value) for value in values]
        empty = [tf.zeros_like(d_w[0])] * (w.shape[1] - len(d_w))  # columns of other rows
        return tf.reduce_sum(d_x, axis=1), tf.reshape(d_pre, pre.shape), tf.stack(d_w + empty, axis=1)

    return Rule(value, pull, _no_diagonal, by_units=True)


def accumulate() -> Rule:
    """What a source gives, `[B, k, U]`, plus all but the first of the sums under way, `[B, k + 1, U]`."""

    def pull(g, given, under_way):
        del given, under_way
        if not isinstance(g, dict):
            g = dict(enumerate(tf.unstack(g, axis=1)))
        return g, {k + 1: part for k, part in g.items()}

    return Rule(lambda given, under_way: given + under_way[:, 1:], pull, _no_diagonal, linear=True)


def first() -> Rule:
    """The first of k sums: `[B, k, U]` -> `[B, U]`."""
    return Rule(lambda sums: sums[:, 0], lambda g, sums: ({0: g},), _no_diagonal, linear=True)


def whole(g: Sums, shape: Sequence[int]) -> tf.Tensor:
    """The gradient of k sums, `[B, k, U]`, of which some may have none.

    It comes in parts by their numbers: each is made once, where its sum is complete, and passed on as it is.
    """
    if not isinstance(g, dict):
        return g
    like = next(iter(g.values()))
    return tf.stack([g[k] if k in g else tf.zeros_like(like) for k in range(shape[1])], axis=1)


def _no_diagonal(*_: tf.Tensor) -> NoReturn:
    raise NotImplementedError("a staged form has no curvature: it is the same cell as one of mixes")


def _halves(pre: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """g and a, `[B, k, U]` each."""
    k = w.shape[0]
    by_edge = tf.reshape(pre, [pre.shape[0], k, 2, pre.shape[1] // (2 * k)])
    return by_edge[:, :, 0], by_edge[:, :, 1]


def sum_of_rows(x: tf.Tensor) -> tf.Tensor:
    """The sum of x `[B, ...]` over the rows: of slices first, then over the rows of one slice.

    Written so, XLA fuses it with what x is made of. A plain sum over rows makes XLA store x: five arrays in
    the gradient of an edge's scalars (docs/performance.md, "Sums in slices").
    """
    return tf.reduce_sum(ordered_sum(tf.split(x, math.gcd(x.shape[0], SLICES))), axis=0)


def _per_edge(values: tf.Tensor) -> tf.Tensor:
    """`[k]` shaped to multiply `[B, k, U]`."""
    return values[:, tf.newaxis]


def _mixture(w: tf.Tensor, parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Σ_o w^o part_o of k edges."""
    return ordered_sum(_per_edge(w[:, o]) * part for o, part in enumerate(parts))


def _opened(gate: tf.Tensor) -> tf.Tensor:
    """σ(g) as a tanh."""
    return 0.5 + 0.5 * tf.tanh(0.5 * gate)
