"""`evaluate` as a user meets it: the cell, the loop, its listeners, and what it leaves behind."""

import dataclasses
import sys

import gin

from bayesnas_tf import config
from bayesnas_tf.data import corpora
from bayesnas_tf.data.nasbench_nlp import find_genotype, in_table
from bayesnas_tf.errors import UserError, expanded
from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.reporting.fan_out import FanOut
from bayesnas_tf.reporting.progress import ProgressCallback
from bayesnas_tf.reporting.run_files import MetricsFile, write_cell
from bayesnas_tf.reporting.summary_text import summary_lines
from bayesnas_tf.reporting.tensorboard import TensorBoardCallback
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training import trained_files
from bayesnas_tf.training.evaluate_loop import DynamicResult, EvaluateLoop, EvaluateResult
from bayesnas_tf.training.evaluate_settings import EvaluateProblem, EvaluateSettings, build
from bayesnas_tf.training.execution import Machine, begin
from bayesnas_tf.training.trained_files import CELL, WORDS, cell_of, digest_of
from bayesnas_tf.training.validation import StreamNats


def run_evaluate(run: config.Run) -> None:
    """Train a cell as the run says.

    A run that ended already shows its result again; with `--dynamic` it also measures what is missing. Files
    of its cell and vocabulary that are gone or damaged are written again.
    """
    settings: EvaluateSettings = gin.get_configurable("evaluate")()
    summary = config.result(run.files.summary, "evaluate") if run.resumed else {}
    ended = bool(summary) and ("dynamic" in summary or not run.options.dynamic)
    lost = trained_files.lost(run.directory, summary) if ended and run.writes else []
    if ended and not lost:
        show_ended(run, summary)
        return
    genotype = chosen_genotype(settings, run)
    for note in settings.notes():
        print(f"note: {note}", file=sys.stderr)
    sharing = begin(settings, Machine.here())
    problem = build(settings, corpora.load(settings.corpus, run.data_dir), genotype, run.seed, sharing)
    if run.dry_run:
        print(describe(problem))
        return
    listeners = begin_files(run, settings, problem) if run.writes else FanOut()
    if ended:
        print(
            f"note: {' and '.join(lost)} in {run.directory} was lost or damaged, and is written again",
            file=sys.stderr,
        )
        show_ended(run, summary)
        return
    loop = EvaluateLoop(problem, settings, run.seed, run.files.checkpoints, listeners)
    if not summary:
        summary = summarise(loop.run(), problem, settings, run.seed)
        if run.options.dynamic:
            write_summary(run, summary)
    if run.options.dynamic:
        summary["dynamic"] = summarise_dynamic(loop.adapt(), settings)
    listeners.on_end(summary)  # first: a kill before the summary is written loses nothing
    write_summary(run, summary)


def show_ended(run: config.Run, summary: dict) -> None:
    """The result of a run that ended before."""
    print("\n".join(summary_lines(summary)))
    print(f"this evaluation has finished. Its result is in {run.directory}. --overwrite repeats it")


def begin_files(run: config.Run, settings: EvaluateSettings, problem: EvaluateProblem) -> FanOut:
    """What the run directory holds from the start, and the listeners that write the rest."""
    config.pin(run, "corpus", problem.corpus.digest())
    if run.options.extend:
        config.extend(run, expanded(run.options.extend))
    pin_trained(run, problem)
    config.record_operative(run)
    config.write_text(run.files.vocabulary, "\n".join(problem.corpus.vocabulary.tokens) + "\n")
    if problem.genotype is not None:
        write_cell(run.files, problem.genotype)
    return FanOut(
        MetricsFile(run.directory),
        TensorBoardCallback(
            run.files.tensorboard, run.config_text, hyperparameters(settings, problem, run.seed)
        ),
        ProgressCallback(),
    )


