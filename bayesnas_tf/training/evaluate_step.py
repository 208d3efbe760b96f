"""One step of training a finished cell: a window in, every weight and the carried state updated in place."""

import tensorflow as tf

from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.optim.asgd import ASGD
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import WeightOptions, WindowOptions
from bayesnas_tf.training.train_step import TrainStep


class EvaluateStep(TrainStep):
    """Clipped SGD on all weights, with their average from the switch on (method section 6).

    `options.weight_decay` is PyTorch's here: λ W beside the gradient.
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        pytorch_compat: bool = False,
    ):
        """See `TrainStep`, and `ASGD` for `pytorch_compat`."""
        super().__init__(model, windows, weights)
        self.optimizer = ASGD(weights.lr, weights.weight_decay, pytorch_compat)
        self.optimizer.build(model.trainable_variables)

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            model_masks = self.model.draw_masks(seed, x.shape[0])
            loss, nats, state = self.loss(x, y, length, model_masks)
        gradients = sgd.dense(tape.gradient(loss, variables), variables)
        self.optimizer.learning_rate.assign(self.rate(length, lr))
        self.optimizer.apply(sgd.clip_by_norm(gradients, self.options.clip), variables)
        self.state.assign(state)
        self.add_totals(nats, length)
