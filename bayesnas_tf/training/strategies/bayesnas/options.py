"""What a gin file may say about BayesNAS as a strategy."""

import dataclasses
from typing import Annotated

import gin

from bayesnas_tf.bayes import update
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.options import Positive, Range
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep
from bayesnas_tf.training.strategies.options import StrategyOptions


@gin.register
@dataclasses.dataclass(frozen=True)
class BayesNasOptions(StrategyOptions):
    """BayesNAS. ScalarOptions, CurvatureOptions, BayesOptions and PruneOptions are its settings.

    Beside its cell the search draws so many `proposals` from its posterior, to be trained and compared.
    """

    # cells to draw from the posterior, beside the cell of the search
    proposals: Annotated[int, Range(0, 1000)] = 0
    temperature: Positive = 1.0  # of the draws; towards 0 they are the cell itself

    @property
    def name(self) -> str:
        """Its name."""
        return "bayesnas"

    def check(self, settings) -> None:
        """Refuse a scale over a lambda_w of 0, and parents that need switches where there are none."""
        bayes = settings.bayes
        update.kappa(bayes.scale, 1, 1, settings.scalars.lambda_w)
        if settings.cell.searched().sites.switches:
            update.kappa(bayes.scale, 1, 1, settings.switches.lambda_w, "SwitchOptions.lambda_w")
        if bayes.parents == "zero_edge" and not settings.cell.zero_edge_switch:
            raise ValueError(
                "BayesOptions.parents='zero_edge' needs zero edges. Set CellOptions.zero_edge_switch = True"
            )

    def cell(self, options: CellOptions) -> SearchCell:
        """All edges, all operations."""
        return SearchCell(options)

    def step(self, model, settings, valid_rows, seed) -> SearchStep:
        """SGD on W and proximal SGD on the scalars, both on training text."""
        return SearchStep(
            model,
            settings.windows,
            settings.weights,
            settings.scalars,
            settings.switches,
            settings.optimizer,
        )
