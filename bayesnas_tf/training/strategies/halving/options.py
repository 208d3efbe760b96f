"""What a gin file may say about successive halving."""

import dataclasses
from typing import Annotated

import gin

from bayesnas_tf.options import Count, Range, Whole
from bayesnas_tf.training.strategies.halving import rungs
from bayesnas_tf.training.strategies.options import Cells
from bayesnas_tf.training.strategies.schedule import Schedule
from bayesnas_tf.training.strategies.trial_step import TrialOptions


@gin.register
@dataclasses.dataclass(frozen=True)
class HalvingOptions(TrialOptions):
    """Successive halving: uniform cells, of which the best are trained on, on fewer and fewer rungs."""

    cells: Cells = 16  # on the first rung
    eta: Annotated[int, Range(2, 1000)] = 4  # one of so many goes on to the next rung
    shares: tuple[Count, ...] = ()  # of the tokens for each rung, in proportion; (): all rungs have as many
    valid_windows: Whole = 0  # validation windows that rank the cells of a rung; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "halving"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells on each rung."""
        return rungs.sizes(self.cells, self.eta)

    def schedule(self, epochs: int) -> Schedule:
        """The trainings, rung after rung."""
        return Schedule(rungs.parts(self.sizes, self.shares or (1,) * len(self.sizes)), epochs)

    def check(self, settings) -> None:
        """There is a share for each rung, and no epoch ends within a training."""
        sizes, epochs = self.sizes, settings.epochs
        if self.shares and len(self.shares) != len(sizes):
            raise ValueError(
                f"HalvingOptions.shares={self.shares} must have one number for each rung, and with "
                f"HalvingOptions.cells={self.cells} and eta={self.eta} the rungs have {listed(sizes)} cells. "
                "Set it to ()"
            )
        if not self.schedule(epochs).whole:
            fitting = next(e for e in range(epochs - 1, 0, -1) if self.schedule(e).whole)
            raise ValueError(
                f"search.epochs={epochs} would end an epoch during a training: the rungs of HalvingOptions "
                f"have {listed(sizes)} cells. Set search.epochs = {fitting}, or change HalvingOptions.shares"
            )


def listed(sizes: tuple[int, ...]) -> str:
    """Numbers as a text."""
    return ", ".join(map(str, sizes))
