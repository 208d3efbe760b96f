"""One step of training a finished cell: a window in, every weight and the carried state updated in place."""

import tensorflow as tf

from bayesnas_tf.training.train_step import TrainStep


class EvaluateStep(TrainStep):
    """Clipped SGD on all weights (method section 6)."""

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            model_masks = self.model.draw_masks(seed, x.shape[0])
            loss, nats, state = self.loss(x, y, length, model_masks)
        self.move(variables, tape.gradient(loss, variables), length, lr)
        self.state.assign(state)
        self.add_totals(nats, length)
