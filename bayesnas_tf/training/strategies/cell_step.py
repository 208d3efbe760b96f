"""Steps of strategies that train one discrete cell at a time: a fixed one, or one drawn for each window."""

import tensorflow as tf

from bayesnas_tf.numerics import seeds
from bayesnas_tf.space import primitives
from bayesnas_tf.training.train_step import TrainStep

CELL_SEED = 51  # slot of the step's seed


class CellStep(TrainStep):
    """Clipped SGD on all weights for the cell that is set."""

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        gradients, nats, state = self.gradients(variables, x, y, length, seed)
        self.move(variables, gradients, length, lr)
        self.state.assign(state)
        self.add_totals(nats, length)


def uniform_choices(seed, count: int, nodes: int) -> tf.Tensor:
    """`count` cells with uniform sources and operations, int32 `[count, nodes, 2]`, from a stateless seed."""
    drawn = tf.random.stateless_uniform([count, nodes, 2], seed, None, None, tf.uint32, alg=seeds.ALGORITHM)
    choices = [[node, len(primitives.OPS)] for node in range(1, nodes + 1)]
    return tf.cast(drawn % tf.constant(choices, tf.uint32), tf.int32)
