"""What a gin file may say about regularised evolution."""

import dataclasses

import gin

from bayesnas_tf.options import Whole
from bayesnas_tf.training.strategies.options import Cells
from bayesnas_tf.training.strategies.trial_step import TrialOptions


@gin.register
@dataclasses.dataclass(frozen=True)
class EvolutionOptions(TrialOptions):
    """Regularised evolution (Real et al. 2019): each child is a mutation of the best of a sample."""

    cells: Cells = 24  # trained in all, the first population included; a multiple of search.epochs
    population: Cells = 8  # cells that live at a time: the youngest
    sample: Cells = 3  # of the population, with replacement, among which a parent is chosen
    valid_windows: Whole = 0  # validation windows that score each cell; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "evolution"

    def check(self, settings) -> None:
        """There are children, and a sample is no larger than what it is taken from."""
        super().check(settings)
        if self.population >= self.cells:
            raise ValueError(
                f"EvolutionOptions.population={self.population} leaves no child among "
                f"EvolutionOptions.cells={self.cells}. Lower population, or raise cells"
            )
        if self.sample > self.population:
            raise ValueError(
                f"EvolutionOptions.sample={self.sample} is larger than the population it is taken from. "
                f"Set it to at most EvolutionOptions.population={self.population}"
            )
