"""One step of the search: a window in, every weight, scalar and carried state updated in place."""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.bayes import gauge
from bayesnas_tf.cells import masks
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions


class Totals(NamedTuple):
    """Sums since they were last read; divided when read."""

    nats: tf.Variable  # float64, over all tokens
    tokens: tf.Variable  # int64
    steps: tf.Variable  # int64
    squared_gradient: tf.Variable  # float64, of the data loss in w, mean over E·O, summed over steps


def new_totals() -> Totals:
    """Zeros, as variables that a checkpoint can hold."""
    zero = lambda dtype: tf.Variable(0, dtype=dtype, trainable=False)  # noqa: E731
    return Totals(zero(tf.float64), zero(tf.int64), zero(tf.int64), zero(tf.float64))


class SearchStep(tf.Module):
    """Owns what a step carries over: the hidden state, the L1 weights ω and the running totals."""

    def __init__(
        self, model: LanguageModel, windows: WindowOptions, weights: WeightOptions, scalars: ScalarOptions
    ):
        """A window of `windows.bptt` steps gets the learning rate as given, others in proportion."""
        super().__init__()
        self.model, self.options, self.scalar_options, self.bptt = model, weights, scalars, windows.bptt
        self.scalars = [v for v in (model.cell.scalars, model.cell.zero_scalars) if v is not None]
        owned = {id(v) for v in self.scalars}
        self.weights = [v for v in model.trainable_variables if id(v) not in owned]
        self.state = tf.Variable(model.zero_state(windows.batch_size), trainable=False)
        self.omega = [tf.Variable(tf.ones_like(w), trainable=False) for w in self.scalars]
        self.totals = new_totals()

    def loss(self, x, y, length, model_masks):
        """Training loss without the terms that have closed-form steps, its data part, and the next state."""
        hidden = self.model.hidden(x, self.state, model_masks)
        nats = losses.mean_nats(losses.token_nats(self.model.decode(hidden, model_masks), y), length)
        loss = nats
        if self.options.temporal_activation > 0.0:
            loss += self.options.temporal_activation * losses.temporal_activation(hidden, length)
        return loss, nats, hidden[:, length - 1]

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        weights = [tf.convert_to_tensor(v) for v in self.weights]
        with tf.GradientTape() as tape:
            model_masks = self.model.draw_masks(seed, x.shape[0])
            loss, nats, state = self.loss(x, y, length, model_masks)
        gradients = tape.gradient(loss, self.weights + self.scalars)
        of_weights = sgd.dense(gradients[: len(weights)], weights)
        of_scalars = gradients[len(weights) :]
        rate = lr * tf.cast(length, lr.dtype) / self.bptt
        clipped = sgd.clip_by_norm(of_weights, self.options.clip)
        for variable, value in zip(
            self.weights, sgd.sgd(weights, clipped, rate, self.options.weight_decay), strict=True
        ):
            variable.assign(value)
        self.update_scalars(of_scalars)
        self.state.assign(state)
        self.add_totals(nats, length, of_scalars[0])

    def update_scalars(self, gradients):
        """Proximal step on each array of scalars, then the gauge."""
        options = self.scalar_options
        for w, omega, gradient in zip(self.scalars, self.omega, gradients, strict=True):
            value = sgd.proximal_sgd(
                tf.convert_to_tensor(w), gradient, options.lr, options.l1(self.bptt), omega
            )
            if options.gauge == "rms" and value.shape.rank == 2:
                value = gauge.rms(value)
            w.assign(value)

    def add_totals(self, nats, length, gradient):
        """Add one window to the running totals."""
        tokens = tf.cast(self.state.shape[0] * length, tf.int64)
        self.totals.nats.assign_add(tf.cast(nats, tf.float64) * tf.cast(tokens, tf.float64))
        self.totals.tokens.assign_add(tokens)
        self.totals.steps.assign_add(1)
        self.totals.squared_gradient.assign_add(tf.cast(tf.reduce_mean(tf.square(gradient)), tf.float64))


def step_seed(seed, step):
    """The stateless seed of the masks of one step."""
    return masks.fold(seed, 1, step)
