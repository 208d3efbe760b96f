"""The printed recursion: equations 4.5-4.24 of the thesis with truncated BPTT of horizon tau.

A diagonal pre-activation Hessian H is carried from the logits of step t to the hidden states h_k of the steps
k = t, t-1, ..., t-tau+1. The text leaves room; this is how each equation is read:

- 4.13: the logits of one token have H = p (1 - p); the decoder z = h Wᵀ + b turns it into (W²)ᵀ H at h_t
  (4.6 without activation). The 1/T stands once, in 4.18.
- (M4): h is the mean of n nodes, a linear map with coefficient 1/n: each node gets H/n².
- 4.24: inside the cell H_i = Σ_j Σ_o (w_ij^o)² H_j. The gates, matrices and activations of the edges and the
  norms of the nodes do not appear in it. So H_j is a number c_j times H at h_k: only the c_j are computed
  (`path_factors`).
- 4.23: h_ij^o = E[(u_ij^o)² H_j]. Printed is B_i, the whole output of node i, which would give all operations
  of an edge one value; what w_ij^o multiplies is u_ij^o. E is the mean over units and examples.
- 4.16: node 0 has the form of 4.8, so H_pre = tanh'(a)² ∘ H_0, and (W_x²)ᵀ H_pre at h_{k-1}, where W_x are
  the recurrent rows and candidate columns of W_0. The gate and the carry are not in 4.8. From h_{k-1} it goes
  on into the nodes of step k-1.
- 4.17: the printed product 4.16 lacks the D of 4.6. `d_term` adds D = tanh''(a) ∘ ∂L_t/∂tanh(a), with the
  gradient of the same L_t that the slot carries; this one goes through everything, gates and norms included.
- 4.18: Σ_t Σ_k / (T tau), also for the first steps, which have fewer than tau terms: what lies before the
  window drops out.
- A zero-edge switch z_ij scales the edge: w_ij^o becomes z_ij w_ij^o, and the switch itself multiplies
  Σ_o w_ij^o u_ij^o.

All slots (t, k) of one distance d = t - k are one `[T, B, U]` array, indexed by k. h is linear in H, so the
tau arrays are added before the edges are visited.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.reading import Reading
from bayesnas_tf.cells.rules.gate import gated
from bayesnas_tf.cells.search_cell import SearchCell
from bayesnas_tf.curvature.window import WindowEstimate, assemble, residual, scalar_variables
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import products
from bayesnas_tf.space.highway import programs, topology
from bayesnas_tf.space.highway.operations import OP_NAMES

if TYPE_CHECKING:
    from bayesnas_tf.curvature.interface import CurvatureOptions


class Steps(NamedTuple):
    """All time steps of one window at once, time first."""

    projected: tf.Tensor  # [T, B, 2U], x_t times the input rows of W_0
    before: tf.Tensor  # [T, B, U], h_{t-1}


def estimate(
    model: LanguageModel,
    x: tf.Tensor,
    y: tf.Tensor,
    state: tf.Tensor,
    seed: tf.Tensor,
    options: "CurvatureOptions",
) -> WindowEstimate:
    """h `[E, O]` by the printed recursion with horizon `options.tau` time steps; see the head of this module.

    From ids x, y `[B, T]` and a state `[B, S]`; `seed` is not used.
    """
    del seed
    cell, scalars = model.cell, scalar_variables(model)
    with tf.GradientTape() as tape:
        hidden, after = model.window(x, state, tf.shape(x)[1])
    embedding = tf.convert_to_tensor(model.embedding)
    p = tf.nn.softmax(tf.reshape(model.decode(hidden), [-1, model.vocabulary]))
    of_token = tf.reshape(tf.matmul(residual(p, tf.reshape(y, [-1])), embedding), tf.shape(hidden))
    curved = tf.reshape(tf.matmul(p * (1.0 - p), tf.square(embedding)), tf.shape(hidden))
    gradient = tape.gradient(hidden, scalars, output_gradients=of_token / tf.cast(tf.size(y), hidden.dtype))

    before = tf.concat([state[tf.newaxis], _swap(hidden)[:-1]], axis=0)
    reading: Reading = model.read()
    steps = Steps(_swap(reading.project_inputs(model.embed(x))), before)
    factors = path_factors(tf.reduce_sum(tf.square(cell.edge_scalars()), axis=1), cell.options.nodes)
    horizon = min(options.tau, x.shape[1] or options.tau)
    for_d = _swap(of_token) if options.d_term else None
    at_hidden = through_time(reading, steps, _swap(curved), for_d, factors[0], horizon)
    return assemble(of_edges(cell, reading, steps, at_hidden / options.tau, factors), gradient, after)


def _swap(x: tf.Tensor) -> tf.Tensor:
    """Batch first <-> time first."""
    return tf.transpose(x, [1, 0, 2])


def path_factors(squares: tf.Tensor, nodes: int) -> list[tf.Tensor]:
    """c_0..c_n with H_j = c_j H at the cell's output: 1/n² for each learned node, then 4.24 from n down to 0.

    `squares` `[E]` holds Σ_o (w_ij^o)².
    """
    factors: list[tf.Tensor] = []
    for node in range(nodes, -1, -1):
        factor = tf.constant(0.0 if node == 0 else 1.0 / nodes**2, squares.dtype)
        if factors:
            factor += tf.reduce_sum(tf.gather(squares, topology.outgoing(node, nodes)) * tf.stack(factors))
        factors.insert(0, factor)
    return factors


def earlier(x: tf.Tensor) -> tf.Tensor:
    """x `[T, ...]`, made at step k for step k - 1, at the place of k - 1; the last step gets nothing."""
    return tf.concat([x[1:], tf.zeros_like(x[:1])], axis=0)


def candidate_curvature(candidate: tf.Tensor, of_a: tf.Tensor) -> tf.Tensor:
    """D = tanh''(a) ∘ ∂L/∂tanh(a) (4.17), `[T, B, U]`, from tanh(a) and ∂L/∂a = tanh'(a) ∘ ∂L/∂tanh(a).

    tanh'' = -2 tanh tanh', so that no quotient is needed.
    """
    return -2.0 * candidate * of_a


def through_time(
    reading: Reading,
    steps: Steps,
    curved: tf.Tensor,
    of_token: tf.Tensor | None,
    factor: tf.Tensor,
    horizon: int,
) -> tf.Tensor:
    """Σ_d H^{k+d,k} at h_k (4.16, 4.18), `[T, B, U]`, from H = `curved` and ∂L_t/∂h_t = `of_token` at d = 0.

    `factor` is c_0 and `horizon` the number of distances d; without `of_token` (None) there is no D term.
    """
    units = steps.before.shape[-1]
    recurrent = reading.fixed["recurrent_kernel"][:, units:]
    candidate = tf.tanh(steps.projected[..., units:] + products.project(steps.before, recurrent))
    slope = tf.square(1.0 - tf.square(candidate)) * factor
    back = tf.transpose(tf.square(recurrent))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(steps)
        after = None if of_token is None else reading.step(*steps)[0]
    total = curved
    for _ in range(horizon - 1):
        pre = slope * curved
        if of_token is not None:
            of_pre, of_token = tape.gradient(after, steps, output_gradients=of_token)
            pre += candidate_curvature(candidate, of_pre[..., units:])
            of_token = earlier(of_token)
        curved = earlier(products.project(pre, back))
        total += curved
    return total


def of_edges(
    cell: SearchCell, reading: Reading, steps: Steps, at_hidden: tf.Tensor, factors: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """4.23 for every scalar, and every zero-edge switch: E[(u_ij^o)² c_j H], one array per variable.

    From H at the hidden states, `at_hidden` `[T, B, U]`, and c_0..c_n (`path_factors`).

    Edge by edge: all u_ij^o of a window at once would fill gigabytes.
    """
    w = tf.convert_to_tensor(cell.scalars)
    nodes = cell.options.nodes
    values = reading.run(steps.projected, [steps.before], [programs.node(k) for k in range(nodes + 1)])
    of_scalars, of_switches = [], []
    for target in range(1, nodes + 1):
        pre = reading.project(tf.stack(values[:target]), programs.kernel(target))
        for source in range(target):
            of_edge = pre[..., source : source + 1, :, :, :]
            u = edge_outputs(values[source][tf.newaxis], of_edge)[:, 0]
            of_scalars.append(_expected(u, at_hidden) * factors[target])
            if cell.zero_scalars is not None:
                mixed = tf.tensordot(w[topology.edge_index(source, target)], u, axes=1)
                of_switches.append(_expected(mixed[tf.newaxis], at_hidden)[0] * factors[target])
    if cell.zero_scalars is None:
        return [tf.stack(of_scalars)]
    switched = tf.square(tf.convert_to_tensor(cell.zero_scalars))[:, tf.newaxis]
    return [tf.stack(of_scalars) * switched, tf.stack(of_switches)]


def edge_outputs(stacked: tf.Tensor, pre: tf.Tensor) -> tf.Tensor:
    """(M2) every u_ij^o before scaling, `[O, j, ..., B, U]`, from `[j, ..., B, U]` and [g, a]."""
    per_operation, outputs = pre.shape.rank == stacked.shape.rank + 1, []
    for o, name in enumerate(OP_NAMES):
        gate, candidate = tf.split(pre[o] if per_operation else pre, 2, axis=-1)
        outputs.append(gated(stacked, gate, primitives.by_name(name).f(candidate)))
    return tf.stack(outputs)


def _expected(u: tf.Tensor, curved: tf.Tensor) -> tf.Tensor:
    """E[u² H] over steps, examples and units: `[N, T, B, U]` -> `[N]`."""
    return tf.reduce_mean(tf.square(u) * curved, axis=[1, 2, 3])
