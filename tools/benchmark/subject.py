"""What is measured: a configured search or the configured training of a cell, on random ids."""

from typing import Any, NamedTuple

import gin
import numpy as np

from bayesnas_tf.config import bindings, gin_files
from bayesnas_tf.data import corpora
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training import evaluate_settings, search_settings
from bayesnas_tf.training.evaluate_settings import EvaluateProblem, EvaluateSettings
from bayesnas_tf.training.execution import Machine, begin
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings

SPARE = 4  # steps that are not timed: the first one, which compiles, and those under the profiler
EPOCH_STEPS = 415  # Penn Treebank: 929,589 tokens in 64 rows and windows of 35
Entries = dict[str, dict[str, Any]]  # name -> numbers of what is already measured


class Plan(NamedTuple):
    """How to measure."""

    rounds: int
    epoch_steps: int = EPOCH_STEPS
    peer: bool = False  # whether PyTorch's twin is timed beside ours


class Recipe(NamedTuple):
    """What a process of its own needs to build the same subject again."""

    configuration: str  # of gin
    vocabulary: int  # 0: that of the corpus
    genotype: Genotype | None  # None: a search


class Bench(NamedTuple):
    """A configuration with its model, on random ids."""

    recipe: Recipe
    settings: Any  # SearchSettings or EvaluateSettings
    problem: Any  # SearchProblem or EvaluateProblem

    @property
    def execution(self) -> Execution:
        """How its windows are computed."""
        return self.problem.model.execution


def random_corpus(options: CorpusOptions, vocabulary: int, tokens: int) -> Corpus:
    """Uniform ids: the time of a step does not depend on the text. `vocabulary` 0: that of the corpus."""
    size = vocabulary or vocabulary_of(options)
    ids = np.random.default_rng(0).integers(0, size, tokens, dtype=np.int32)
    return Corpus("random ids", Vocabulary(tuple(map(str, range(size)))), ids, ids, ids)


def vocabulary_of(options: CorpusOptions) -> int:
    """How many words a corpus has, or for a text of the user's own the most it may have."""
    return corpora.cut_to(options) or corpora.RECORDS[options.name].types


def configured_search() -> SearchSettings:
    """The search that gin is configured for.

    Raises:
      UserError: the configuration is that of another command.
    """
    try:
        return gin.get_configurable("search")()
    except TypeError as error:
        raise UserError(
            "the configuration has no search: parts of `search` are not set. "
            "Use one that includes base/search.gin, such as --gin_file=ptb.gin"
        ) from error


def configured_training() -> EvaluateSettings:
    """The training of a cell that gin is configured for.

    Raises:
      UserError: the configuration is that of another command, or of another system than a cell.
    """
    try:
        settings = gin.get_configurable("evaluate")()
    except TypeError as error:
        raise UserError(
            "the configuration trains no cell: parts of `evaluate` are not set. "
            "Use one that includes base/evaluate.gin, such as --eval_gin_file=ptb_eval.gin"
        ) from error
    if settings.baseline or settings.head:
        raise UserError(
            "the benchmark measures only the cell of a genotype under one softmax, and the configuration "
            "sets evaluate.baseline or evaluate.head. Use another one, such as ptb_eval.gin"
        )
    return settings


def prepare(rounds: int, vocabulary: int = 0, genotype: Genotype | None = None) -> Bench:
    """Build the configured search, or the training of a genotype's cell.

    With as many random ids as `rounds` steps, SPARE others, and the Hessian phase need.
    """
    recipe = Recipe(gin.config_str(), vocabulary, genotype)
    if genotype is None:
        return _search(recipe, rounds)
    return _training(recipe, rounds)


def build(recipe: Recipe, rounds: int) -> Bench:
    """`prepare` for gin as it was when the recipe was made."""
    bindings.load()
    bindings.bind(gin_files.read_text(recipe.configuration, "configuration"))
    return prepare(rounds, recipe.vocabulary, recipe.genotype)


def _search(recipe: Recipe, rounds: int) -> Bench:
    settings = configured_search()
    windows = settings.windows
    columns = windows.bptt * max(rounds + SPARE, settings.curvature.windows) + 1
    corpus = random_corpus(settings.corpus, recipe.vocabulary, windows.batch_size * columns)
    sharing = begin(settings, Machine.here())  # as the command: it also sets threads
    problem: SearchProblem = search_settings.build(settings, corpus, 0, sharing)
    return Bench(recipe, settings, problem)


def _training(recipe: Recipe, rounds: int) -> Bench:
    settings = configured_training()
    windows = settings.windows
    rows = max(windows.batch_size, settings.eval_batch_size)
    corpus = random_corpus(settings.corpus, recipe.vocabulary, rows * (windows.bptt * (rounds + SPARE) + 1))
    problem: EvaluateProblem = evaluate_settings.build(settings, corpus, recipe.genotype, seed=0)
    return Bench(recipe, settings, problem)


def describe(bench: Bench) -> str:
    """The sizes that decide about speed, on one line."""
    cell, windows, genotype = bench.settings.cell, bench.settings.windows, bench.recipe.genotype
    if genotype:
        units = bench.problem.model.cell.output_size
        form = f"{genotype.name}, {units} units, {len(genotype.nodes)} nodes"
    else:
        form = (
            f"{cell.units} units, {cell.nodes} nodes, norm {cell.norm}, weight sharing {cell.weight_sharing}"
        )
    execution = bench.execution
    compiled = "compiled stages" if execution.cell else "graph without XLA"
    groups = execution.replicas.groups
    rows = f"{groups} x {windows.batch_size // groups}" if groups > 1 else windows.batch_size
    return (
        f"{form}, {rows} rows x {windows.bptt} steps, "
        f"vocabulary {bench.problem.model.vocabulary:,}, {'XLA' if execution.xla else compiled}"
    )
