"""Gradient and curvature of one window of a search cell by one backward pass.

The cell is built a second time from the operations of `lanes`, on the weights of the model. One
`tape.gradient` of the mean loss in (weights, shadows) gives the ordinary gradient, to rounding, and in the
shadows' place what the lanes collected, in graph mode and under XLA.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import highway, masks
from bayesnas_tf.cells.highway_cell import PARALLEL_STEPS
from bayesnas_tf.curvature.lane_edges import mixed_sum
from bayesnas_tf.curvature.lanes import Pair, Rule, gated, normalise, project, scaled, shadow_of
from bayesnas_tf.curvature.window import probe, residual, scalar_variables
from bayesnas_tf.models.language_model import NO_MASKS
from bayesnas_tf.space import primitives, topology


class Lanes(NamedTuple):
    """How many lanes there are and what they carry."""

    rule: Rule
    number: int  # probes, or slots of the horizon
    slots: bool = False  # lane d holds what comes from the loss of d steps later, lane 0 the newest
    chunk: int = 0  # > 0: cut what lanes carry through time every so many steps


class Pass(NamedTuple):
    """What one pass over a window brings, one array per entry of `window.scalar_variables`."""

    lanes: list  # [L, E, O] and [L, E], or [L, B, E, O] and [L, B, E] per sequence
    gradient: list  # of the mean nats
    state: tf.Tensor  # [B, U], after the window


def shadows(lanes: Lanes, cell, batch: int) -> list:
    """Zeros beside the scalars (`[L, E, O]`, or `[L, B, E, O]` per sequence) and the switches."""
    lead = [lanes.number, batch] if lanes.rule.per_sequence else [lanes.number]
    variables = [v for v in (cell.scalars, cell.zero_scalars) if v is not None]
    return [tf.zeros([*lead, *v.shape], v.dtype) for v in variables]


def one_pass(model, x, y, state, lanes: Lanes, seed) -> Pass:
    """Gradient and lanes of the scalars of one window, dropout off; arguments as `forward`."""
    scalars, beside = scalar_variables(model), shadows(lanes, model.cell, x.shape[0])
    with tf.GradientTape(watch_accessed_variables=False) as tape, model.cell.fixed_kernels():
        tape.watch([*beside, *(w.value for w in scalars)])
        loss, hidden = forward(model, x, y, state, lanes, beside, seed)
    found = tape.gradient(loss, [*beside, *scalars])
    return Pass(found[: len(beside)], found[len(beside) :], hidden[:, -1])


def forward(model, x, y, state, lanes: Lanes, scalar_shadows, seed, model_masks=NO_MASKS):
    """The loss of a window as a function of the model's weights and of `scalar_shadows` (see `shadows`).

    Args:
      model: a `LanguageModel` around a `SearchCell`.
      x: int32 `[B, T]`.
      y: int32 `[B, T]`.
      state: `[B, U]` before the window.
      lanes: what the backward pass carries.
      scalar_shadows: from `shadows`, watched by the caller's tape.
      seed: stateless, of the probes of linear lanes; diagonal lanes do not use it.
      model_masks: dropout of a training step.

    Returns:
      Mean nats per token, and hidden states `[B, T, U]`.
    """
    cell = model.cell
    with cell.masked(model_masks.cell), cell.read_once():
        w = edge_scalars(cell, lanes.rule, scalar_shadows)
        projected = cell.project_inputs(model.embed(x, model_masks))
        step = lambda pre, h: lane_step(cell, lanes, w, pre, h)  # noqa: E731
        hidden = through_time(step, projected, Pair(state, shadow_of(state, lanes.number)), lanes)
    loss = mean_nats(model, hidden, y, lanes, seed, model_masks)
    return loss, hidden.value


def edge_scalars(cell, rule: Rule, scalar_shadows) -> Pair:
    """w_ij^o `[E, O]`, times the switch of its edge where there is one."""
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


def lane_step(cell, lanes: Lanes, w: Pair, projected, h: Pair) -> Pair:
    """(M1)-(M4) of one time step, from projected inputs `[B, 2U]`."""
    rule, nodes, hidden_mask = lanes.rule, cell.options.nodes, cell.drawn.hidden
    masked = lambda v: v if hidden_mask is None else scaled(rule, v, hidden_mask)  # noqa: E731
    carry, recurrent = _copies(h, 2)
    pre = project(rule, masked(recurrent), cell.value(cell.recurrent_kernel))
    pre = Pair(projected + pre.value, pre.shadow)
    users = [_copies(_normed(cell, rule, gated(rule, carry, pre), 0), nodes)]
    for j in range(1, nodes + 1):
        own = [copies[j - 1 - i] for i, copies in enumerate(users)]
        stacked = Pair(tf.stack([p.value for p in own]), tf.stack([p.shadow for p in own], axis=1))
        carried, projecting = _copies(stacked, 2)
        pre = project(rule, masked(projecting), cell.value(cell.node_kernels[j - 1]))
        rows = topology.incoming(j)
        of_node = Pair(w.value[rows], w.shadow[..., rows, :])
        node = _normed(cell, rule, mixed_sum(rule, carried, pre, of_node), j)
        users.append(_copies(node, nodes - j + 1))
    outputs = [copies[-1] for copies in users[1:]]
    total = Pair(*(highway.ordered_sum(parts) for parts in zip(*outputs, strict=True)))
    return scaled(rule, total, tf.constant(1.0 / nodes, total.value.dtype))


def _copies(x: Pair, count: int) -> list[Pair]:
    """x for several users; what comes back is added in their order."""
    return [Pair(*both) for both in zip(*(highway.fan_out(part, count) for part in x), strict=True)]


def _normed(cell, rule: Rule, x: Pair, node: int) -> Pair:
    """The norm after a node, with its scale and offset where they are learnt."""
    x = normalise(rule, x, cell.options.norm, max(1, len(primitives.OPS) * node))
    if cell.options.norm_learnable:
        scale = cell.value(cell.norm_scale)[node]
        x = Pair(x.value * scale + cell.value(cell.norm_offset)[node], x.shadow * rule.coefficient(scale))
    return x


def through_time(step, inputs, state: Pair, lanes: Lanes) -> Pair:
    """All h_t, `[B, T, U]`, and their shadows `[L, B, T, U]`, from projected inputs `[B, T, 2U]`."""
    by_time = tf.transpose(inputs, [1, 0, 2])
    steps = inputs.shape[1] or tf.shape(inputs)[1]
    read = tf.TensorArray(inputs.dtype, size=steps, element_shape=by_time.shape[1:]).unstack(by_time)
    written = [tf.TensorArray(p.dtype, size=steps, element_shape=p.shape) for p in state]

    def body(t, h, shadow, values, shadows):
        after = step(read.read(t), Pair(h, across_time(shadow, t, lanes)))
        h, shadow = (tf.ensure_shape(new, old.shape) for new, old in zip(after, state, strict=True))
        return t + 1, h, shadow, values.write(t, h), shadows.write(t, shadow)

    _, _, _, values, shadows = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), *state, *written),
        maximum_iterations=steps,
        parallel_iterations=PARALLEL_STEPS,
    )
    return Pair(tf.transpose(values.stack(), [1, 0, 2]), tf.transpose(shadows.stack(), [1, 2, 0, 3]))


def across_time(shadow, t, lanes: Lanes):
    """A state's shadow as step t takes it over; backward, lanes here go one step further into the past."""
    if lanes.chunk:
        return shadow * tf.cast(t % lanes.chunk != 0, shadow.dtype)
    if not lanes.slots:
        return shadow

    @tf.custom_gradient
    def shift(shadow):
        # d steps from its loss, and one step earlier d + 1; the last slot drops out
        return tf.identity(shadow), lambda s: tf.concat([tf.zeros_like(s[:1]), s[:-1]], axis=0)

    return shift(shadow)


