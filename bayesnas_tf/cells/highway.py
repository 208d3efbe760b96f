"""Kernels of the highway cell: (M1)-(M4) as functions of tensors.

Shapes: node values are `[..., B, U]`, any leading axes (none inside the time loop, `[T]` where all steps are
computed at once). `[g, a]` are the two halves of a pre-activation `[..., 2U]`. Edges into one node are
stacked on a new first axis: `[j, ..., B, U]`.
"""

import math

import tensorflow as tf

from bayesnas_tf.cells.primitives import OPS, values_and_slopes
from bayesnas_tf.numerics import blocks, products
from bayesnas_tf.numerics.sums import fan_out, ordered_sum

SLICES = 16  # of the rows; with 32 and 64 rows the fastest number or close to it


@tf.custom_gradient
def gated(x, gate, candidate):
    """x + sigmoid(g) (c - x): the highway bypass (3.3), with the gate's logit g; one gradient reaches x."""

    def gradient(upstream):
        opened = tf.sigmoid(gate)
        of_candidate = opened * upstream
        return upstream - of_candidate, (candidate - x) * (1.0 - opened) * of_candidate, of_candidate

    return x + tf.sigmoid(gate) * (candidate - x), gradient


def input_node(h, pre):
    """(M1) Node 0 from the unmasked carry h [..., B, U] and its pre-activation [..., B, 2U]."""
    gate, candidate = tf.split(pre, 2, axis=-1)
    return gated(h, gate, tf.tanh(candidate))


def project(x, kernel, rounded_kernel=None, blocked=None):
    """[..., K] x [K, N] as one flat matrix product.

    See `products.matmul` for the kernel's rounded copy, and `blocks.matmul` for its blocks, which need none.
    """
    kernel = tf.convert_to_tensor(kernel)
    flat = tf.reshape(x, [-1, kernel.shape[0]])
    if blocked is None:
        product = products.matmul(flat, kernel, rounded_kernel)
    else:
        product = blocks.matmul(flat, blocked, kernel.shape[1])
    known = x.shape[:-1] + kernel.shape[-1:]
    unknown = [size is None for size in known]
    if sum(unknown) <= 1:  # served graphs are converted to formats without tf.ensure_shape
        return tf.reshape(
            product, [-1 if is_unknown else size for size, is_unknown in zip(known, unknown, strict=True)]
        )
    return tf.ensure_shape(
        tf.reshape(product, tf.concat([tf.shape(x)[:-1], tf.shape(kernel)[-1:]], axis=0)), known
    )


def edge_pre_activations(stacked, kernel, operations, rounded_kernel=None):
    """[g, a] of every edge into one node, `[j, ..., B, 2U]`, or one per operation `[O, j, ..., B, 2U]`.

    Args:
      stacked: masked values of the j predecessors, `[j, ..., B, U]`.
      kernel: `[U, 2U]` shared by all (weight sharing `node`), `[j, U, 2U]` (`edge`) or `[O, j, U, 2U]`
        (`edge_op`, equation 3.1 read literally).
      operations: O, used to check the last form.
      rounded_kernel: see `products.matmul`.
    """
    if kernel.shape.rank == 2:
        return project(stacked, kernel, rounded_kernel)
    j, units = kernel.shape[-3], kernel.shape[-2]
    flat = tf.reshape(stacked, [j, -1, units])
    if kernel.shape.rank == 4:
        flat = tf.repeat(flat[tf.newaxis], operations, axis=0)
    product = products.matmul(flat, kernel, rounded_kernel)
    lead = [operations] if kernel.shape.rank == 4 else []
    return tf.reshape(product, tf.concat([lead, tf.shape(stacked)[:-1], [2 * units]], axis=0))


def _column(w, like):
    """w [j] shaped to multiply `[j, ..., B, U]`."""
    return tf.reshape(w, [-1] + [1] * (like.shape.rank - 1))


def mixed_sum(stacked, pre, w):
    """(M2, M3) sum_i sum_o w_i^o (x_i + sigmoid(g) (o(a) - x_i)), before the norm.

    With one [g, a] per edge the sum over operations is taken inside the gate, so that the carry and the gate
    are computed once per edge and not once per operation.

    Args:
      stacked: unmasked values x_i of the predecessors, `[j, ..., B, U]`.
      pre: result of `edge_pre_activations`.
      w: architecture scalars of these edges, `[j, O]`.

    Returns:
      `[..., B, U]`.
    """
    if pre.shape.rank == stacked.shape.rank + 1:
        return _mixed_sum_per_operation(stacked, pre, w)
    return _shared_gate_sum(stacked, pre, w)


