"""What a gin file may say about the strategy of a search, and what each strategy needs built."""

from typing import Annotated

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.options import Options, Range
from bayesnas_tf.training.train_step import TrainStep

Cells = Annotated[int, Range(1, 100_000)]  # that are trained or scored


class StrategyOptions(Options):
    """The options of one strategy: `search.strategy` holds an instance of a subclass."""

    @property
    def name(self) -> str:
        """How summaries and genotypes call the strategy."""
        raise NotImplementedError

    def check(self, settings) -> None:
        """`ValueError` where the search's other settings do not fit."""

    def cell(self, options: CellOptions) -> ProgramCell:
        """The cell of the network whose weights the search trains."""
        raise NotImplementedError

    def step(self, model, settings, valid_rows, seed) -> TrainStep:
        """The training step around a built model.

        Args:
          model: around the cell of these options, initialised.
          settings: `SearchSettings`.
          valid_rows: the validation split, int32 `[B, C]`, for strategies that learn on it.
          seed: the run's stateless seed.
        """
        raise NotImplementedError


class SampledOptions(StrategyOptions):
    """What strategies share whose network is one discrete cell at a time."""

    def cell(self, options: CellOptions) -> SampledCell:
        """One cell at a time; `ValueError` for options that it cannot have."""
        return SampledCell(options)