def pin_trained(run: config.Run, problem: EvaluateProblem) -> None:
    """Tie the run directory to its cell and its vocabulary, which its weights fit and no others.

    A name such as `random-1-nodes8-depth9` may be another cell in another version; a run of version 0.1 is
    tied to the genotype.json that lies in it.
    """
    stored = run.files.genotype
    if CELL not in config.pins(run.directory) and run.resumed and stored.is_file():
        try:
            config.pin(run, CELL, str(Genotype.load(stored)))
        except ValueError as error:
            cure = (
                "It records the cell of this run. Restore it, or delete it if --genotype is still that cell"
            )
            raise UserError(f"{stored} is damaged. {cure}") from error
    config.pin(run, CELL, str(problem.genotype or problem.name))
    config.pin(run, WORDS, digest_of(problem.corpus.vocabulary))


def write_summary(run: config.Run, summary: dict) -> None:
    """summary.json, by the one process that writes."""
    if run.writes:
        config.write_json(run.files.summary, summary)


def chosen_genotype(settings: EvaluateSettings, run: config.Run) -> Genotype | None:
    """The cell to train; None where the configuration has a baseline.

    Where the table of its cell is gone, a run goes on with its own genotype.json.

    Raises:
      UserError: there are both, or `find_genotype` finds none.
    """
    if settings.baseline is None:
        try:
            return find_genotype(run.options.genotype, run.seed, run.data_dir)
        except UserError:
            if not (run.resumed and run.files.genotype.is_file() and in_table(run.options.genotype)):
                raise
            return find_genotype(str(run.files.genotype), run.seed, run.data_dir)
    if run.options.genotype:
        raise UserError(
            f"{run.config_name} trains the baseline {settings.baseline.name!r}, and --genotype="
            f"{run.options.genotype} is another cell. Remove --genotype, or choose another --gin_file"
        )
    return None


def hyperparameters(settings: EvaluateSettings, problem: EvaluateProblem, seed: int) -> dict:
    """What the HParams page compares."""
    return {
        "genotype": problem.name,
        "units": problem.model.cell.output_size,
        "lr": settings.weights.lr,
        "batch_size": settings.windows.batch_size,
        "epochs": settings.epochs,
        "seed": seed,
    }


def describe(problem: EvaluateProblem) -> str:
    """What `--dry_run` prints: corpus, cell and parameters."""
    corpus, model, genotype = problem.corpus, problem.model, problem.genotype
    nodes = f", {len(genotype.nodes or genotype.recipe)} nodes" if genotype else ""
    return "\n".join(
        [
            f"corpus     {corpus.name}: {len(corpus.train):,} / {len(corpus.valid):,} / {len(corpus.test):,} "
            f"tokens, vocabulary {len(corpus.vocabulary):,}",
            f"cell       {problem.name}: {genotype}" if genotype else f"baseline   {problem.name}",
            f"model      {model.cell.output_size} units{nodes}: {model.count_params():,} parameters",
        ]
    )


def summarise(
    result: EvaluateResult, problem: EvaluateProblem, settings: EvaluateSettings, seed: int
) -> dict:
    """The content of summary.json."""
    return {
        "kind": "evaluate",
        **cell_of(problem.genotype, problem.name),
        "parameters": problem.model.count_params(),
        "units": problem.model.cell.output_size,
        **measured("valid", result.valid),
        **measured("test", result.test),
        **measured("valid_stream", result.valid_stream),
        "unigram_nats": problem.corpus.unigram_nats("valid"),
        "corpus": problem.corpus.name,
        "vocabulary": len(problem.corpus.vocabulary),
        "epochs": result.epochs,
        "asgd_epoch": result.asgd_epoch,
        "rollbacks": result.rollbacks,
        "seed": seed,
        "seconds": {"train": result.train_seconds},
        "tokens_per_second": result.tokens_per_second,
        "made_by": config.made_by(),
    }


def summarise_dynamic(result: DynamicResult, settings: EvaluateSettings) -> dict:
    """Dynamic evaluation, with its settings: no other figure of a summary has it."""
    options = dataclasses.asdict(settings.dynamic)
    return {**measured("valid", result.valid), **measured("test", result.test), "options": options}


def measured(name: str, nats: StreamNats) -> dict:
    """Perplexity, mean nats and predicted tokens of a split, and the perplexity as DARTS counts it."""
    return {
        f"{name}_ppl": perplexity(nats.mean),
        f"{name}_darts_ppl": perplexity(nats.darts_mean),
        f"{name}_nats": nats.mean,
        f"{name}_tokens": nats.tokens,
    }
