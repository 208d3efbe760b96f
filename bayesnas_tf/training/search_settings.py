"""The root of a search's configuration and what is built from it."""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.bayes.prune import PruneOptions
from bayesnas_tf.bayes.update import BayesOptions
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.data import batching
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.options import Count, Options, Range
from bayesnas_tf.space.genotype import HIGHWAY
from bayesnas_tf.training.execution import Machine, decide
from bayesnas_tf.training.settings import (
    Compile,
    Distribute,
    OptimizerOptions,
    ScalarOptions,
    SwitchOptions,
    WeightOptions,
    WindowOptions,
)
from bayesnas_tf.training.strategies.bayesnas.options import BayesNasOptions
from bayesnas_tf.training.strategies.options import StrategyOptions
from bayesnas_tf.training.train_step import TrainStep


@gin.configurable("search")
@dataclasses.dataclass(frozen=True)
class SearchSettings(Options):
    """Everything that `search` can be told; each part has its own options class."""

    configured_as: ClassVar[str] = "search"

    corpus: CorpusOptions
    cell: CellOptions
    model: ModelOptions
    windows: WindowOptions
    weights: WeightOptions
    scalars: ScalarOptions
    curvature: CurvatureOptions
    bayes: BayesOptions
    prune: PruneOptions
    switches: SwitchOptions = dataclasses.field(default_factory=SwitchOptions)
    optimizer: OptimizerOptions = dataclasses.field(default_factory=lambda: OptimizerOptions(rule="sgd"))
    # which strategy searches: its options, such as EnasOptions
    strategy: StrategyOptions = dataclasses.field(default_factory=BayesNasOptions)
    epochs: Count = 1  # T_max; one update after each
    compile: Compile = "auto"  # how steps are compiled; auto: xla on a GPU, stages for large cells on a CPU
    distribute: Distribute = "none"  # who shares a batch: see `numerics.replicas`
    row_groups: Annotated[int, Range(0, 1024)] = (
        0  # of a batch, side by side on the cores; 0: two on two cores, for large cells
    )
    report_every: Count = 10  # steps
    checkpoint_every: Count = 100  # steps
    resamples: Annotated[int, Range(1, 100_000)] = 200  # bootstrap resamples of the probe windows

    def __post_init__(self):
        """Refuse settings that do not go together."""
        super().__post_init__()
        if self.optimizer.rule == "asgd":
            raise ValueError(
                "OptimizerOptions.rule='asgd' averages a cell's weights, but a search trains many cells. "
                "Use 'sgd' or 'adam'"
            )
        self.strategy.check(self)
        if self.curvature.estimator == "thesis" and self.cell.space != HIGHWAY:
            raise ValueError(
                f"CurvatureOptions.estimator='thesis' needs CellOptions.space={HIGHWAY!r}, and it is "
                f"{self.cell.space!r}. Use 'ggn' or 'recursive'"
            )
        if self.distribute != "none" and not isinstance(self.strategy, BayesNasOptions):
            raise ValueError(
                f"search.distribute={self.distribute!r} works only with search.strategy=@BayesNasOptions(). "
                "Set search.distribute = 'none'"
            )
        if self.row_groups > 1 and (reason := self.whole(self.row_groups)):
            raise ValueError(f"search.row_groups={self.row_groups} does not work with {reason}. Set it to 1")

    def whole(self, groups: int) -> str:
        """The setting under which a step cannot treat so many groups of rows apart; empty: there is none."""
        rows = self.windows.batch_size
        settings = {
            f"search.distribute={self.distribute!r}, which shares the rows": self.distribute != "none",
            f"search.strategy={self.strategy.name!r}": not isinstance(self.strategy, BayesNasOptions),
            "CellOptions.norm='batch', whose statistics need all rows": self.cell.norm == "batch",
            f"WindowOptions.batch_size={rows}, which is not a multiple of it": rows % groups > 0,
        }
        return next((setting for setting, holds in settings.items() if holds), "")


class SearchProblem(NamedTuple):
    """What a search works on."""

    corpus: Corpus
    train_rows: np.ndarray  # int32 [B, N // B]
    valid_rows: np.ndarray
    model: LanguageModel
    step: TrainStep
    seed: tf.Tensor  # int32 [2], stateless


def build(
    settings: SearchSettings, corpus: Corpus, seed: int, sharing: Replicas | None = None
) -> SearchProblem:
    """Rows, supernet with initial weights, and the train step of the strategy; `sharing`: the windows' rows.

    Raises:
      UserError: the corpus is shorter than a window.
    """
    windows = settings.windows
    train = batching.rows(corpus.train, windows.batch_size, f"{corpus.name} (train)", windows.bptt)
    valid = batching.rows(corpus.valid, windows.batch_size, f"{corpus.name} (valid)")
    words, sharing = len(corpus.vocabulary), sharing or Replicas()
    execution = decide(settings, Machine.here(), (words, settings.cell.units), sharing)
    with sharing.scope():
        model = build_model(settings, words, execution)
    stateless = seeds.run_seed(seed)
    model.initialise(seeds.fold(stateless, 0), corpus.log_frequencies())
    step = settings.strategy.step(model, settings, valid, stateless)
    return SearchProblem(corpus, train, valid, model, step, stateless)


def build_model(settings: SearchSettings, vocabulary: int, execution: Execution = GRAPH) -> LanguageModel:
    """The network that the strategy trains; its weights have no meaningful values yet."""
    cell = settings.strategy.cell(settings.cell)
    return LanguageModel(vocabulary, cell, settings.model, execution=execution)
