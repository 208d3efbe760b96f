"""The root of an evaluation's configuration and what is built from it."""

import dataclasses
from typing import NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data import batching
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.dynamic import DynamicOptions
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.settings import AveragingOptions, Compile, WeightOptions, WindowOptions


@gin.configurable("evaluate")
@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """Everything that `evaluate` can be told; each part has its own options class."""

    corpus: CorpusOptions
    cell: DerivedOptions
    model: ModelOptions
    windows: WindowOptions
    weights: WeightOptions
    # with defaults: a run of an earlier version is exported without them
    averaging: AveragingOptions = dataclasses.field(default_factory=AveragingOptions)
    dynamic: DynamicOptions = dataclasses.field(default_factory=DynamicOptions)
    epochs: int = 1
    patience: int = 0  # epochs without a better validation loss after which training ends; 0: never
    rollbacks: int = 3  # times that training goes back to its last good state before it gives up
    eval_batch_size: int = 10  # rows of the validation split; fewer where it is short
    test_batch_size: int = 1  # rows of the test split
    compile: Compile = "auto"
    report_every: int = 10  # steps
    checkpoint_every: int = 100  # steps

    def __post_init__(self):
        """Refuse values with which no loop ends."""
        for name in ("epochs", "eval_batch_size", "test_batch_size", "report_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"evaluate.{name}={getattr(self, name)} must be at least 1")
        for name in ("patience", "rollbacks"):
            if getattr(self, name) < 0:
                raise ValueError(f"evaluate.{name}={getattr(self, name)} must be at least 0")


class EvaluateProblem(NamedTuple):
    """What an evaluation works on."""

    corpus: Corpus
    genotype: Genotype
    train_rows: np.ndarray  # int32 [B, N // B]
    valid_rows: np.ndarray
    test_rows: np.ndarray
    model: LanguageModel
    step: EvaluateStep
    seed: tf.Tensor  # int32 [2], stateless


def build(settings: EvaluateSettings, corpus: Corpus, genotype: Genotype, seed: int) -> EvaluateProblem:
    """Rows, language model with initial weights, and train step.

    Raises:
      UserError: a split is too short to train on, or to predict one token of.
    """
    windows = settings.windows
    train = batching.rows(corpus.train, windows.batch_size, f"{corpus.name} (train)", windows.bptt)
    valid = evaluation_rows(corpus.valid, settings.eval_batch_size, f"{corpus.name} (valid)")
    test = evaluation_rows(corpus.test, settings.test_batch_size, f"{corpus.name} (test)")
    model = build_model(settings, len(corpus.vocabulary), genotype)
    stateless = masks.run_seed(seed)
    model.initialise(masks.fold(stateless, 0), corpus.log_frequencies())
    step = EvaluateStep(model, windows, settings.weights, settings.averaging.pytorch_compat)
    return EvaluateProblem(corpus, genotype, train, valid, test, model, step, stateless)


def build_model(settings: EvaluateSettings, vocabulary: int, genotype: Genotype) -> LanguageModel:
    """The language model around the genotype's cell; its weights have no meaningful values yet."""
    return LanguageModel(vocabulary, DerivedCell(genotype, settings.cell), settings.model)


def evaluation_rows(stream: np.ndarray, batch: int, name: str) -> np.ndarray:
    """Rows of a split, as many as `batch` or as the split can fill with two tokens each.

    `UserError` when not even one row can be filled.
    """
    return batching.rows(stream, max(1, min(batch, len(stream) // 2)), name)
