"""`curvature`: the diagonal of every weight of a trained run, as arrays in a file and as a table."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gin
import numpy as np

from bayesnas_tf import config, files
from bayesnas_tf.curvature import weights
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.curvature.window import scalar_variables
from bayesnas_tf.data import batching, corpora, storage
from bayesnas_tf.data.corpora import Corpus
from bayesnas_tf.errors import UserError, writing
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds, sums
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.reporting import progress
from bayesnas_tf.training import evaluate_settings, search_settings, trained_files
from bayesnas_tf.training.checkpoints import restore_best
from bayesnas_tf.training.evaluate_settings import EvaluateSettings
from bayesnas_tf.training.execution import Machine, decide
from bayesnas_tf.training.fixed_windows import fixed_windows
from bayesnas_tf.training.search_settings import SearchSettings
from bayesnas_tf.training.strategies.bayesnas.strategy import HESSIAN_SEED


class Trained(NamedTuple):
    """What a run of `search` or `evaluate` has left."""

    settings: SearchSettings | EvaluateSettings
    corpus: Corpus
    model: LanguageModel  # with the best weights, averaged where they were


def run_curvature(run: config.Run) -> None:
    """Write h of the weights of a run, and of a search's scalars.

    Raises:
      UserError: the run has no trained weights or is a baseline's, its text is another one today, or `out`
        cannot be written.
    """
    out = Path(run.options.out)
    if out.exists() and not run.overwrite:
        raise UserError(f"{out} already exists. Choose another --out, or replace it with --overwrite")
    options: CurvatureOptions = gin.get_configurable("CurvatureOptions")()
    check_writable(out)
    sums.keep_order()
    trained = load(run)
    model, windows = trained.model, trained.settings.windows
    weights.lanes_of(model, options)  # refuses an estimator of the scalars alone before anything is computed
    rows = batching.rows(
        trained.corpus.train, windows.batch_size, f"{trained.corpus.name} (train)", windows.bptt
    )
    stream = fixed_windows(rows, windows.bptt, options.windows)
    if run.dry_run:
        print(f"would write {out}: h of {model.count_params():,} parameters from {len(stream)} windows")
        return
    seed = seeds.fold(seeds.run_seed(run.seed), HESSIAN_SEED)
    found = weights.diagonal(model, shown(stream), model.zero_state(windows.batch_size), options, seed)
    arrays = named(model, found)
    write(out, arrays | facts(options, found))
    print("\n".join(table(arrays)))
    print(f"wrote {out}: h in nats per token, the mean of {found.windows} windows of {found.tokens:,} tokens")


def check_writable(out: Path) -> None:
    """Refuse a file that cannot be written, before any window is computed.

    Raises:
      UserError: the file system refuses.
    """
    with writing(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass


def load(run: config.Run) -> Trained:
    """Settings, corpus and best weights of the run in `run.options.run`."""
    command = config.stored_command(run.directory)
    settings = gin.get_configurable(command)()
    if command == "evaluate" and (settings.baseline or settings.head):
        other = "a baseline" if settings.baseline else "a mixture of softmaxes"
        raise UserError(
            f"{run.directory} holds {other}, but `curvature` needs a searched cell or a genotype under one "
            "softmax. Give the run of such a cell"
        )
    corpus = corpora.load(settings.corpus, run.data_dir)
    if config.pins(run.directory).get("corpus", corpus.digest()) != corpus.digest():
        raise UserError(f"the text of {run.directory} has changed since its training. Restore the text")
    size = len(corpus.vocabulary)

    def execution(units: int):
        return decide(settings, Machine.here(), (size, units), Replicas())

    if command == "search":
        model = search_settings.build_model(settings, size, execution(settings.cell.units))
        if not model.cell.has_lanes:
            raise UserError(
                f"{run.directory} was searched by {settings.strategy.name}, and `curvature` cannot use its "
                "supernet. Train its genotype with `evaluate`, and give that run"
            )
    else:
        genotype = trained_files.read_genotype(run.directory)
        trained_files.check_trained(run.directory, genotype, corpus.vocabulary)
        units = evaluate_settings.units_of(settings, size, genotype)
        model = evaluate_settings.build_model(settings, size, genotype, execution(units))
    restore_best(run.files.checkpoints, model)
    return Trained(settings, corpus, model)


def shown(stream: list) -> Iterator:
    """The windows; the terminal shows how many are done."""
    view = progress.view_of(sys.stderr)
    for done, window in enumerate(stream):
        view.step("window", done, len(stream), {})
        yield window
    view.step("window", len(stream), len(stream), {})
    view.close()


def named(model: LanguageModel, found: weights.WeightCurvature) -> dict[str, np.ndarray]:
    """h by the name of its variable, float32."""
    variables = [*weights.weight_variables(model), *scalar_variables(model)]
    pairs = zip(variables, [*found.weights, *found.scalars], strict=True)
    return {variable.name: h.astype(np.float32) for variable, h in pairs}


def facts(options: CurvatureOptions, found: weights.WeightCurvature) -> dict[str, np.ndarray]:
    """How h was made; `tau` is 0 where nothing is cut, `probes` where nothing is drawn.

    `truncation` is that of `recursive`, else empty.
    """
    drawn = options.estimator == "ggn"
    told = {
        "estimator": options.estimator,
        "tau": 0 if drawn else options.tau,
        "truncation": options.truncation if options.estimator == "recursive" else "",
        "d_term": options.d_term and not drawn,
        "probes": options.probes if drawn else 0,
        "windows": found.windows,
        "tokens": found.windows * found.tokens,
    }
    return {name: np.asarray(value) for name, value in told.items()}


def write(out: Path, arrays: dict[str, Any]) -> None:
    """An .npz, whole or not at all."""
    with writing(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        storage.write_arrays(out, arrays)
        files.clean(out.parent, out.name)  # of commands that were killed


def table(arrays: dict[str, np.ndarray]) -> list[str]:
    """One line per weight: how h is spread over its entries, and how many feel nothing of the loss."""
    rows = [["weight", "shape", "min h", "median h", "max h", "zeros"]]
    for name, h in arrays.items():
        spread = [f"{value:.2e}" for value in (h.min(), np.median(h), h.max())]
        rows.append([name, "x".join(map(str, h.shape)), *spread, f"{np.mean(h == 0.0):.1%}"])
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(wide[0]), *(text.rjust(w) for text, w in zip(row[1:], wide[1:], strict=True))]
        )
        for row in rows
    ]
