"""The root of an evaluation's configuration and what is built from it."""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.nas import NasOptions
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from bayesnas_tf.cells.baselines.stack import Stack
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.data import batching
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.models.heads import Mixture, MixtureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.options import Count, Options, Range, Rows, Whole
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.dynamic import DynamicOptions
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import Machine, decide
from bayesnas_tf.training.settings import (
    AveragingOptions,
    Compile,
    Distribute,
    OptimizerOptions,
    WeightOptions,
    WindowOptions,
)

Baseline = LstmOptions | RhnOptions | NasOptions


@gin.configurable("evaluate")
@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Options):
    """Everything that `evaluate` can be told; each part has its own options class."""

    configured_as: ClassVar[str] = "evaluate"
    row_groups: ClassVar[int] = 1  # no setting here: they pay in a search

    corpus: CorpusOptions
    cell: DerivedOptions
    model: ModelOptions
    windows: WindowOptions
    weights: WeightOptions
    # with defaults: a run of an earlier version is exported without them
    averaging: AveragingOptions = dataclasses.field(default_factory=AveragingOptions)
    dynamic: DynamicOptions = dataclasses.field(default_factory=DynamicOptions)
    optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
    baseline: Baseline | None = None  # a system to train in place of a genotype
    head: MixtureOptions | None = None  # None: one softmax
    spare_words: Annotated[int, Range(0, 1_000_000)] = (
        0  # rows of the embedding beyond the vocabulary, for systems that counted some
    )
    epochs: Count = 1  # passes over the training text
    patience: Whole = 0  # epochs without a better validation loss after which training ends; 0: never
    rollbacks: Whole = 3  # times that training goes back to its last good state before it gives up
    eval_batch_size: Rows = 10  # rows of the validation split; fewer where it is short
    test_batch_size: Rows = 1  # rows of the test split
    compile: Compile = "auto"  # how steps are compiled; auto: xla on a GPU, stages for large cells on a CPU
    distribute: Distribute = "none"  # who shares a batch: see `numerics.replicas`
    report_every: Count = 10  # steps
    checkpoint_every: Count = 100  # steps

    def notes(self) -> list[str]:
        """What is allowed and yet cannot work as it is probably meant, a sentence each."""
        found: list[str] = []
        averaging = self.averaging
        if self.optimizer.rule != "asgd":
            return found
        if averaging.after_epoch >= self.epochs > 1:
            found.append(
                f"AveragingOptions.after_epoch={averaging.after_epoch} averages nothing in "
                f"{self.epochs} epochs. Lower it"
            )
        if not averaging.after_epoch and 0 < self.patience <= averaging.nonmono:
            found.append(
                f"evaluate.patience={self.patience} ends training before averaging begins, which waits for "
                f"{averaging.nonmono} epochs without a better loss. Set evaluate.patience above "
                "AveragingOptions.nonmono, or set AveragingOptions.after_epoch"
            )
        return found


class EvaluateProblem(NamedTuple):
    """What an evaluation works on."""

    corpus: Corpus
    genotype: Genotype | None  # None for a baseline
    name: str  # of the genotype or the baseline
    train_rows: np.ndarray  # int32 [B, N // B]
    valid_rows: np.ndarray
    test_rows: np.ndarray
    model: LanguageModel
    step: EvaluateStep
    seed: tf.Tensor  # int32 [2], stateless


def build(
    settings: EvaluateSettings,
    corpus: Corpus,
    genotype: Genotype | None,
    seed: int,
    sharing: Replicas | None = None,
) -> EvaluateProblem:
    """Rows, language model with initial weights, and train step; `genotype` None: the settings' baseline.

    `sharing`: who shares the rows of a window; None: nobody.

    Raises:
      UserError: a split is too short to train on, or to predict one token of.
    """
    windows = settings.windows
    train = batching.rows(corpus.train, windows.batch_size, f"{corpus.name} (train)", windows.bptt)
    valid = evaluation_rows(corpus.valid, settings.eval_batch_size, f"{corpus.name} (valid)")
    test = evaluation_rows(corpus.test, settings.test_batch_size, f"{corpus.name} (test)")
    words, sharing = len(corpus.vocabulary), sharing or Replicas()
    embedding = (words + settings.spare_words, units_of(settings, words, genotype))
    execution = decide(settings, Machine.here(), embedding, sharing)
    with sharing.scope():
        model = build_model(settings, words, genotype, execution)
    stateless = seeds.run_seed(seed)
    frequencies = corpus.log_frequencies()
    spare = np.full(settings.spare_words, frequencies.min(), frequencies.dtype)
    model.initialise(seeds.fold(stateless, 0), np.concatenate([frequencies, spare]))
    step = EvaluateStep(
        model, windows, settings.weights, settings.averaging.pytorch_compat, settings.optimizer
    )
    name = name_of(settings, genotype)
    return EvaluateProblem(corpus, genotype, name, train, valid, test, model, step, stateless)


def build_model(
    settings: EvaluateSettings, vocabulary: int, genotype: Genotype | None, execution: Execution = GRAPH
) -> LanguageModel:
    """The language model of the settings' baseline, or around the genotype's cell where there is none.

    Its weights have no meaningful values yet.

    Raises:
      ValueError: there is neither.
    """
    cell: ProgramCell | Stack
    if settings.baseline is not None:
        cell = settings.baseline.cell()
    elif genotype is not None:
        cell = DerivedCell(genotype, settings.cell.sized(genotype, vocabulary + settings.spare_words))
    else:
        raise ValueError("nothing to train. Give a genotype, or set evaluate.baseline")
    head = Mixture(settings.head) if settings.head else None
    return LanguageModel(vocabulary + settings.spare_words, cell, settings.model, head, execution)


def units_of(settings: EvaluateSettings, vocabulary: int, genotype: Genotype | None) -> int:
    """The width of the embedding of what `build_model` makes."""
    if settings.baseline is not None or genotype is None:
        return (settings.baseline or settings.cell).units
    return settings.cell.sized(genotype, vocabulary + settings.spare_words).units


def name_of(settings: EvaluateSettings, genotype: Genotype | None) -> str:
    """How a run calls what it trains."""
    trained = settings.baseline or genotype
    return trained.name if trained else ""


def evaluation_rows(stream: np.ndarray, batch: int, name: str) -> np.ndarray:
    """Rows of a split, as many as `batch` or as the split can fill with two tokens each.

    `UserError` when not even one row can be filled.
    """
    return batching.rows(stream, max(1, min(batch, len(stream) // 2)), name)
