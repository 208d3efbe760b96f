"""Gradient and curvature of one window by one backward pass.

The cell is built a second time from the operations of `lanes`, on the weights of the model. One
`tape.gradient` of the mean loss in (weights, shadows) gives the ordinary gradient, to rounding, and in the
shadows' place what the lanes collected, in graph mode and under XLA.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.reading import Purpose, Reading
from bayesnas_tf.cells.scan import scan_time
from bayesnas_tf.curvature import lane_programs
from bayesnas_tf.curvature.lanes import Pair, Rule, scaled, shadow_of
from bayesnas_tf.curvature.window import Window, probe, residual, scalar_variables
from bayesnas_tf.models.language_model import NO_MASKS, LanguageModel, Masks
from bayesnas_tf.numerics import seeds


class Lanes(NamedTuple):
    """How many lanes there are and what they carry."""

    rule: Rule
    number: int  # probes, or slots of the horizon
    slots: bool = False  # lane d holds what comes from the loss of d steps later, lane 0 the newest
    chunk: int = 0  # > 0: cut what lanes carry through time every so many steps
    group: int = 0  # whose rows these are, of so many:
    groups: int = 1
    # whether kernels and decoder are constants, for a backward pass that wants no gradient of theirs
    fixed_kernels: bool = False


class Walk(NamedTuple):
    """A window, step by step."""

    hidden: Pair  # [B, T, U]
    state: tf.Tensor  # [B, S], after the window
    read: list[tf.Tensor]  # what each kernel of the program read, [T, ..., B, U]; empty without `uses`


class Pass(NamedTuple):
    """What one pass over a window brings, one array per entry of `window.scalar_variables`."""

    lanes: list[tf.Tensor]  # [L, E, O] and [L, E], or [L, B, E, O] and [L, B, E] per sequence
    gradient: list[tf.Tensor]  # of the mean nats per token
    state: tf.Tensor  # [B, S], after the window


def shadows(lanes: Lanes, model: LanguageModel, batch: int) -> list[tf.Tensor]:
    """Zeros beside the scalars (`[L, E, O]`, or `[L, B, E, O]` per sequence) and the switches."""
    lead = [lanes.number, batch] if lanes.rule.per_sequence else [lanes.number]
    return [tf.zeros([*lead, *v.shape], v.dtype) for v in scalar_variables(model)]


def one_pass(model: LanguageModel, window: Window, lanes: Lanes, seed: tf.Tensor) -> Pass:
    """Gradient and lanes of the scalars of one window, dropout off; arguments as `forward`.

    One call of `tape.gradient` brings both: what it gives for the shadows, zeros that do nothing forward, is
    what the rules of `lanes` made of the cotangents on their way down. `seed` is int32 `[2]`.
    """
    scalars, beside = scalar_variables(model), shadows(lanes, model, window.x.shape[0])
    # kernels as constants: a while loop computes the gradient of everything that its body reads
    lanes = lanes._replace(fixed_kernels=True)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*beside, *(w.value for w in scalars)])
        loss, walked = forward(model, window, lanes, beside, seed)
    found = tape.gradient(loss, [*beside, *scalars])
    return Pass(found[: len(beside)], found[len(beside) :], walked.state)


def forward(
    model: LanguageModel,
    window: Window,
    lanes: Lanes,
    scalar_shadows: Sequence[tf.Tensor],
    seed: tf.Tensor,
    model_masks: Masks = NO_MASKS,
) -> tuple[tf.Tensor, Walk]:
    """The loss of a window as a function of the model's weights and of `scalar_shadows` (see `shadows`).

    Args:
      model: a `LanguageModel`.
      window: the text, and the state before it.
      lanes: what the backward pass carries.
      scalar_shadows: from `shadows`, `[L, E, O]` or `[L, B, E, O]`, watched by the caller's tape.
      seed: stateless, int32 `[2]`, of the probes of linear lanes; diagonal lanes do not use it.
      model_masks: dropout of a training step.

    Returns:
      Mean nats per token, and the time steps.
    """
    walked = walk(model, window, lanes, scalar_shadows, model_masks=model_masks)
    return mean_nats(model, walked.hidden, window.y, lanes, seed, model_masks), walked


def walk(
    model: LanguageModel,
    window: Window,
    lanes: Lanes,
    scalar_shadows: Sequence[tf.Tensor],
    uses: Sequence[tf.Tensor] = (),
    model_masks: Masks = NO_MASKS,
) -> Walk:
    """The time steps of a window on pairs; arguments as `forward`.

    `uses` are from `lane_programs.use_shadows`, `[T, L, ..., B, N]`: where they are given, the walk also
    returns what each kernel read. The loop carries tensors alone: values, then their shadows, then what was
    read. Between two steps the shadow of a state changes its lane (`across_time`).
    """
    cell, program, state = model.cell, model.cell.program, window.state
    assert program is not None  # of a stack of layers the curvature is not known
    reading: Reading = model.read(model_masks, Purpose(fixed_kernels=lanes.fixed_kernels))
    known = lane_programs.fixed(reading, lane_programs.edge_scalars(cell, lanes.rule, scalar_shadows))
    by_time = tf.transpose(reading.project_inputs(model.embed(window.x, model_masks)), [1, 0, 2])
    names, count = program.given, len(program.ends)

    def step(t: tf.Tensor, inputs: Sequence[tf.Tensor], *carried: tf.Tensor) -> tuple[tf.Tensor, ...]:
        values, shadows = carried[:count], carried[count : 2 * count]
        pairs = [Pair(value, across_time(s, t, lanes)) for value, s in zip(values, shadows, strict=True)]
        beside_x = shadow_of(inputs[0], lanes.number) + (inputs[1] if uses else 0.0)
        given = dict(zip(names, [Pair(inputs[0], beside_x), *pairs], strict=False))
        after, read = lane_programs.step(reading, lanes.rule, known, given, inputs[2:])
        return *(p.value for p in after), *(p.shadow for p in after), *(read if uses else [])

    states = tf.split(state, len(program.state), axis=1)
    start = [*states, *[tf.zeros_like(states[0])] * (count - len(states))]
    read = [tf.zeros(shape, state.dtype) for shape in lane_programs.read_shapes(cell, state.shape[0])]
    beside = [shadow_of(value, lanes.number) for value in start]
    found = scan_time(step, (by_time, *uses), (*start, *beside, *(read if uses else [])))
    place = program.ends.index(program.output)
    hidden = Pair(tf.transpose(found[place], [1, 0, 2]), tf.transpose(found[count + place], [1, 2, 0, 3]))
    after = tf.concat([found[k][-1] for k in range(len(program.state))], axis=1)
    return Walk(hidden, after, found[2 * count :])


def across_time(shadow: tf.Tensor, t: tf.Tensor, lanes: Lanes) -> tf.Tensor:
    """A state's shadow `[L, B, U]` as step t takes it over; backward, lanes go one step into the past.

    Here the horizon ends. Chunks cut the shadow at every `chunk`-th step: a loss sees 1 to `chunk` steps,
    its own included, at the cost of one lane. Slots give each distance from the loss a lane, 0 to L - 1, and
    cut exactly behind the last, for L times the work (`CurvatureOptions.truncation`).
    """
    if lanes.chunk:
        # times 0 or 1, not a branch: shadows are 0, so that forward nothing changes
        return shadow * tf.cast(t % lanes.chunk != 0, shadow.dtype)
    if not lanes.slots:
        return shadow

    @tf.custom_gradient
    def shift(shadow: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        # d steps from its loss, and one step earlier d + 1; the last slot drops out
        return tf.identity(shadow), lambda s: tf.concat([tf.zeros_like(s[:1]), s[:-1]], axis=0)

    return shift(shadow)


def mean_nats(
    model: LanguageModel,
    hidden: Pair,
    y: tf.Tensor,
    lanes: Lanes,
    seed: tf.Tensor,
    model_masks: Masks = NO_MASKS,
) -> tf.Tensor:
    """Mean nats per token; backward, what lanes begin with, at `hidden` `[B, T, U]`.

    Linear lanes: one probe each (see `window.probe`), through the decoder, over √N for N tokens. Diagonal
    lanes: p (1 - p) / N through the squared decoder, into lane 0.
    """
    rule, tokens = lanes.rule, tf.cast(tf.size(y), hidden.value.dtype)
    masked = hidden if model_masks.outputs is None else scaled(rule, hidden, model_masks.outputs)

    # written out: what lanes begin with is no gradient of a loss, and comes beside the one of the mean nats
    @tf.custom_gradient
    def run(
        hidden: tf.Tensor, shadow: tf.Tensor, embedding: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable]:
        softmax = Softmax(embedding, bias, tf.transpose(hidden, [1, 0, 2]), tf.transpose(y))

        def gradient(g: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
            through = tf.square(embedding) if rule.diagonal else embedding
            begin = lambda p, t: _begun(p, through, lanes, tokens, seed, t)  # noqa: E731
            of_hidden, of_decoder = softmax.pulled(g / tokens, begin, lanes.fixed_kernels)
            of_hidden = tf.transpose(of_hidden, [1, 2, 0, 3])
            of_shadow = tf.ensure_shape(of_hidden[1:], shadow.shape)
            return of_hidden[0], of_shadow, *(of_decoder or [None, None])

        return tf.reduce_mean(softmax.nats()), gradient

    return run(*masked, tf.convert_to_tensor(model.embedding), tf.convert_to_tensor(model.decoder_bias))


class Softmax(NamedTuple):
    """The decoder over one window, a time step at a time: arrays over the vocabulary are `[B, V]`.

    Logits are computed again backward, so that none are kept.
    """

    embedding: tf.Tensor  # [V, U]
    bias: tf.Tensor
    hidden: tf.Tensor  # [T, B, U]
    targets: tf.Tensor  # [T, B]

    def logits(self, t: tf.Tensor) -> tf.Tensor:
        """`[B, V]` of step t."""
        return tf.nn.bias_add(tf.matmul(self.hidden[t], self.embedding, transpose_b=True), self.bias)

    def nats(self) -> tf.Tensor:
        """Of every token, `[T, B]`."""

        def of_step(t: tf.Tensor) -> tf.Tensor:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(self.targets[t], self.logits(t))

        steps, dtype = tf.range(tf.shape(self.hidden)[0]), self.hidden.dtype
        return tf.map_fn(of_step, steps, parallel_iterations=1, fn_output_signature=dtype)

    def pulled(
        self, scale: tf.Tensor, begin: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]], fixed: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Cotangents of the hidden states, `[T, 1 + L, B, U]`, and of embedding and bias unless `fixed`.

        First comes the gradient of `scale` Σ nats, then what `begin(p [B, V], t)` gives each lane.
        """
        steps = tf.shape(self.hidden)[0]

        def body(t: tf.Tensor, written: tf.TensorArray, sums: list[tf.Tensor]) -> tuple:
            p = tf.nn.softmax(self.logits(t))
            of_logits = residual(p, self.targets[t]) * scale
            of_hidden = tf.stack([tf.matmul(of_logits, self.embedding), *begin(p, t)])
            if not fixed:
                of_embedding = tf.matmul(of_logits, self.hidden[t], transpose_a=True)
                sums = [sums[0] + of_embedding, sums[1] + tf.reduce_sum(of_logits, axis=0)]
            return t + 1, written.write(t, of_hidden), sums

        # one step at a time: two would hold two arrays over the vocabulary, and per probe as many again
        sums = [] if fixed else [tf.zeros_like(self.embedding), tf.zeros_like(self.bias)]
        start = (tf.constant(0), tf.TensorArray(self.hidden.dtype, size=steps), sums)
        _, written, sums = tf.while_loop(
            lambda t, *_: t < steps, body, start, maximum_iterations=steps, parallel_iterations=1
        )
        return written.stack(), sums


def drawn(p: tf.Tensor, lanes: Lanes, seed: tf.Tensor, t: tf.Tensor) -> list[tf.Tensor]:
    """The probe of each linear lane at step t, `[B, V]`, from p `[B, V]`."""
    folded = [seeds.fold(seed, number, t) for number in range(lanes.number)]
    return [probe(p, own, lanes.group, lanes.groups) for own in folded]


def _begun(
    p: tf.Tensor, through: tf.Tensor, lanes: Lanes, tokens: tf.Tensor, seed: tf.Tensor, t: tf.Tensor
) -> list[tf.Tensor]:
    """What each lane begins with at the hidden states of step t, `[B, U]`, from p `[B, V]`.

    `through` is the decoder `[V, U]`, squared for diagonal lanes.
    """
    if lanes.rule.diagonal:
        fresh = tf.matmul(p * (1.0 - p) / tokens, through)
        return [fresh, *[tf.zeros_like(fresh)] * (lanes.number - 1)]
    return [tf.matmul(v, through) * tf.math.rsqrt(tokens) for v in drawn(p, lanes, seed, t)]
