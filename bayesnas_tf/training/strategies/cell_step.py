"""Steps of strategies that train one discrete cell at a time: a fixed one, or one drawn for each window."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.settings import OptimizerOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.train_step import TrainStep

CELL_SEED = 51  # slot of the step's seed


class CellStep(TrainStep):
    """Clipped SGD, or Adam, on all weights for the cell that is set."""

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        rule: OptimizerOptions | None = None,
    ):
        """See `TrainStep`."""
        super().__init__(model, windows, weights, rule)
        self.build_optimizer(model.trainable_variables)

    def __call__(self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor) -> None:
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        gradients, nats, state = self.gradients(variables, x, y, length, seed)
        self.move(variables, gradients, length, lr)
        self.state.assign(state)
        self.add_totals(nats, length)


def uniform_choices(seed: tf.Tensor, count: int, slots: np.ndarray) -> tf.Tensor:
    """`count` uniform choices of a space with these `slots`, int32 `[count, ...]`, from a stateless seed."""
    shape = [count, *slots.shape]
    drawn = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=seeds.ALGORITHM)
    return tf.cast(drawn % tf.constant(slots, tf.uint32), tf.int32)
