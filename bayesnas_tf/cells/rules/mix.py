"""The mixed edges into one node (M2, M3): Norm(Σ_i Σ_o w_i^o (x_i + σ(g) (o(a) - x_i))).

Predecessors are stacked, `[j, ..., B, U]`; [g, a] are `[j, ..., B, 2U]`, or `[O, j, ..., B, 2U]` where every
operation has its own (equation 3.1 read literally). The scalars of all sites are `[E, O]`; a rule takes the
rows of its node.

Sum and norm are one rule, for the diagonal of the scalars needs both: h_w = Σ h_y (∂y/∂w)² with the whole
Jacobian of the norm. What w_i^o adds along y itself the norm takes out again; sum and norm one after the
other would count it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import norms, primitives
from bayesnas_tf.cells.rules.base import Rule
from bayesnas_tf.cells.rules.gate import gated
from bayesnas_tf.cells.rules.norm import STATISTICS, Standardised
from bayesnas_tf.numerics.sums import fan_out, ordered_sum


class Mixture(NamedTuple):
    """Which edges, and what becomes of their sum."""

    options: tuple[str, ...]  # the operations behind a gate, the first columns of w
    rows: tuple[int, int]  # of w: first and end
    norm: norms.Norm
    plain: tuple[str, ...] = ()  # functions of x itself, without kernel or gate: the columns behind them

    @property
    def ops(self) -> list[primitives.Primitive]:
        """The operations behind a gate, as functions."""
        return [primitives.by_name(name) for name in self.options]

    @property
    def functions(self) -> list[primitives.Primitive]:
        """The operations without one."""
        return [primitives.by_name(name) for name in self.plain]

    @property
    def terms(self) -> int:
        """Of the sum."""
        return (len(self.options) + len(self.plain)) * (self.rows[1] - self.rows[0])

    def value(self, x: tf.Tensor, pre: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        """The node's value `[..., B, U]` (M3) from x `[j, ..., B, U]`, [g, a] and the scalars `[E, O]`."""
        own = w[slice(*self.rows)]
        total = mixed_sum(x, pre, own[:, : len(self.options)] if self.plain else own, self.ops)
        if self.plain:
            columns = enumerate(self.functions, start=len(self.options))
            given = ordered_sum(_column(own[:, o], x) * function.f(x) for o, function in columns)
            total += tf.reduce_sum(given, axis=0)
        return norms.normalise(total, self.norm, self.terms)


def mix(
    options: tuple[str, ...], rows: tuple[int, int], norm: norms.Norm, plain: tuple[str, ...] = ()
) -> Rule:
    """Of the stacked predecessors, their pre-activations and the scalars `[E, O]`; see `Mixture`."""
    mixture = Mixture(options, rows, norm, plain)
    return Rule(
        mixture.value,
        lambda g, x, pre, w: _pull(mixture, g, x, pre, w),
        lambda h, x, pre, w, constant=False: _diagonal(mixture, h, x, pre, w, constant),
        lambda g, x, pre, w, constant=False: _second(mixture, g, x, pre, w),
        statistics=True,
    )


def mixed_sum(
    stacked: tf.Tensor, pre: tf.Tensor, w: tf.Tensor, ops: Sequence[primitives.Primitive]
) -> tf.Tensor:
    """(M2, M3) sum_i sum_o w_i^o (x_i + sigmoid(g) (o(a) - x_i)), `[..., B, U]`, before the norm.

    `w` has the rows of these edges alone, `[j, O]`. With one [g, a] per edge the sum over operations is taken
    inside the gate: carry and gate are computed once per edge, not once per operation.
    """
    if pre.shape.rank == stacked.shape.rank + 1:
        terms = []
        for o, (op, x) in enumerate(zip(ops, fan_out(stacked, len(ops)), strict=True)):
            gate, candidate = tf.split(pre[o], 2, axis=-1)
            terms.append(_column(w[:, o], x) * gated(x, gate, op.f(candidate)))
        return tf.reduce_sum(ordered_sum(terms), axis=0)
    return _shared_gate_sum(stacked, pre, w, ops)


