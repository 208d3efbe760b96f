"""One step of training a finished cell: a window in, every weight and the carried state updated in place."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.optim.asgd import ASGD
from bayesnas_tf.optim.once import SGD
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import OptimizerOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.train_step import TrainStep, adam


class EvaluateStep(TrainStep):
    """Clipped SGD on all weights, with their average from the switch on (method section 6), or another rule.

    `options.weight_decay` is PyTorch's here: λ W beside the gradient.
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        pytorch_compat: bool = False,
        rule: OptimizerOptions | None = None,
    ):
        """See `TrainStep`, and `ASGD` for `pytorch_compat`; `rule` None means averaged SGD."""
        super().__init__(model, windows, weights)
        compiled = model.execution.updates
        self.optimizer: Any = optimizer_of(rule or OptimizerOptions(), weights, pytorch_compat, compiled)
        self.optimizer.build(model.trainable_variables)

    def __call__(self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor) -> None:
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        gradients, nats, state = self.gradients(variables, x, y, length, seed)
        gradients = self.stage(sgd.clip_by_norm)(gradients, self.options.clip)
        if not isinstance(self.optimizer, ASGD):  # which adds it itself
            gradients = sgd.decayed(gradients, variables, self.options.weight_decay)
        self.optimizer.learning_rate.assign(self.rate(length, lr))
        self.optimizer.apply(gradients, variables)
        self.state.assign(state)
        self.add_totals(nats, length)

    @property
    def added(self) -> dict[str, tf.Module]:
        """What a checkpoint holds of this step beside itself."""
        return {"rests": self.optimizer.rests} if isinstance(self.optimizer, ASGD) else {}

    @property
    def averaging(self) -> bool:
        """Whether there is a mean of iterates."""
        return isinstance(self.optimizer, ASGD) and self.optimizer.averaging

    def averages(self) -> contextlib.AbstractContextManager:
        """A context in which the weights are their means, where there are any."""
        return self.optimizer.averages() if isinstance(self.optimizer, ASGD) else contextlib.nullcontext()


def optimizer_of(
    options: OptimizerOptions, weights: WeightOptions, pytorch_compat: bool, compiled: bool
) -> keras.optimizers.Optimizer:
    """The Keras optimizer of a rule; all but ASGD take the weight decay as part of the gradient."""
    if options.rule == "adam":
        return adam(options, weights)
    if options.rule == "sgd":
        return SGD(weights.lr)
    return ASGD(weights.lr, weights.weight_decay, pytorch_compat, compiled=compiled)
