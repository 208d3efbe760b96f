"""Steps of strategies that train one discrete cell at a time: a fixed one, or one drawn for each window."""

import dataclasses
from typing import Annotated

import gin
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.options import Range, Whole
from bayesnas_tf.space import primitives
from bayesnas_tf.training.checkpoints import all_finite
from bayesnas_tf.training.strategies.options import StrategyOptions
from bayesnas_tf.training.strategies.scoring import MOST_NATS
from bayesnas_tf.training.train_step import TrainStep

CELL_SEED = 51  # slot of the step's seed

Cells = Annotated[int, Range(1, 100_000)]  # that are trained or scored


class CellStep(TrainStep):
    """Clipped SGD on all weights for the cell that is set."""

    def __call__(self, x, y, length, lr, seed):
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        variables = self.model.trainable_variables
        gradients, nats, state = self.gradients(variables, x, y, length, seed)
        self.move(variables, gradients, length, lr)
        self.state.assign(state)
        self.add_totals(nats, length)


class TrialStep(CellStep):
    """A cell that diverges is lost, and the run is not: its weights are 0 from then on.

    Whoever sets another cell with weights of its own clears `lost`.
    """

    def __init__(self, model, windows, weights):
        """Not lost."""
        super().__init__(model, windows, weights)
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


class SharingStep(CellStep):
    """A uniform cell for every window: each trains the kernels that all share."""

    def __call__(self, x, y, length, lr, seed):
        """As `CellStep`; `seed` also draws the cell."""
        cell = self.model.cell
        cell.choose(uniform_choices(masks.fold(seed, CELL_SEED), 1, cell.options.nodes)[0])
        super().__call__(x, y, length, lr, seed)


def uniform_choices(seed, count: int, nodes: int) -> tf.Tensor:
    """`count` cells with uniform sources and operations, int32 `[count, nodes, 2]`, from a stateless seed."""
    drawn = tf.random.stateless_uniform([count, nodes, 2], seed, None, None, tf.uint32, alg=masks.ALGORITHM)
    choices = [[node, len(primitives.OPS)] for node in range(1, nodes + 1)]
    return tf.cast(drawn % tf.constant(choices, tf.uint32), tf.int32)


class SampledOptions(StrategyOptions):
    """What strategies share whose network is one discrete cell at a time."""

    def cell(self, options: CellOptions) -> SampledCell:
        """One cell at a time; `ValueError` for options that it cannot have."""
        return SampledCell(options)


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
        return TrialStep(model, settings.windows, settings.weights)


@gin.register
@dataclasses.dataclass(frozen=True)
class RandomSharingOptions(SampledOptions):
    """Random search with weight sharing (Li & Talwalkar 2019)."""

    cells: Cells = 1000  # that are scored after each epoch, with the shared weights
    valid_windows: Whole = 0  # validation windows that score each; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "random_ws"

    def step(self, model, settings, valid_rows, seed) -> SharingStep:
        """A cell per window."""
        return SharingStep(model, settings.windows, settings.weights)
