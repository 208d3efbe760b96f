"""Gradient and curvature of one window of a search cell by one backward pass.

The cell is built a second time from the operations of `lanes`, on the weights of the model. One
`tape.gradient` of the mean loss in (weights, shadows) gives the ordinary gradient, to rounding, and in the
shadows' place what the lanes collected, in graph mode and under XLA.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import highway, masks
from bayesnas_tf.cells.highway_cell import scan_time
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


def shadows(lanes: Lanes, model, batch: int) -> list:
    """Zeros beside the scalars (`[L, E, O]`, or `[L, B, E, O]` per sequence) and the switches."""
    lead = [lanes.number, batch] if lanes.rule.per_sequence else [lanes.number]
    return [tf.zeros([*lead, *v.shape], v.dtype) for v in scalar_variables(model)]


def one_pass(model, x, y, state, lanes: Lanes, seed) -> Pass:
    """Gradient and lanes of the scalars of one window, dropout off; arguments as `forward`."""
    scalars, beside = scalar_variables(model), shadows(lanes, model, x.shape[0])
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

        def step(t, pre, h, shadow):
            return lane_step(cell, lanes, w, pre, Pair(h, across_time(shadow, t, lanes)))

        values, beside = scan_time(step, projected, (state, shadow_of(state, lanes.number)))
        hidden = Pair(tf.transpose(values, [1, 0, 2]), tf.transpose(beside, [1, 2, 0, 3]))
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
    lanes: p (1 - p) / N through the squared decoder, into lane 0. While the cell's kernels are fixed, the
    decoder is too.
    """
    rule, tokens, fixed = lanes.rule, tf.cast(tf.size(y), hidden.value.dtype), model.cell.fixed
    masked = hidden if model_masks.outputs is None else scaled(rule, hidden, model_masks.outputs)

    @tf.custom_gradient
    def run(hidden, shadow, embedding, bias):
        softmax = _Softmax(embedding, bias, tf.transpose(hidden, [1, 0, 2]), tf.transpose(y))

        def gradient(g):
            through = tf.square(embedding) if rule.diagonal else embedding
            begin = lambda p, t: _begun(p, through, lanes, tokens, seed, t)  # noqa: E731
            of_hidden, of_decoder = softmax.pulled(g / tokens, begin, fixed)
            of_hidden = tf.transpose(of_hidden, [1, 2, 0, 3])
            of_shadow = tf.ensure_shape(of_hidden[1:], shadow.shape)
            return of_hidden[0], of_shadow, *(of_decoder or [None, None])

        return tf.reduce_mean(softmax.nats()), gradient

    return run(*masked, tf.convert_to_tensor(model.embedding), tf.convert_to_tensor(model.decoder_bias))


class _Softmax(NamedTuple):
    """The decoder over one window, a time step at a time: arrays over the vocabulary are `[B, V]`.

    Logits are computed again backward, so that none are kept.
    """

    embedding: tf.Tensor  # [V, U]
    bias: tf.Tensor
    hidden: tf.Tensor  # [T, B, U]
    targets: tf.Tensor  # [T, B]

    def logits(self, t):
        """`[B, V]` of step t."""
        return tf.nn.bias_add(tf.matmul(self.hidden[t], self.embedding, transpose_b=True), self.bias)

    def nats(self):
        """Of every token, `[T, B]`."""

        def of_step(t):
            return tf.nn.sparse_softmax_cross_entropy_with_logits(self.targets[t], self.logits(t))

        steps, dtype = tf.range(tf.shape(self.hidden)[0]), self.hidden.dtype
        return tf.map_fn(of_step, steps, parallel_iterations=1, fn_output_signature=dtype)

    def pulled(self, scale, begin, fixed: bool):
        """Cotangents of the hidden states, `[T, 1 + L, B, U]`, and of embedding and bias unless `fixed`.

        First comes the gradient of `scale` Σ nats, then what `begin(p [B, V], t)` gives each lane.
        """
        steps = tf.shape(self.hidden)[0]

        def body(t, written, sums):
            p = tf.nn.softmax(self.logits(t))
            of_logits = residual(p, self.targets[t]) * scale
            of_hidden = tf.stack([tf.matmul(of_logits, self.embedding), *begin(p, t)])
            if not fixed:
                of_embedding = tf.matmul(of_logits, self.hidden[t], transpose_a=True)
                sums = [sums[0] + of_embedding, sums[1] + tf.reduce_sum(of_logits, axis=0)]
            return t + 1, written.write(t, of_hidden), sums

        sums = [] if fixed else [tf.zeros_like(self.embedding), tf.zeros_like(self.bias)]
        start = (tf.constant(0), tf.TensorArray(self.hidden.dtype, size=steps), sums)
        _, written, sums = tf.while_loop(
            lambda t, *_: t < steps, body, start, maximum_iterations=steps, parallel_iterations=1
        )
        return written.stack(), sums


def _begun(p, through, lanes: Lanes, tokens, seed, t) -> list:
    """What each lane begins with at the hidden states of step t, `[B, U]`, from p `[B, V]`.

    `through` is the decoder `[V, U]`, squared for diagonal lanes.
    """
    if lanes.rule.diagonal:
        fresh = tf.matmul(p * (1.0 - p) / tokens, through)
        return [fresh, *[tf.zeros_like(fresh)] * (lanes.number - 1)]
    drawn = [probe(p, masks.fold(seed, number, t)) for number in range(lanes.number)]
    return [tf.matmul(v, through) * tf.math.rsqrt(tokens) for v in drawn]
