"""The step of random search: a cell that diverges is lost, the run is not."""

import dataclasses

import gin
import tensorflow as tf

from bayesnas_tf.options import Whole
from bayesnas_tf.training.checkpoints import all_finite
from bayesnas_tf.training.strategies.cell_step import CellStep
from bayesnas_tf.training.strategies.options import Cells, SampledOptions
from bayesnas_tf.training.strategies.scoring import MOST_NATS


class TrialStep(CellStep):
    """A cell that diverges is lost, and the run is not: its weights are 0 from then on.

    Whoever sets another cell with weights of its own clears `lost`.
    """

    def __init__(self, model, windows, weights, rule=None):
        """Not lost."""
        super().__init__(model, windows, weights, rule)
        self.lost = tf.Variable(False, trainable=False)

    def __call__(self, x, y, length, lr, seed):
        """As `CellStep`."""
        super().__call__(x, y, length, lr, seed)
        for variable in (*self.model.variables, self.state):
            variable.assign(tf.where(self.lost, tf.zeros_like(variable), variable))

    def add_totals(self, nats, length):
        """Add the mean nats of one window, `MOST_NATS` from the one on in which the cell is lost."""
        self.lost.assign(self.lost | ~all_finite([nats, self.state, *self.model.variables]))
        super().add_totals(tf.where(self.lost, tf.cast(MOST_NATS, nats.dtype), nats), length)


@gin.register
@dataclasses.dataclass(frozen=True)
class RandomOptions(SampledOptions):
    """Random search: uniform cells, each trained from its own start on an equal share of the tokens."""

    cells: Cells = 8  # in all; a multiple of search.epochs
    valid_windows: Whole = 0  # validation windows that rank the cells; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "random"

    def check(self, settings) -> None:
        """Every epoch is divided among as many cells."""
        if self.cells % settings.epochs:
            raise ValueError(
                f"RandomOptions.cells={self.cells} must be a multiple of search.epochs={settings.epochs}"
            )

    def step(self, model, settings, valid_rows, seed) -> TrialStep:
        """Training of the cell that is set."""
        return TrialStep(model, settings.windows, settings.weights, settings.optimizer)
