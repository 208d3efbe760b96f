"""One step of the search: a window in, every weight, scalar and carried state updated in place."""

import tensorflow as tf

from bayesnas_tf.bayes import gauge
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.train_step import TrainStep


class SearchStep(TrainStep):
    """Clipped SGD on W, proximal SGD on the scalars w (M5); owns the L1 weights ω too."""

    def __init__(
        self, model: LanguageModel, windows: WindowOptions, weights: WeightOptions, scalars: ScalarOptions
    ):
        """A window of `windows.bptt` steps gets the learning rate as given, others in proportion."""
        super().__init__(model, windows, weights)
        self.scalar_options = scalars
        self.scalars = [v for v in (model.cell.scalars, model.cell.zero_scalars) if v is not None]
        owned = {id(v) for v in self.scalars}
        self.weights = [v for v in model.trainable_variables if id(v) not in owned]
        self.omega = [tf.Variable(tf.ones_like(w), trainable=False) for w in self.scalars]
        # of the loss without L1, that is NLL and any temporal activation; mean over E·O, summed over steps
        self.squared_gradient = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        gradients, nats, state = self.gradients(self.weights + self.scalars, x, y, length, seed)
        of_weights, of_scalars = gradients[: len(self.weights)], gradients[len(self.weights) :]
        self.move(self.weights, of_weights, length, lr)
        self.move_scalars(of_scalars)
        self.state.assign(state)
        self.add_totals(nats, length)
        self.squared_gradient.assign_add(tf.cast(tf.reduce_mean(tf.square(of_scalars[0])), tf.float64))

    def move_scalars(self, gradients):
        """Proximal step on each array of scalars, then the gauge."""
        options = self.scalar_options
        for w, omega, gradient in zip(self.scalars, self.omega, gradients, strict=True):
            value = sgd.proximal_sgd(
                tf.convert_to_tensor(w), gradient, options.lr, options.l1(self.bptt), omega
            )
            if options.gauge == "rms" and value.shape.rank == 2:
                value = gauge.rms(value, self.model.cell.space.sites)
            w.assign(value)
