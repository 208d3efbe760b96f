"""The diagonal of every weight: embedding, decoder bias and each kernel W of either cell (4.5, 4.13-4.21).

A kernel acts as pre = x W, once or more per time step. `one_pass` brings what flows into each pre-activation
while it pulls the lanes back; what is left is a product with the x of that use:

- diagonal lanes: h = Σ_uses x² ⊗ H (4.5, 4.15), with H the diagonal at `pre`;
- linear lanes: h = mean_probes Σ_groups (Σ_uses x ⊗ s)², with s the probe at `pre`. A group is one sequence,
  or the whole batch where the norm couples its examples.

The embedding is used twice, see `tied`. A learnt scale and offset of a norm are left out.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.curvature import ggn, recursive
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.curvature.lane_programs import use_shadows
from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.one_pass import Lanes, mean_nats, shadows, walk
from bayesnas_tf.curvature.tied import decoder_use, of_embedding
from bayesnas_tf.curvature.window import Window
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds

ESTIMATORS = ("ggn", "recursive")


class WeightEstimate(NamedTuple):
    """h of the mean NLL of one window, an array of the shape of each variable."""

    weights: list[tf.Tensor]  # per entry of `weight_variables`
    scalars: list[tf.Tensor]  # per entry of `window.scalar_variables`
    state: tf.Tensor  # [B, S], after the window


class WeightCurvature(NamedTuple):
    """The mean over windows, float64, in the order of `WeightEstimate`."""

    weights: list[np.ndarray]
    scalars: list[np.ndarray]
    windows: int
    tokens: int  # per window


def weight_variables(model: LanguageModel) -> list[tf.Variable]:
    """Embedding, decoder bias, the input kernel, then the kernels of the program in its order."""
    cell = model.cell
    kernels = cell.kernels()
    assert cell.program is not None  # of a stack of layers the curvature is not known
    names = [op.args[1] for op in cell.program.projections()]
    return [model.embedding, model.decoder_bias, cell.kernel, *(kernels[name] for name in names)]


def lanes_of(model: LanguageModel, options: CurvatureOptions) -> Lanes:
    """The lanes of `options.estimator`.

    Raises:
      ValueError: it is one that knows the scalars alone.
    """
    if options.estimator not in ESTIMATORS:
        raise ValueError(
            f"CurvatureOptions.estimator={options.estimator!r} cannot compute the curvature of weights. "
            f"Choose one of {', '.join(map(repr, ESTIMATORS))}"
        )
    return recursive.lanes_of(options) if options.estimator == "recursive" else ggn.lanes_of(model, options)


def estimate(
    model: LanguageModel,
    x: tf.Tensor,
    y: tf.Tensor,
    state: tf.Tensor,
    seed: tf.Tensor,
    options: CurvatureOptions,
) -> WeightEstimate:
    """h of all weights, and of the scalars of a search cell, of the mean nats per token of one window.

    One backward pass, from ids x, y `[B, T]`, a state `[B, S]` and a stateless seed (int32 `[2]`): it brings
    what flows into each use of a kernel, and the sums over uses come behind it.
    """
    lanes, cell = lanes_of(model, options)._replace(fixed_kernels=True), model.cell
    beside = shadows(lanes, model, x.shape[0])
    uses = use_shadows(cell, lanes.rule, lanes.number, x.shape)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*beside, *uses])
        walked = walk(model, Window(x, y, state), lanes, beside, uses)
        loss = mean_nats(model, walked.hidden, y, lanes, seed)
    # a node that reaches no output has kernels without any gradient
    zero = tf.UnconnectedGradients.ZERO
    found = tape.gradient(loss, [*beside, *uses], unconnected_gradients=zero)
    of_scalars, (of_input, *of_inner) = found[: len(beside)], found[len(beside) :]

    hidden, ids, rule = tf.transpose(walked.hidden.value, [1, 0, 2]), tf.transpose(x), lanes.rule
    decoder = decoder_use(model, hidden, ids, lanes, seed)
    weights = [
        of_embedding(rule, decoder, hidden, ids, through(rule, of_input, cell.kernel)),
        decoder.bias,
        of_kernel(rule, cell.kernel, model.embed(ids), of_input),
    ]
    inner = zip(weight_variables(model)[3:], walked.read, of_inner, strict=True)
    weights += [of_kernel(rule, *of_use) for of_use in inner]
    return WeightEstimate(weights, of_scalars and _of_scalars(lanes, of_scalars), walked.state)


def through(rule: Rule, upstream: tf.Tensor, kernel: tf.Tensor | tf.Variable) -> tf.Tensor:
    """What flows back through a kernel `[K, N]` into its inputs: `[..., N]` -> `[..., K]`."""
    kernel = tf.convert_to_tensor(kernel)
    return tf.einsum("...n,kn->...k", upstream, tf.square(kernel) if rule.diagonal else kernel)


def of_kernel(rule: Rule, kernel: tf.Tensor | tf.Variable, x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """h of one kernel, of its shape.

    Args:
      rule: of the lanes.
      kernel: `[K, N]`, `[j, K, N]` or `[O, j, K, N]`.
      x: what it multiplies, `[T, B, K]`, or `[T, j, B, K]` where it has j uses per step.
      upstream: what flows into the products, `[T, L, B, N]`, `[T, L, j, B, N]` or `[T, L, O, j, B, N]`.
    """
    many = "j" if x.shape.rank == 4 else ""
    lead = {2: "", 3: "j", 4: "oj"}[kernel.shape.rank]
    equation = f"t{many}bk,tl{lead or many}bn->l{lead}kn"
    if rule.diagonal:
        return tf.einsum(equation, tf.square(x), upstream)[0]

    def of_group(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(tf.einsum(equation, x, upstream)), axis=0)

    if not rule.per_sequence:
        return of_group(x, upstream)

    def add(
        total: tf.Tensor, b: tf.Tensor
    ) -> tf.Tensor:  # one sequence after the other: no array of B kernels
        return total + of_group(x[..., b : b + 1, :], upstream[..., b : b + 1, :])

    return tf.foldl(add, tf.range(x.shape[-2]), tf.zeros(kernel.shape, x.dtype), parallel_iterations=1)


def _of_scalars(lanes: Lanes, found: list[tf.Tensor]) -> list[tf.Tensor]:
    """As the estimators of the scalars have it."""
    if lanes.rule.diagonal:
        return [tf.reduce_sum(lane, axis=0) for lane in found]
    return [tf.reduce_mean(square, axis=0) for square in ggn.squares(lanes, found)]


def diagonal(
    model: LanguageModel,
    windows: Iterable[tuple[tf.Tensor, tf.Tensor]],
    state: tf.Tensor,
    options: CurvatureOptions,
    seed: tf.Tensor,
) -> WeightCurvature:
    """The mean of `estimate` over windows at fixed parameters, pairs of `[B, T]`; see `interface.diagonal`.

    The state is carried from window to window, and the sum over them taken in float64.

    Raises:
      ValueError: there are no windows, or the estimator has no curvature of weights.
    """
    lanes_of(model, options)

    @tf.function(jit_compile=model.execution.xla, autograph=False)
    def compiled(x: tf.Tensor, y: tf.Tensor, state: tf.Tensor, seed: tf.Tensor) -> WeightEstimate:
        return estimate(model, x, y, state, seed, options)

    total: list[np.ndarray] | None = None
    count = tokens = 0
    for k, (x, y) in enumerate(windows):
        found = compiled(x, y, state, seeds.fold(seed, k))
        state, count, tokens = found.state, k + 1, int(tf.size(x))
        arrays = [part.numpy().astype(np.float64) for part in (*found.weights, *found.scalars)]
        total = arrays if total is None else [a + b for a, b in zip(total, arrays, strict=True)]
    if total is None:
        raise ValueError("no window for the curvature: the split is shorter than one window")
    mean, first = [part / count for part in total], len(weight_variables(model))
    return WeightCurvature(mean[:first], mean[first:], count, tokens)
