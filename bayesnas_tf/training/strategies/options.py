"""What a gin file may say about the strategy of a search, and what each strategy needs built."""

import dataclasses

import gin

from bayesnas_tf.bayes import update
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.options import Options
from bayesnas_tf.training.search_step import SearchStep
from bayesnas_tf.training.train_step import TrainStep


class StrategyOptions(Options):
    """The options of one strategy: `search.strategy` holds an instance of a subclass."""

    @property
    def name(self) -> str:
        """How summaries and genotypes call the strategy."""
        raise NotImplementedError

    def check(self, settings) -> None:
        """`ValueError` where the search's other settings do not fit."""

    def cell(self, options: CellOptions) -> HighwayCell:
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


@gin.register
@dataclasses.dataclass(frozen=True)
class BayesNasOptions(StrategyOptions):
    """BayesNAS. ScalarOptions, CurvatureOptions, BayesOptions and PruneOptions are its settings."""

    @property
    def name(self) -> str:
        """Its name."""
        return "bayesnas"

    def check(self, settings) -> None:
        """Refuse a scale over a lambda_w of 0, and parents that need switches where there are none."""
        bayes = settings.bayes
        update.kappa(bayes.scale, 1, 1, settings.scalars.lambda_w)
        if bayes.parents == "zero_edge" and not settings.cell.zero_edge_switch:
            raise ValueError(
                "BayesOptions.parents='zero_edge' needs the switches. Set CellOptions.zero_edge_switch = True"
            )

    def cell(self, options: CellOptions) -> SearchCell:
        """All edges, all operations."""
        return SearchCell(options)

    def step(self, model, settings, valid_rows, seed) -> SearchStep:
        """SGD on W and proximal SGD on the scalars, both on training text."""
        return SearchStep(model, settings.windows, settings.weights, settings.scalars)
