"""Dynamic evaluation: weights that adapt to the text they have just predicted (Krause et al. 2018)."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.options import NonNegative, Options, Positive, Rows, Steps, Whole
from bayesnas_tf.training import sgd
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.validation import StreamNats, stream_nats

Staged = Callable[[str, Iterable, int], Iterable]  # name, items, their number -> the items, watched


@gin.register
@dataclasses.dataclass(frozen=True)
class DynamicOptions(Options):
    """The rule with RMS and decay to the trained weights; defaults are those of the authors' code.

    The paper's 0.002, 0.02 and 0.001 for `lr`, `decay` and `epsilon` belong to an earlier scaling of theirs
    (`--oldhyper`). For longer windows they raise both rates: 1.2e-4 and 0.02 at `bptt` 20.
    """

    lr: NonNegative = 5e-5  # η
    decay: NonNegative = 2e-3  # λ, of the way back to the trained weights
    epsilon: Positive = 2e-5  # ε
    bptt: Steps = 5  # tokens predicted between two updates
    batch_size: Rows = 100  # rows of the training split, for the gradients' mean squares
    windows: Whole = 0  # of the training split, for the same; 0: all


class Factors(NamedTuple):
    """What stays the same during a pass; one tensor for each weight."""

    rates: list[tf.Tensor]  # η / (√MS + ε)
    pulls: list[tf.Tensor]  # min(λ RMS_norm, 1): the share of the way back to θ_0


def factors(rms: Sequence[tf.Tensor], options: DynamicOptions) -> Factors:
    """From √MS of each weight; RMS_norm is √MS over its mean, a mean over weight matrices of their means."""
    mean = tf.reduce_mean(tf.stack([tf.reduce_mean(of_weight) for of_weight in rms]))
    return Factors(
        rates=[options.lr / (of_weight + options.epsilon) for of_weight in rms],
        pulls=[tf.minimum(options.decay * of_weight / mean, 1.0) for of_weight in rms],
    )


def adapted(
    weight: tf.Tensor, gradient: tf.Tensor, start: tf.Tensor, rate: tf.Tensor, pull: tf.Tensor
) -> tf.Tensor:
    """θ + pull ⊙ (θ_0 - θ) - rate ⊙ g, with θ_0 the trained weights (the rule of the authors' code)."""
    return weight + pull * (start - weight) - rate * gradient


class DynamicEvaluation(tf.Module):
    """Static weights θ_0, the mean squares of their gradients, and the two passes of the method.

    As in the authors' code MS is the mean, over training windows of `batch_size` rows and `bptt` steps, of
    the squared gradient of the mean loss. Unlike there, a last window of a single token is not left out.
    """

    def __init__(
        self, model: LanguageModel, options: DynamicOptions, staged: Staged = lambda _, items, __: items
    ):
        """`staged` hears how far each pass is; dropout is off in both."""
        super().__init__()
        self.model, self.options, self.staged = model, options, staged
        zeros = [tf.zeros_like(weight) for weight in model.trainable_variables]
        self.squares = [tf.Variable(zero, trainable=False) for zero in zeros]
        self.start = [tf.Variable(weight, trainable=False) for weight in model.trainable_variables]
        self.windows = tf.Variable(0, dtype=tf.int64, trainable=False)

    def gradients(
        self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """Of the mean nats of a window, dense; then its mean nats and the state after it."""
        weights = self.model.trainable_variables
        with tf.GradientTape() as tape:
            hidden, after = self.model.window(x, state, length)
            nats = losses.mean_nats(self.model.token_nats(hidden, y), length)
        return sgd.dense(tape.gradient(nats, weights), weights), nats, after

    def gather(self, stream: np.ndarray) -> None:
        """Take the mean squares from the training split, int32 [N] ids."""
        rows = batching.rows(stream, max(1, min(self.options.batch_size, len(stream) // 2)))
        self._pass("gradient statistics", rows, self._gather, self.options.windows)

    def _gather(
        self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        gradients, _, state = self.gradients(x, y, length, state)
        for square, gradient in zip(self.squares, gradients, strict=True):
            square.assign_add(tf.square(gradient))
        self.windows.assign_add(1)
        return tf.zeros([], tf.float64), state

    def nats(self, stream: np.ndarray, name: str) -> StreamNats:
        """Nats of a split, int32 [N] ids, as one row: every window is predicted before it is learnt from.

        The model's weights are put back afterwards, whatever happens.

        Raises:
          UserError: the weights went so far that the nats are no longer finite.
        """
        # once per pass, not once per window
        fixed = factors(self.root_mean_squares(), self.options)

        def learn(
            x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            return self._learn(x, y, length, state, fixed)

        try:
            total = self._pass(name, batching.rows(stream, 1), learn)
        finally:
            for weight, start in zip(self.model.trainable_variables, self.start, strict=True):
                weight.assign(start)
        if not math.isfinite(total.nats):
            raise UserError(
                f"dynamic evaluation diverged. The nats of {name!r} are no longer finite at "
                f"DynamicOptions.lr={self.options.lr:g}. Lower it, or raise DynamicOptions.epsilon"
            )
        return total

    def root_mean_squares(self) -> list[tf.Tensor]:
        """√MS of each weight, of all windows gathered so far."""
        if not int(self.windows):
            raise ValueError("no gradient statistics: call gather(training split) before nats")
        return [tf.sqrt(square / tf.cast(self.windows, square.dtype)) for square in self.squares]

    def _learn(
        self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor, fixed: Factors
    ) -> tuple[tf.Tensor, tf.Tensor]:
        gradients, nats, state = self.gradients(x, y, length, state)
        weights = self.model.trainable_variables
        for weight, gradient, start, *of_weight in zip(weights, gradients, self.start, *fixed, strict=True):
            weight.assign(adapted(tf.convert_to_tensor(weight), gradient, start, *of_weight))
        return tf.cast(nats, tf.float64) * tf.cast(length, tf.float64), state

    def _pass(self, name: str, rows: np.ndarray, step: Callable, limit: int = 0) -> StreamNats:
        """Sum `step` over the windows of rows, the state carried from zero."""
        plan = batching.plan(rows.shape[1], self.options.bptt, 0, jitter=False)
        count = min(limit, len(plan.lengths)) or len(plan.lengths)
        run = window_function(step, len(rows), False)
        windows = self.staged(name, batching.windows(rows, plan, 1).take(count), count)
        return stream_nats(run, self.model, windows, len(rows))
