"""What one training step of any language model here consists of: loss, clipped SGD, carried state, totals."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.reading import Purpose
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel, Masks
from bayesnas_tf.numerics import xla
from bayesnas_tf.numerics.row_groups import Rows
from bayesnas_tf.optim.once import Adam
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import OptimizerOptions, WeightOptions, WindowOptions


def adam(options: OptimizerOptions, weights: WeightOptions) -> Adam:
    """Keras' Adam; weight decay is a part of the gradient that it gets."""
    return Adam(weights.lr, options.beta_1, options.beta_2, options.epsilon)


class Totals(NamedTuple):
    """Sums since they were last read; divided when read."""

    nats: tf.Variable  # float64, over all tokens
    tokens: tf.Variable  # int64


class TrainStep(tf.Module):
    """Owns what a step carries over: the hidden state and the running totals."""

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        rule: OptimizerOptions | None = None,
    ):
        """A window of `windows.bptt` steps gets the learning rate as given, others in proportion.

        `rule` None, or one of SGD: the clipped SGD of (M5).
        """
        super().__init__()
        self.of_weights = None if rule is None or rule.rule == "sgd" else adam(rule, weights)
        self.model, self.options, self.bptt = model, weights, windows.bptt
        self.state = tf.Variable(model.zero_state(windows.batch_size), trainable=False)
        self.totals = Totals(
            *(tf.Variable(0, dtype=dtype, trainable=False) for dtype in (tf.float64, tf.int64))
        )

    def gradients(
        self,
        variables: Sequence[tf.Variable],
        x: tf.Tensor,
        y: tf.Tensor,
        length: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """Gradients of the training loss in the variables, dense, its mean nats, and the next state `[B, S]`.

        On x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks. The replicas
        share the rows, each under its rows of the one draw; XLA has no part in sums over them.
        """

        def of_rows(
            rows: Rows, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor, drawn: Masks
        ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                loss, nats, after = self.loss(rows(x), rows(y), length, drawn.of_rows(rows), rows(state))
            return [*sgd.dense(tape.gradient(loss, variables), variables), nats], [after]

        model, execution = self.model, self.model.execution
        drawn, state = model.draw_masks(seed, x.shape[0]), tf.convert_to_tensor(self.state)
        compiled = execution.xla and not model.cell.couples_rows
        (*gradients, nats), (after,) = execution.replicas.mean(of_rows, compiled, x, y, length, state, drawn)
        return gradients, nats, after

    def loss(
        self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, model_masks: Masks, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Training loss without the terms that have closed-form steps, its data part, and the next state."""
        options, model = self.options, self.model
        hidden, state = model.window(x, state, length, model_masks, Purpose(training=True))
        nats = losses.mean_nats(model.token_nats(hidden, y, model_masks), length)
        loss = nats
        # copies collect the gradients of a term, so that never three meet: see `numerics.sums`
        beside = tf.identity(hidden)
        if options.activation > 0.0:
            loss += options.activation * losses.activation(model.dropped(beside, model_masks), length)
        if options.temporal_activation > 0.0:
            smoothed = losses.temporal_activation(tf.identity(beside), length)
            loss += options.temporal_activation * smoothed
        return loss, nats, state

    def move(
        self,
        variables: Sequence[tf.Variable],
        gradients: list[tf.Tensor],
        length: tf.Tensor,
        lr: tf.Tensor,
    ) -> None:
        """Clipped SGD on `variables`, or Adam, at the rate of a window of `length` steps."""
        weights, options = [tf.convert_to_tensor(v) for v in variables], self.options
        rate = self.rate(length, lr)
        if self.of_weights is not None:
            gradients = self.stage(sgd.clip_by_norm)(gradients, options.clip)
            self.of_weights.learning_rate.assign(rate)
            self.of_weights.apply(sgd.decayed(gradients, weights, 2.0 * options.weight_decay), variables)
            return
        update = self.stage(sgd.clipped_sgd)
        moved = update(weights, gradients, rate, options.clip, options.weight_decay)
        for variable, value in zip(variables, moved, strict=True):
            variable.assign(value)

    def build_optimizer(self, variables: Sequence[tf.Variable]) -> None:
        """Make the slots of Adam, where that is the rule, for the variables that `move` will get."""
        if self.of_weights is not None:
            self.of_weights.build(variables)

    @property
    def slots(self) -> list[tf.Variable]:
        """What the optimizer of W keeps from step to step; SGD keeps nothing."""
        return [] if self.of_weights is None else list(self.of_weights.variables)

    def forget(self) -> None:
        """Set the slots of the optimizer to 0: other weights begin."""
        for slot in self.slots:
            slot.assign(tf.zeros_like(slot))

    def stage(self, function: Callable) -> Callable:
        """`function` on arrays of one shape, compiled by XLA where updates are."""
        return xla.stage(function, self.model.execution.updates)

    def rate(self, length: tf.Tensor, lr: tf.Tensor) -> tf.Tensor:
        """The learning rate of a window of `length` steps: in proportion to its length, as DARTS."""
        return lr * tf.cast(length, lr.dtype) / self.bptt

    def add_totals(self, nats: tf.Tensor, length: tf.Tensor) -> None:
        """Add the mean nats of one window to the running totals."""
        tokens = tf.cast(self.state.shape[0] * length, tf.int64)
        self.totals.nats.assign_add(tf.cast(nats, tf.float64) * tf.cast(tokens, tf.float64))
        self.totals.tokens.assign_add(tokens)