@tf.custom_gradient
def _shared_gate_sum(stacked, pre, w):
    """`mixed_sum` with one [g, a] per edge: Σ_i c (Σ_o w_o o(a) - w̄ x) + w̄ x, with c = σ(g), w̄ = Σ_o w_o.

    The gradient is written out and computes the activations again, so that the time loop keeps `stacked` and
    `pre` alone: a third of what automatic differentiation keeps at 300 units.
    """
    total = _column(tf.reduce_sum(w, axis=1), stacked)
    columns = [_column(w[:, o], stacked) for o in range(len(OPS))]

    def forward():
        gate, candidate = tf.split(pre, 2, axis=-1)
        values = [op.f(candidate) for op in OPS]
        mixture = ordered_sum(column * value for column, value in zip(columns, values, strict=True))
        return tf.sigmoid(gate), candidate, values, mixture

    def gradient(upstream):
        c, candidate, values, mixture = forward()
        slope = ordered_sum(column * op.d1(candidate) for column, op in zip(columns, OPS, strict=True))
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


def mixed_edges(x, pre, w):
    """(M2) Σ_o w^o (x + σ(g) (o(a) - x)) of k edges that leave one node, `[B, k, U]`, before any norm.

    From x `[B, U]`, [g, a] `[B, k, 2, U]` and scalars w `[k, O]`.
    """
    values, _ = values_and_slopes(pre[:, :, 1])
    carried = _per_edge(tf.reduce_sum(w, axis=1)) * x[:, tf.newaxis]
    return carried + _opened(pre[:, :, 0]) * (_mixture(w, values) - carried)


def mixed_edges_gradient(x, pre, w, upstream):
    """Gradients of x, pre and w for that of `mixed_edges`, `[B, k, U]`; that of w as `[k, O, U]`.

    The sum over the units is left to the caller, who adds over time too: a sum over both rows and units takes
    XLA several times as long.
    """
    values, slopes = values_and_slopes(pre[:, :, 1])
    total, x, gate = _per_edge(tf.reduce_sum(w, axis=1)), x[:, tf.newaxis], _opened(pre[:, :, 0])
    opened = gate * upstream
    carried = upstream - opened
    d_gate = (_mixture(w, values) - total * x) * (1.0 - gate) * opened
    d_pre = tf.stack([d_gate, _mixture(w, slopes) * opened], axis=2)
    d_w = tf.stack([_sum_of_rows(carried * x + opened * value) for value in values], axis=1)
    return tf.reduce_sum(total * carried, axis=1), d_pre, d_w


def _sum_of_rows(x):
    """The sum over the first axis. As a sum of slices XLA fuses it with what x is made of."""
    return tf.reduce_sum(ordered_sum(tf.split(x, math.gcd(x.shape[0], SLICES))), axis=0)


def _per_edge(values):
    """`[k]` shaped to multiply `[B, k, U]`."""
    return values[:, tf.newaxis]


def _mixture(w, parts):
    """Σ_o w^o part_o of k edges."""
    return ordered_sum(_per_edge(w[:, o]) * part for o, part in enumerate(parts))


def _opened(gate):
    """σ(g) as a tanh."""
    return 0.5 + 0.5 * tf.tanh(0.5 * gate)


def _mixed_sum_per_operation(stacked, pre, w):
    """The same sum when every operation has its own [g, a]."""
    terms = []
    for o, (op, x) in enumerate(zip(OPS, fan_out(stacked, len(OPS)), strict=True)):
        gate, candidate = tf.split(pre[o], 2, axis=-1)
        terms.append(_column(w[:, o], x) * gated(x, gate, op.f(candidate)))
    return tf.reduce_sum(ordered_sum(terms), axis=0)


def edge_outputs(stacked, pre):
    """(M2) every u_ij^o before scaling, `[O, j, ..., B, U]`: what curvature rules need one by one."""
    per_operation = pre.shape.rank == stacked.shape.rank + 1
    outputs = []
    for o, op in enumerate(OPS):
        gate, candidate = tf.split(pre[o] if per_operation else pre, 2, axis=-1)
        outputs.append(gated(stacked, gate, op.f(candidate)))
    return tf.stack(outputs)
