"""The mixed edges into one node as an operation on pairs: the part of a supernet that has the scalars."""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import norms
from bayesnas_tf.cells.primitives import OPS
from bayesnas_tf.curvature.lanes import (
    STATISTICS,
    Pair,
    Rule,
    Standardised,
    normalise,
    shadow_of,
    with_fresh,
)
from bayesnas_tf.numerics.sums import ordered_sum


class _Edges(NamedTuple):
    """Pieces of all edges into one node, each `[j, B, U]`; lists have one entry per operation."""

    x: tf.Tensor
    w: list  # [j, 1, 1]
    c: list  # σ(g), the same entry four times where operations share their gate
    a: list
    t: list  # o(a)

    @classmethod
    def of(cls, x, pre, w):
        """From predecessors `[j, B, U]`, pre-activations `[(O,) j, B, 2U]` and scalars `[j, O]`."""
        each = tf.unstack(pre) if pre.shape.rank == 4 else [pre] * len(OPS)
        halves = [tf.split(part, 2, axis=-1) for part in each]
        c = [tf.sigmoid(gate) for gate, _ in halves]
        a = [candidate for _, candidate in halves]
        columns = [w[:, o, tf.newaxis, tf.newaxis] for o in range(len(OPS))]
        return cls(x, columns, c, a, [op.f(part) for op, part in zip(OPS, a, strict=True)])

    def outputs(self):
        """u_ij^o."""
        return [self.x + c * (t - self.x) for c, t in zip(self.c, self.t, strict=True)]


class _Cotangents(NamedTuple):
    """What flows back from a node to its edges; L lanes."""

    x: tf.Tensor  # [L, j, B, U]
    pre: tf.Tensor  # [L, (O,) j, B, 2U]
    w: tf.Tensor  # [L, B, j, O]


def mixed_node(rule: Rule, stacked: Pair, pre: Pair, w: Pair, norm: norms.Norm) -> Pair:
    """(M2, M3) one node: Norm(Σ_i Σ_o w_ij^o (x_i + σ(g) (o(a) - x_i))), without the norm's scale and offset.

    Args:
      rule: of the backward pass. Diagonal lanes take sum and norm as one operation of the scalars, so that
        h_w = Σ h_y (∂y/∂w)² with the whole Jacobian of the norm: what w_ij^o adds along y itself, the norm
        takes out again. Sum and norm one after the other would count it.
      stacked: predecessors `[j, B, U]`, their shadow `[L, j, B, U]`.
      pre: `[j, B, 2U]`, or `[O, j, B, 2U]` where each operation has its own kernel.
      w: scalars of these edges `[j, O]`, their shadow `[L, j, O]`, or `[L, B, j, O]` per sequence.
      norm: of the cell.
    """
    axis = STATISTICS.get(norm) if rule.diagonal else None
    node = _mixed(rule, stacked, pre, w, axis)
    terms = len(OPS) * stacked.value.shape[0]
    return node if axis is not None else normalise(rule, node, norm, terms)


def _mixed(rule: Rule, stacked: Pair, pre: Pair, w: Pair, axis: int | None) -> Pair:
    """`mixed_node` before its norm; with `axis`, standardised over it."""
    shared = pre.value.shape.rank == 3

    @tf.custom_gradient
    def run(x, x_shadow, pre, pre_shadow, w, w_shadow):
        del pre_shadow, w_shadow

        def gradient(g, s):
            edges = _Edges.of(x, pre, w)  # again: a time loop would keep them for every step
            if rule.diagonal:
                norm = None if axis is None else Standardised.of(total, axis)
                g_sum = g if norm is None else norm.moved(g)
                own, lanes = (
                    _linear(edges, shared, g_sum[tf.newaxis]),
                    _diagonal(rule, edges, shared, g_sum, s, norm),
                )
            else:
                both = _linear(edges, shared, tf.concat([g[tf.newaxis], s], axis=0))
                own, lanes = (
                    _Cotangents(*(part[cut] for part in both)) for cut in (slice(1), slice(1, None))
                )
            of_w = tf.reduce_sum(own.w[0], axis=0)
            of_w_shadow = lanes.w if rule.per_sequence else tf.reduce_sum(lanes.w, axis=1)
            return own.x[0], lanes.x, own.pre[0], lanes.pre, of_w, of_w_shadow

        edges = _Edges.of(x, pre, w)
        terms = [column * u for column, u in zip(edges.w, edges.outputs(), strict=True)]
        total = tf.reduce_sum(ordered_sum(terms), axis=0)
        y = total if axis is None else norms.standardise(total, axis)[0]
        return (y, shadow_of(y, x_shadow.shape[0])), gradient

    return Pair(*run(*stacked, *pre, *w))


