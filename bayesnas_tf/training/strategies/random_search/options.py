"""What a gin file may say about random search."""

import dataclasses

import gin

from bayesnas_tf.options import Whole
from bayesnas_tf.training.strategies.options import Cells
from bayesnas_tf.training.strategies.trial_step import TrialOptions


@gin.register
@dataclasses.dataclass(frozen=True)
class RandomOptions(TrialOptions):
    """Random search: uniform cells, each trained from its own start on an equal share of the tokens."""

    cells: Cells = 8  # in all; a multiple of search.epochs
    valid_windows: Whole = 0  # validation windows that rank the cells; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "random"
