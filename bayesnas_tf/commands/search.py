"""`search` as a user meets it: the loop, its listeners, and what it leaves behind."""

import gin
import numpy as np

from bayesnas_tf import config
from bayesnas_tf.data import corpora
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.reporting.fan_out import FanOut
from bayesnas_tf.reporting.progress import ProgressCallback
from bayesnas_tf.reporting.run_files import MetricsFile, SearchFiles
from bayesnas_tf.reporting.summary_text import summary_lines
from bayesnas_tf.reporting.tensorboard import TensorBoardCallback
from bayesnas_tf.space.genotype import parameter_count
from bayesnas_tf.training.execution import Machine, begin
from bayesnas_tf.training.records import UpdateRecord
from bayesnas_tf.training.search_loop import SearchLoop, SearchResult
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings, build
from bayesnas_tf.training.strategies.bayesnas.options import BayesNasOptions

EVALUATION_UNITS = 850  # the size at which the thesis trains a cell (5.3)


def run_search(run: config.Run) -> None:
    """Search a cell as the run says.

    A run that ended already shows its result again; with `--diagnose` it decides once more from its last
    checkpoint, if it was not diagnosed before.
    """
    settings: SearchSettings = gin.get_configurable("search")()
    summary_file = run.files.summary
    result = config.result(summary_file, "search") if run.resumed else {}
    if result and (not run.options.diagnose or result.get("health", {}).get("oracle_correlations")):
        print("\n".join(summary_lines(result)))
        print(f"this search has finished. Its result is in {run.directory}. --overwrite repeats it")
        return
    if run.options.diagnose and not isinstance(settings.strategy, BayesNasOptions):
        raise UserError(
            "--diagnose works only with the scalars of BayesNAS, and search.strategy is "
            f"{settings.strategy.name}. Remove --diagnose"
        )
    sharing = begin(settings, Machine.here())
    problem = build(settings, corpora.load(settings.corpus, run.data_dir), run.seed, sharing)
    if run.dry_run:
        print(describe(problem, settings))
        return
    listeners = FanOut()
    if run.writes:
        config.pin(run, "corpus", problem.corpus.digest())
        config.record_operative(run)
        listeners = FanOut(
            MetricsFile(run.directory),
            SearchFiles(run.directory, isinstance(settings.strategy, BayesNasOptions)),
            TensorBoardCallback(run.files.tensorboard, run.config_text, hyperparameters(settings, run.seed)),
            ProgressCallback(),
        )
    loop = SearchLoop(problem, settings, run.seed, run.files.checkpoints, listeners, run.config_name)
    summary = summarise(loop.run(run.options.diagnose), problem, settings, run.seed)
    listeners.on_end(summary)  # first: a kill before the summary is written loses nothing
    if run.writes:
        config.write_json(summary_file, summary)


def hyperparameters(settings: SearchSettings, seed: int) -> dict:
    """What the HParams page compares."""
    return {
        "lambda_w": settings.scalars.lambda_w,
        "lr_w": settings.scalars.lr,
        "lr": settings.weights.lr,
        "norm": settings.cell.norm,
        "gauge": settings.scalars.gauge,
        "estimator": settings.curvature.estimator,
        "scale": settings.bayes.scale,
        "score": settings.prune.score,
        "strategy": settings.strategy.name,
        "seed": seed,
    }


def describe(problem: SearchProblem, settings: SearchSettings) -> str:
    """What `--dry_run` prints: corpus, supernet and its parameters, and the size of the cell it may find."""
    cell, corpus, vocabulary = settings.cell, problem.corpus, len(problem.corpus.vocabulary)
    last = f"strategy   {settings.strategy}"
    if isinstance(settings.strategy, BayesNasOptions):
        travel = expected_travel(problem, settings)
        last = f"travel     L1 alone moves a scalar by {travel:.2f} in an epoch"
    space, switches = problem.model.cell.space, len(problem.model.cell.space.sites.switches)
    several = f", {switches} switches" if switches else ""
    plain = ", without switches" if switches else ""
    whole = space.of_choice(np.zeros_like(space.slots))
    found = parameter_count(whole, vocabulary, EVALUATION_UNITS)
    return "\n".join(
        [
            f"corpus     {corpus.name}: {len(corpus.train):,} / {len(corpus.valid):,} / {len(corpus.test):,} "
            f"tokens, vocabulary {vocabulary:,}",
            f"supernet   {cell.nodes} nodes, {space.sites.edges.sum()} edges{several}, {cell.units} units, "
            f"norm {cell.norm}, weight sharing {cell.weight_sharing}: "
            f"{problem.model.count_params():,} parameters",
            f"cell       {found:,} parameters at {EVALUATION_UNITS} units if every node stays{plain}",
            last,
        ]
    )


def expected_travel(problem: SearchProblem, settings: SearchSettings) -> float:
    """How far L1 will move a scalar in the first epoch, of about `columns / bptt` steps."""
    bptt, scalars = settings.windows.bptt, settings.scalars
    return scalars.lr * scalars.l1(bptt) * (problem.train_rows.shape[1] / bptt)


def summarise(result: SearchResult, problem: SearchProblem, settings: SearchSettings, seed: int) -> dict:
    """The content of summary.json; null for what only BayesNAS has."""
    update, genotype, vocabulary = result.update, result.genotype, len(problem.corpus.vocabulary)
    pruned, kappa = None, None
    seconds = {"train": result.train_seconds, "hessian": result.hessian_seconds}
    if bayes := isinstance(update, UpdateRecord):
        pruned, kappa = update.pruned_fraction, update.kappa
    else:
        seconds |= {"hessian": 0.0, "scores": result.hessian_seconds}
    return {
        "kind": "search",
        "strategy": settings.strategy.name,
        "genotype": genotype.to_dict(),
        **({"proposals": [cell.to_dict() for cell in update.proposals]} if update.proposals else {}),
        "live_nodes": len(genotype.nodes),
        "pruned_fraction": pruned,
        "travel": update.health["travel"] if bayes else None,
        "kappa": kappa,
        "train_nats": update.train_nats,
        "valid_nats": update.valid_nats,
        "valid_ppl": perplexity(update.valid_nats),
        "corpus": problem.corpus.name,
        "vocabulary": vocabulary,
        "supernet_parameters": problem.model.count_params(),
        "parameters": parameter_count(genotype, vocabulary, EVALUATION_UNITS),
        "units_of_parameters": EVALUATION_UNITS,
        "tokens": {"train": result.train_tokens, "architecture": result.architecture_tokens},
        "seconds": seconds,
        "tokens_per_second": result.tokens_per_second,
        "epochs": settings.epochs,
        "seed": seed,
        "health": update.health,
        "made_by": config.made_by(),
    }