def _joined(parts: list, shared: bool):
    """Cotangents per operation, `[L, j, B, U]` each: their sum, or stacked on axis 1."""
    return ordered_sum(parts) if shared else tf.stack(parts, axis=1)


def _per_example(upstream, values: list):
    """Σ_U upstream ∘ value of each operation: `[L, j, B, U]` -> `[L, B, j, O]`."""
    sums = [tf.reduce_sum(upstream * value, axis=-1) for value in values]
    return tf.transpose(tf.stack(sums, axis=-1), [0, 2, 1, 3])


def _linear(edges: _Edges, shared: bool, upstream) -> _Cotangents:
    """The chain rule, from the cotangents of the node `[L, B, U]`."""
    up = upstream[:, tf.newaxis]
    if shared:
        c, x = edges.c[0], edges.x
        opened = c * up
        mixture = ordered_sum(w * t for w, t in zip(edges.w, edges.t, strict=True))
        slope = ordered_sum(w * op.d1(a) for w, op, a in zip(edges.w, OPS, edges.a, strict=True))
        total = ordered_sum(edges.w)
        of_pre = tf.concat([(mixture - total * x) * (1.0 - c) * opened, slope * opened], axis=-1)
        return _Cotangents(total * (up - opened), of_pre, _per_example(up, edges.outputs()))
    of_x, of_gate, of_a = [], [], []
    for op, w, c, a, t in zip(OPS, edges.w, edges.c, edges.a, edges.t, strict=True):
        opened = w * c * up
        of_x.append(w * up - opened)
        of_gate.append((1.0 - c) * (t - edges.x) * opened)
        of_a.append(op.d1(a) * opened)
    of_pre = tf.concat([tf.stack(of_gate, axis=1), tf.stack(of_a, axis=1)], axis=-1)
    return _Cotangents(ordered_sum(of_x), of_pre, _per_example(up, edges.outputs()))


def _diagonal(rule: Rule, edges: _Edges, shared: bool, g, s, norm: Standardised | None) -> _Cotangents:
    """The diagonal rule, from the Hessian of the node `[L, B, U]` and the gradient `[B, U]` in its sum."""
    changes = edges.outputs()  # ∂y/∂w
    of_w = _per_example(
        s[:, tf.newaxis], [tf.square(u if norm is None else norm.moved(u, rule.d_terms)) for u in changes]
    )
    h, x = (s if norm is None else norm.diagonal(s, rule.d_terms))[:, tf.newaxis], edges.x
    of_x, of_gate, of_a, fresh_gate, fresh_a = [], [], [], [], []
    for op, w, c, a, t in zip(OPS, edges.w, edges.c, edges.a, edges.t, strict=True):
        opening, slope = c * (1.0 - c) * (t - x), c * op.d1(a)
        weighted = tf.square(w) * h
        of_x.append(tf.square(1.0 - c) * weighted)
        of_gate.append(tf.square(opening) * weighted)
        of_a.append(tf.square(slope) * weighted)
        if rule.d_terms:
            fresh_gate.append(((1.0 - 2.0 * c) * opening * w * g)[tf.newaxis])
            fresh_a.append((c * op.d2(a) * w * g)[tf.newaxis])
    of_pre = tf.concat([_joined(of_gate, shared), _joined(of_a, shared)], axis=-1)
    if rule.d_terms:
        fresh = tf.concat([_joined(fresh_gate, shared), _joined(fresh_a, shared)], axis=-1)
        of_pre = with_fresh(of_pre, fresh[0])
    return _Cotangents(ordered_sum(of_x), of_pre, of_w)