def mean_nats(model, hidden: Pair, y, lanes: Lanes, seed, model_masks=NO_MASKS):
    """Mean nats per token; backward, what lanes begin with, at `hidden` `[B, T, U]`.

    Linear lanes: one probe each (see `window.probe`), through the decoder, over √N for N tokens. Diagonal
    lanes: p (1 - p) / N through the squared decoder, into lane 0. One time step after the other: arrays over
    the vocabulary are `[B, V]`, never `[B T, V]`, and are computed again backward.
    """
    rule, tokens = lanes.rule, tf.cast(tf.size(y), hidden.value.dtype)
    masked = hidden if model_masks.outputs is None else scaled(rule, hidden, model_masks.outputs)
    targets = tf.transpose(y)

    @tf.custom_gradient
    def run(hidden, shadow, embedding, bias):
        by_time = tf.transpose(hidden, [1, 0, 2])

        def logits_of(h):
            return tf.nn.bias_add(tf.matmul(h, embedding, transpose_b=True), bias)

        def nats_of(step):
            h, target = step
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=logits_of(h))

        def gradient(g):
            def of_step(t):
                h, p = by_time[t], tf.nn.softmax(logits_of(by_time[t]))
                of_logits = residual(p, targets[t]) * (g / tokens)
                begun = _begun(p, embedding, lanes, tokens, seed, t)
                of_embedding = tf.matmul(of_logits, h, transpose_a=True)
                of_hidden = tf.stack([tf.matmul(of_logits, embedding), *begun])
                return of_hidden, of_embedding, tf.reduce_sum(of_logits, axis=0)

            of_hidden, *of_decoder = _over_time(of_step, tf.shape(by_time)[0], embedding, bias)
            return of_hidden[0], tf.ensure_shape(of_hidden[1:], shadow.shape), *of_decoder

        nats = tf.map_fn(nats_of, (by_time, targets), parallel_iterations=1, fn_output_signature=hidden.dtype)
        return tf.reduce_mean(nats), gradient

    return run(*masked, tf.convert_to_tensor(model.embedding), tf.convert_to_tensor(model.decoder_bias))


def _over_time(of_step, steps, embedding, bias):
    """Of `of_step`: `[L, B, U]` of each step as `[L, B, T, U]`, and the sums of the others over time."""
    written = tf.TensorArray(embedding.dtype, size=steps)

    def body(t, written, of_embedding, of_bias):
        of_hidden, more, of_words = of_step(t)
        return t + 1, written.write(t, of_hidden), of_embedding + more, of_bias + of_words

    start = (tf.constant(0), written, tf.zeros_like(embedding), tf.zeros_like(bias))
    _, written, of_embedding, of_bias = tf.while_loop(
        lambda t, *_: t < steps, body, start, maximum_iterations=steps, parallel_iterations=1
    )
    return tf.transpose(written.stack(), [1, 2, 0, 3]), of_embedding, of_bias


def _begun(p, embedding, lanes: Lanes, tokens, seed, t) -> list:
    """What each lane begins with at the hidden states of one time step, `[B, U]`, from p `[B, V]`."""
    if lanes.rule.diagonal:
        fresh = tf.matmul(p * (1.0 - p) / tokens, tf.square(embedding))
        return [fresh, *[tf.zeros_like(fresh)] * (lanes.number - 1)]
    drawn = [probe(p, masks.fold(seed, number, t)) for number in range(lanes.number)]
    return [tf.matmul(v, embedding) * tf.math.rsqrt(tokens) for v in drawn]
