"""One time step of each cell from the operations of `lanes`.

`uses` are shadows of what kernels make, the pre-activations: what comes back in their place is what flows
into each use of a kernel, from which `weights` has the curvature of the kernel itself.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.derived_cell import DerivedCell
from bayesnas_tf.curvature.lane_edges import mixed_node
from bayesnas_tf.curvature.lanes import Pair, Rule, gated, normalise, project, scaled
from bayesnas_tf.numerics.sums import fan_out, ordered_sum
from bayesnas_tf.space.highway import topology


class Stepped(NamedTuple):
    """What a time step hands on."""

    h: Pair  # [B, U]
    read: list  # values [B, U] of the nodes that kernels read; no gradient passes


def inner_kernels(cell) -> list:
    """The kernels behind node 0, in the order of their `uses`."""
    return list(cell.source_kernels.values()) if isinstance(cell, DerivedCell) else cell.node_kernels


def sources(cell) -> int:
    """How many nodes kernels read: `Stepped.read` has as many entries."""
    return len(inner_kernels(cell))


def reads(cell, values) -> list:
    """What each inner kernel multiplies, from `values` `[T, N, B, U]` of the nodes that are read.

    `[T, B, U]` in a derived cell, and `[T, j, B, U]` for the j predecessors of a node in a search cell.
    """
    if isinstance(cell, DerivedCell):
        return tf.unstack(values, axis=1)
    return [values[:, : number + 1] for number in range(sources(cell))]


def use_shadows(cell, rule: Rule, lanes: int, shape) -> list:
    """Zeros `[T, L, ..., B, N]` for W_0 and each inner kernel, over windows of `shape` [B, T].

    Diagonal lanes are added up: L is 1.
    """
    batch, steps = shape
    lead = [steps, 1 if rule.diagonal else lanes]
    found = [tf.zeros([*lead, batch, 2 * cell.units], cell.recurrent_kernel.dtype)]
    for number, kernel in enumerate(inner_kernels(cell), start=1):
        edges = [] if isinstance(cell, DerivedCell) else [number]
        per_edge = kernel.shape[:-2] if kernel.shape.rank > 2 else edges
        found.append(tf.zeros([*lead, *per_edge, batch, kernel.shape[-1]], kernel.dtype))
    return found


def step(cell, rule: Rule, w: Pair | None, projected, h: Pair, uses=()) -> Stepped:
    """(M1)-(M4) of one time step, from projected inputs `[B, 2U]`; `w` is from `edge_scalars`."""
    if w is None:
        return _derived_step(cell, rule, projected, h, uses)
    return _search_step(cell, rule, w, projected, h, uses)


def _search_step(cell, rule: Rule, w: Pair, projected, h: Pair, uses) -> Stepped:
    nodes = cell.options.nodes
    first = normalise(rule, _input_node(cell, rule, projected, h, uses), cell.options.norm, terms=1)
    users = [_copies(_rescaled(cell, rule, first, 0), nodes)]
    for j in range(1, nodes + 1):
        own = [copies[j - 1 - i] for i, copies in enumerate(users)]
        stacked = Pair(tf.stack([p.value for p in own]), tf.stack([p.shadow for p in own], axis=1))
        carried, projecting = _copies(stacked, 2)
        pre = _projected(cell, rule, projecting, cell.node_kernels[j - 1], uses[j : j + 1])
        rows = topology.incoming(j)
        of_node = Pair(w.value[rows], w.shadow[..., rows, :])
        node = mixed_node(rule, carried, pre, of_node, cell.options.norm)
        users.append(_copies(_rescaled(cell, rule, node, j), nodes - j + 1))
    read = [tf.stop_gradient(copies[0].value) for copies in users[:-1]]
    return Stepped(_mean(rule, [copies[-1] for copies in users[1:]]), read)


def _derived_step(cell, rule: Rule, projected, h: Pair, uses) -> Stepped:
    values, read = {0: _input_node(cell, rule, projected, h, uses)}, []
    for number, (source, nodes) in enumerate(cell.fed_by.items(), start=1):
        read.append(tf.stop_gradient(values[source].value))
        values[source], projecting, *carried = _copies(values[source], len(nodes) + 2)
        kernel = cell.source_kernels[str(source)]
        pre = _projected(cell, rule, projecting, kernel, uses[number : number + 1])
        parts = [tf.split(part, len(nodes), axis=-1) for part in pre]
        for node, s, *of_node in zip(nodes, carried, *parts, strict=True):
            op = primitives.by_name(cell.genotype.nodes[node - 1].op)
            values[node] = gated(rule, s, Pair(*of_node), op)
    return Stepped(_mean(rule, [values[node] for node in cell.output_nodes()]), read)


def _input_node(cell, rule: Rule, projected, h: Pair, uses) -> Pair:
    """(M1) before its norm."""
    carry, recurrent = _copies(h, 2)
    pre = _projected(cell, rule, recurrent, cell.recurrent_kernel, uses[:1])
    return gated(rule, carry, Pair(projected + pre.value, pre.shadow), primitives.by_name("tanh"))


def _projected(cell, rule: Rule, x: Pair, kernel, use) -> Pair:
    """x, masked, times a kernel; `use` has the shadow of the result, or nothing."""
    mask = cell.drawn.hidden
    pre = project(rule, x if mask is None else scaled(rule, x, mask), cell.value(kernel))
    return Pair(pre.value, ordered_sum([pre.shadow, *use]))


def _mean(rule: Rule, outputs: list) -> Pair:
    """(M4)."""
    total = Pair(*(ordered_sum(parts) for parts in zip(*outputs, strict=True)))
    return scaled(rule, total, tf.constant(1.0 / len(outputs), total.value.dtype))


def _copies(x: Pair, count: int) -> list[Pair]:
    """x for several users; what comes back is added in their order."""
    return [Pair(*both) for both in zip(*(fan_out(part, count) for part in x), strict=True)]


def _rescaled(cell, rule: Rule, x: Pair, node: int) -> Pair:
    """The scale and offset of the norm after a node, where they are learnt."""
    if not cell.options.norm_learnable:
        return x
    scale = cell.value(cell.norm_scale)[node]
    return Pair(x.value * scale + cell.value(cell.norm_offset)[node], x.shadow * rule.coefficient(scale))


def edge_scalars(cell, rule: Rule, scalar_shadows) -> Pair | None:
    """w_ij^o `[E, O]`, times the switch of its edge where there is one; None for a cell without scalars."""
    if not scalar_shadows:
        return None
    w = Pair(tf.convert_to_tensor(cell.scalars), scalar_shadows[0])
    if cell.zero_scalars is None:
        return w
    switch = Pair(tf.convert_to_tensor(cell.zero_scalars), scalar_shadows[1])

    @tf.custom_gradient
    def product(w, w_shadow, z, z_shadow):
        del z_shadow

        def gradient(g, s):
            of_w = s * rule.coefficient(z)[:, tf.newaxis]
            of_z = tf.reduce_sum(s * rule.coefficient(w), axis=-1)
            return g * z[:, tf.newaxis], of_w, tf.reduce_sum(g * w, axis=-1), of_z

        return (w * z[:, tf.newaxis], tf.zeros_like(w_shadow)), gradient

    return Pair(*product(*w, *switch))
