"""The step of strategies that train cells one after the other, and what their options share."""

import tensorflow as tf

from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.training.checkpoints import all_finite
from bayesnas_tf.training.settings import OptimizerOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.cell_step import CellStep
from bayesnas_tf.training.strategies.options import SampledOptions
from bayesnas_tf.training.strategies.schedule import Schedule
from bayesnas_tf.training.strategies.scoring import MOST_NATS


class TrialStep(CellStep):
    """A cell that diverges is lost, and the run is not: its weights are 0 from then on.

    Whoever sets another cell with weights of its own clears `lost`.
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        rule: OptimizerOptions | None = None,
    ):
        """Not lost."""
        super().__init__(model, windows, weights, rule)
        self.lost = tf.Variable(False, trainable=False)

    def __call__(self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor) -> None:
        """As `CellStep`."""
        super().__call__(x, y, length, lr, seed)
        for variable in (*self.model.variables, self.state):
            variable.assign(tf.where(self.lost, tf.zeros_like(variable), variable))

    def add_totals(self, nats: tf.Tensor, length: tf.Tensor) -> None:
        """Add the mean nats of one window, `MOST_NATS` from the one on in which the cell is lost."""
        self.lost.assign(self.lost | ~all_finite([nats, self.state, *self.model.variables]))
        super().add_totals(tf.where(self.lost, tf.cast(MOST_NATS, nats.dtype), nats), length)


class TrialOptions(SampledOptions):
    """What strategies share that train cells one after the other."""

    cells: int  # in all
    valid_windows: int  # validation windows that score a cell; 0: all

    def schedule(self, epochs: int) -> Schedule:
        """The trainings: one for each cell, all of one length."""
        return Schedule((1,) * self.cells, epochs)

    def check(self, settings) -> None:
        """Every epoch is divided among as many cells."""
        if not self.schedule(settings.epochs).whole:
            raise ValueError(
                f"{type(self).__name__}.cells={self.cells} must be a multiple of "
                f"search.epochs={settings.epochs}"
            )

    def step(self, model, settings, valid_rows, seed) -> TrialStep:
        """Training of the cell that is set."""
        return TrialStep(model, settings.windows, settings.weights, settings.optimizer)