def _column(w: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """w [j] shaped to multiply `[j, ..., B, U]`."""
    return tf.reshape(w, [-1] + [1] * (like.shape.rank - 1))


def _shared_gate_sum(
    stacked: tf.Tensor, pre: tf.Tensor, w: tf.Tensor, ops: Sequence[primitives.Primitive]
) -> tf.Tensor:
    """`mixed_sum` with one [g, a] per edge: Σ_i c (Σ_o w_o o(a) - w̄ x) + w̄ x, with c = σ(g), w̄ = Σ_o w_o.

    The gradient is written out and computes the activations again, so that the time loop keeps `stacked` and
    `pre` alone: a third of what automatic differentiation keeps at 300 units.
    """

    @tf.custom_gradient
    def run(stacked, pre, w):
        total = _column(tf.reduce_sum(w, axis=1), stacked)
        columns = [_column(w[:, o], stacked) for o in range(len(ops))]

        def forward():
            gate, candidate = tf.split(pre, 2, axis=-1)
            values = [op.f(candidate) for op in ops]
            mixture = ordered_sum(column * value for column, value in zip(columns, values, strict=True))
            return tf.sigmoid(gate), candidate, values, mixture

        def gradient(upstream):
            c, candidate, values, mixture = forward()
            slope = ordered_sum(column * op.d1(candidate) for column, op in zip(columns, ops, strict=True))
            opened = c * upstream
            carried = upstream - opened
            d_gate = (mixture - total * stacked) * (1.0 - c) * opened
            inner = list(range(1, stacked.shape.rank))
            through_carry = tf.reduce_sum(carried * stacked, axis=inner)
            d_w = [tf.reduce_sum(opened * value, axis=inner) + through_carry for value in values]
            return total * carried, tf.concat([d_gate, slope * opened], axis=-1), tf.stack(d_w, axis=1)

        c, _, _, mixture = forward()
        carried = total * stacked
        return tf.reduce_sum(carried + c * (mixture - carried), axis=0), gradient

    return run(stacked, pre, w)


class Edges(NamedTuple):
    """Pieces of all edges into one node, each `[j, ..., B, U]`; lists have one entry per operation."""

    x: tf.Tensor
    w: list[tf.Tensor]  # [j, 1, ...] of the operations behind a gate
    c: list[tf.Tensor]  # σ(g), the same entry for each operation where they share their gate
    a: list[tf.Tensor]
    t: list[tf.Tensor]  # o(a)
    w_plain: list[tf.Tensor]  # [j, 1, ...] of the operations without one
    plain: list[tf.Tensor]  # o(x)

    @classmethod
    def of(cls, mixture: Mixture, x: tf.Tensor, pre: tf.Tensor, w: tf.Tensor) -> "Edges":
        """From the arguments of the rule: x `[j, ..., B, U]`, [g, a] and the scalars `[E, O]`."""
        ops, own = mixture.ops, w[slice(*mixture.rows)]
        each = tf.unstack(pre) if pre.shape.rank == x.shape.rank + 1 else [pre] * len(ops)
        halves = [tf.split(part, 2, axis=-1) for part in each]
        c = [tf.sigmoid(gate) for gate, _ in halves]
        a = [candidate for _, candidate in halves]
        columns = [_column(own[:, o], x) for o in range(len(ops) + len(mixture.plain))]
        values = [op.f(part) for op, part in zip(ops, a, strict=True)]
        plain = [function.f(x) for function in mixture.functions]
        return cls(x, columns[: len(ops)], c, a, values, columns[len(ops) :], plain)

    def outputs(self) -> list[tf.Tensor]:
        """u_i^o (M2) of each operation, before scaling."""
        return [*(self.x + c * (t - self.x) for c, t in zip(self.c, self.t, strict=True)), *self.plain]

    def total(self) -> tf.Tensor:
        """The sum before the norm, `[..., B, U]`."""
        terms = [w * u for w, u in zip([*self.w, *self.w_plain], self.outputs(), strict=True)]
        return tf.reduce_sum(ordered_sum(terms), axis=0)


def _joined(parts: list[tf.Tensor], x: tf.Tensor, pre: tf.Tensor) -> tf.Tensor:
    """Of each operation `[..., j, B, U]`: their sum, or stacked where each has its own [g, a]."""
    return (
        tf.stack(parts, axis=-1 - x.shape.rank) if pre.shape.rank == x.shape.rank + 1 else ordered_sum(parts)
    )


def _of_sum(mixture: Mixture, edges: Edges, g: tf.Tensor) -> tf.Tensor:
    """The gradient of the sum from that of the node."""
    if mixture.norm in STATISTICS:
        return Standardised.of(edges.total(), STATISTICS[mixture.norm]).moved(g)
    return g / mixture.terms if mixture.norm == "mean" else g


def _in_rows(mixture: Mixture, w: tf.Tensor, upstream: tf.Tensor, values: list[tf.Tensor]) -> tf.Tensor:
    """Σ_U upstream ∘ value of each operation: `[..., j, B, U]` -> `[..., B, E, O]`, 0 for all others."""
    sums = [tf.reduce_sum(upstream * value, axis=-1) for value in values]
    own = tf.stack(sums, axis=-1)  # [..., j, B, O]
    rank = own.shape.rank
    own = tf.transpose(own, [*range(rank - 3), rank - 2, rank - 3, rank - 1])
    first, end = mixture.rows
    return tf.pad(own, [*[[0, 0]] * (rank - 2), [first, w.shape[0] - end], [0, w.shape[1] - len(values)]])


def _plain_slopes(mixture: Mixture, edges: Edges) -> list[tf.Tensor]:
    """w o'(x) of each operation without a gate."""
    pairs = zip(edges.w_plain, mixture.functions, strict=True)
    return [w * function.d1(edges.x) for w, function in pairs]


def _pull(
    mixture: Mixture, g: tf.Tensor, x: tf.Tensor, pre: tf.Tensor, w: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The chain rule: from g `[..., B, U]` gradients of x, [g, a] and, with rows, of w: `[..., B, E, O]`.

    With one [g, a] per edge the sum over operations is taken inside the gate, as in `_shared_gate_sum`. The
    first form, for [g, a] `[j, ..., B, 2U]`, is the default; the second has a gate for each operation.
    """
    edges = Edges.of(mixture, x, pre, w)
    up = tf.expand_dims(_of_sum(mixture, edges, g), axis=-3)
    of_w = _in_rows(mixture, w, up, edges.outputs())
    if pre.shape.rank == x.shape.rank:
        c, opened = edges.c[0], edges.c[0] * up
        mixed = ordered_sum(w_o * t for w_o, t in zip(edges.w, edges.t, strict=True))
        slope = ordered_sum(w_o * op.d1(a) for w_o, op, a in zip(edges.w, mixture.ops, edges.a, strict=True))
        total = ordered_sum(edges.w)
        of_pre = tf.concat([(mixed - total * x) * (1.0 - c) * opened, slope * opened], axis=-1)
        plain = [part * up for part in _plain_slopes(mixture, edges)]
        return ordered_sum([total * (up - opened), *plain]), of_pre, of_w
    of_x, of_gate, of_a = [part * up for part in _plain_slopes(mixture, edges)], [], []
    for op, w_o, c, a, t in zip(mixture.ops, edges.w, edges.c, edges.a, edges.t, strict=True):
        opened = w_o * c * up
        of_x.append(w_o * up - opened)
        of_gate.append((1.0 - c) * (t - x) * opened)
        of_a.append(op.d1(a) * opened)
    of_pre = tf.concat([_joined(of_gate, x, pre), _joined(of_a, x, pre)], axis=-1)
    return ordered_sum(of_x), of_pre, of_w


def _diagonal(
    mixture: Mixture, h: tf.Tensor, x: tf.Tensor, pre: tf.Tensor, w: tf.Tensor, constant: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The diagonal rule: from h `[..., B, U]` diagonals of x, [g, a] and, with rows, of w: `[..., B, E, O]`.

    The scalars take sum and norm as one operation, h_w = Σ h (∂y/∂w)² (docs/method.md, `recursive`): what w
    adds along y the norm takes out again. x and [g, a] take the two one after the other. `constant`: the
    statistics of the norm count as constants, as they do with D terms.
    """
    edges = Edges.of(mixture, x, pre, w)
    changes = edges.outputs()  # ∂(sum)/∂w
    if mixture.norm in STATISTICS:
        standard = Standardised.of(edges.total(), STATISTICS[mixture.norm])
        squares = [tf.square(standard.moved(u, constant)) for u in changes]
        of_sum = standard.diagonal(h, constant)
    else:
        of_sum = h / mixture.terms**2 if mixture.norm == "mean" else h
        squares = [tf.square(u) for u in changes]
    of_node = h if mixture.norm in STATISTICS else of_sum
    of_w = _in_rows(mixture, w, tf.expand_dims(of_node, axis=-3), squares)
    up = tf.expand_dims(of_sum, axis=-3)
    of_x, of_gate, of_a = [tf.square(part) * up for part in _plain_slopes(mixture, edges)], [], []
    for op, w_o, c, a, t in zip(mixture.ops, edges.w, edges.c, edges.a, edges.t, strict=True):
        weighted = tf.square(w_o) * up
        of_x.append(tf.square(1.0 - c) * weighted)
        of_gate.append(tf.square(c * (1.0 - c) * (t - x)) * weighted)
        of_a.append(tf.square(c * op.d1(a)) * weighted)
    of_pre = tf.concat([_joined(of_gate, x, pre), _joined(of_a, x, pre)], axis=-1)
    return ordered_sum(of_x), of_pre, of_w


def _second(
    mixture: Mixture, g: tf.Tensor, x: tf.Tensor, pre: tf.Tensor, w: tf.Tensor
) -> tuple[tf.Tensor | None, tf.Tensor, None]:
    """What the second derivatives of gates and activations add at [g, a], and at x without a gate.

    g `[..., B, U]` is the gradient at the node. Behind a gate the sum is linear in x, and it is linear in w:
    both have no second derivative of their own. That of the norm is left out (`constant` of `_diagonal`).
    """
    edges = Edges.of(mixture, x, pre, w)
    up = tf.expand_dims(_of_sum(mixture, edges, g), axis=-3)
    of_gate, of_a = [], []
    for op, w_o, c, a, t in zip(mixture.ops, edges.w, edges.c, edges.a, edges.t, strict=True):
        of_gate.append((1.0 - 2.0 * c) * c * (1.0 - c) * (t - x) * w_o * up)
        of_a.append(c * op.d2(a) * w_o * up)
    pairs = zip(edges.w_plain, mixture.functions, strict=True)
    of_x = [w_o * function.d2(x) * up for w_o, function in pairs]
    of_pre = tf.concat([_joined(of_gate, x, pre), _joined(of_a, x, pre)], axis=-1)
    return ordered_sum(of_x) if of_x else None, of_pre, None
