"""Dynamic evaluation: weights that adapt to the text they have just predicted (Krause et al. 2018)."""

import dataclasses
from collections.abc import Callable, Iterable

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.models import losses
from bayesnas_tf.training import compile as compiling
from bayesnas_tf.training import sgd
from bayesnas_tf.training.validation import StreamNats

Staged = Callable[[str, Iterable, int], Iterable]  # name, items, their number -> the items, watched


@gin.register
@dataclasses.dataclass(frozen=True)
class DynamicOptions:
    """The rule with RMS and decay to the trained weights; defaults are those of the authors' code."""

    lr: float = 5e-5  # η
    decay: float = 2e-3  # λ, of the way back to the trained weights
    epsilon: float = 2e-5  # ε
    bptt: int = 5  # tokens predicted between two updates
    batch_size: int = 100  # rows of the training split, for the gradients' mean squares
    windows: int = 0  # of the training split, for the same; 0: all

    def __post_init__(self):
        """Refuse values without meaning."""
        for name, least in {"lr": 0, "decay": 0, "windows": 0, "bptt": 1, "batch_size": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"DynamicOptions.{name}={getattr(self, name)} must be at least {least}")
        if not self.epsilon > 0.0:
            raise ValueError(f"DynamicOptions.epsilon={self.epsilon} must be above 0")


def adapted(weight, gradient, rms, start, decay, options: DynamicOptions):
    """θ + min(decay, 1) ⊙ (θ_0 - θ) - η g / (√MS + ε), with θ_0 the trained weights (their equation 6)."""
    return (
        weight + tf.minimum(decay, 1.0) * (start - weight) - options.lr * gradient / (rms + options.epsilon)
    )


class DynamicEvaluation(tf.Module):
    """Static weights θ_0, the mean squares of their gradients, and the two passes of the method.

    As in the authors' code MS is the mean, over training windows of `batch_size` rows and `bptt` steps, of
    the squared gradient of the mean loss; the decay of a weight is λ √MS over the mean of √MS (a mean over
    weight matrices of their means), at most 1. Unlike there, a shorter last window counts by its tokens.
    """

    def __init__(self, model, options: DynamicOptions, staged: Staged = lambda _, items, __: items):
        """`staged` hears how far each pass is; dropout is off in both."""
        super().__init__()
        self.model, self.options, self.staged = model, options, staged
        zeros = [tf.zeros_like(weight) for weight in model.trainable_variables]
        self.squares = [tf.Variable(zero, trainable=False) for zero in zeros]
        self.start = [tf.Variable(weight, trainable=False) for weight in model.trainable_variables]
        self.windows = tf.Variable(0, dtype=tf.int64, trainable=False)

    def gradients(self, x, y, length, state):
        """Of the mean nats of a window, dense; then its mean nats and the state after it."""
        weights = self.model.trainable_variables
        with tf.GradientTape() as tape:
            hidden = self.model.hidden(x, state)
            nats = losses.mean_nats(losses.token_nats(self.model.decode(hidden), y), length)
        return sgd.dense(tape.gradient(nats, weights), weights), nats, hidden[:, length - 1]

    def gather(self, stream: np.ndarray) -> None:
        """Take the mean squares from the training split, int32 [N] ids."""
        rows = batching.rows(stream, max(1, min(self.options.batch_size, len(stream) // 2)))
        self._pass("gradient statistics", rows, self._gather, self.options.windows)

    def _gather(self, x, y, length, state):
        gradients, _, state = self.gradients(x, y, length, state)
        for square, gradient in zip(self.squares, gradients, strict=True):
            square.assign_add(tf.square(gradient))
        self.windows.assign_add(1)
        return tf.zeros([], tf.float64), state

    def nats(self, stream: np.ndarray, name: str) -> StreamNats:
        """Nats of a split, int32 [N] ids, as one row: every window is predicted before it is learnt from.

        The model's weights are put back afterwards, whatever happens.
        """
        try:
            return self._pass(name, batching.rows(stream, 1), self._learn)
        finally:
            for weight, start in zip(self.model.trainable_variables, self.start, strict=True):
                weight.assign(start)

    def _learn(self, x, y, length, state):
        gradients, nats, state = self.gradients(x, y, length, state)
        count = tf.cast(self.windows, state.dtype)
        rms = [tf.sqrt(square / count) for square in self.squares]
        mean = tf.reduce_mean(tf.stack([tf.reduce_mean(of_weight) for of_weight in rms]))
        triples = zip(self.model.trainable_variables, gradients, rms, self.start, strict=True)
        for weight, gradient, of_weight, start in triples:
            decay = self.options.decay * of_weight / mean
            weight.assign(
                adapted(tf.convert_to_tensor(weight), gradient, of_weight, start, decay, self.options)
            )
        return tf.cast(nats, tf.float64) * tf.cast(length, tf.float64), state

    def _pass(self, name: str, rows: np.ndarray, step, limit: int = 0) -> StreamNats:
        """Sum `step` over the windows of rows, the state carried from zero."""
        plan = batching.plan(rows.shape[1], self.options.bptt, 0, jitter=False)
        count = min(limit, len(plan.lengths)) or len(plan.lengths)
        run = compiling.window_function(step, len(rows), False)
        state, nats, tokens = self.model.zero_state(len(rows)), tf.zeros([], tf.float64), 0
        for window in self.staged(name, batching.windows(rows, plan, 1).take(count), count):
            of_window, state = run(window.x, window.y, window.length, state)
            nats += of_window
            tokens += len(rows) * int(window.length)
        return StreamNats(float(nats), tokens, len(rows))
