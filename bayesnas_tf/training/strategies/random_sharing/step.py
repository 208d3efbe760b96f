"""The step of random search with weight sharing: a uniform cell for every window."""

import dataclasses

import gin

from bayesnas_tf.numerics import seeds
from bayesnas_tf.options import Whole
from bayesnas_tf.training.strategies.cell_step import CELL_SEED, CellStep, uniform_choices
from bayesnas_tf.training.strategies.options import Cells, SampledOptions


class SharingStep(CellStep):
    """A uniform cell for every window: each trains the kernels that all share."""

    def __call__(self, x, y, length, lr, seed):
        """As `CellStep`; `seed` also draws the cell."""
        cell = self.model.cell
        cell.choose(uniform_choices(seeds.fold(seed, CELL_SEED), 1, cell.space.slots)[0])
        super().__call__(x, y, length, lr, seed)


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
        return SharingStep(model, settings.windows, settings.weights, settings.optimizer)
