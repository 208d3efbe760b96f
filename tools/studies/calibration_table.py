"""The calibration table of docs/results.md, from search runs of one epoch.

Example: python -m tools.studies.calibration_table runs/ptb-seed0

A run, finished or collapsed, fixes lambda_w, norm and gauge. The scale of h (kappa) enters only the update
after training: each further row of a run is the same posterior, updated again with another scale.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from bayesnas_tf.bayes import prune, scores, update
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import parameter_count
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.space import Highway
from tools import cli

SCALES: tuple[update.Scale, ...] = get_args(update.Scale)
UNITS = 850
BPTT = 35
HEAD = ("run", "norm", "gauge", "λ_w", "travel", "valid nats", "scale", "κ", "h 10/50/90 %", "ω 10/50/90 %")
TAIL = ("pruned", "live nodes", "parameters at 850", "cell")


def setting(config: str, name: str, default: str) -> str:
    """The last value that a configuration text gives a parameter or macro."""
    values = re.findall(rf"^{re.escape(name)} = (.+)$", config, flags=re.M)
    value = values[-1].strip("'") if values else default
    return setting(config, value[1:], default) if value.startswith("%") else value


def quantiles(values: np.ndarray) -> str:
    """10, 50 and 90 %."""
    return " / ".join(f"{q:.2g}" for q in np.quantile(values, [0.1, 0.5, 0.9]))


def rows(run: Path, tokens_per_window: int, corpus_tokens: int, vocabulary: int) -> Iterator[tuple[str, ...]]:
    """One row per scale of h, from one run of one epoch.

    Training knows nothing of the scale, which enters behind it, in kappa of the first update (M6 to M10). So
    each row is a whole update from gamma = 1, of the w, h and gradient `[E, O]` that the run has stored, and
    its cell is the one that a run with this scale would have found. `travel` is of the epoch's steps.
    """
    files = RunFiles(run)
    config, metrics = files.config.read_text(), files.metrics.read_text().splitlines()
    valid = next(row for row in map(json.loads, metrics) if row["split"] == "valid")
    lambda_w, rate = (
        float(setting(config, f"ScalarOptions.{name}", default))
        for name, default in (("lambda_w", "0.17"), ("lr", "1.0"))
    )
    with np.load(files.posterior) as arrays:
        w, h, gradient = arrays["w"][0], arrays["h"][0], arrays["gradient"]
    space = Highway(topology.node_count(len(w)))
    for scale in SCALES:
        kappa = update.kappa(scale, tokens_per_window, corpus_tokens, lambda_w)
        rules = update.Rules(update.BayesOptions(scale=scale), kappa, space)
        posterior = update.update(update.Prior.start(*w.shape), w, h, rules)
        mask = prune.pruned(scores.Context.of(posterior, w, gradient), prune.PruneOptions(), space)
        try:
            genotype = prune.derive(posterior.gamma, mask, prune.PruneOptions(), space)
            live, cell = len(genotype.nodes), str(genotype).split(" ->")[0]
            size = f"{parameter_count(genotype, vocabulary, UNITS):,}"
        except prune.CollapsedCell:
            live, cell, size = 0, "collapsed", "none"
        yield (
            run.name,
            setting(config, "CellOptions.norm", "batch"),
            setting(config, "ScalarOptions.gauge", "none"),
            f"{lambda_w:g}",
            f"{rate * lambda_w / BPTT * valid['step']:.2f}",
            f"{valid['nats']:.3f}",
            scale,
            f"{kappa:.3g}",
            quantiles(h),
            quantiles(posterior.omega),
            f"{mask.mean():.0%}",
            str(live),
            size,
            cell,
        )


def main(arguments: list[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = cli.Parser("tools.studies.calibration_table", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="directories of search runs")
    parser.add_argument("--tokens_per_window", type=int, default=64 * BPTT, help="rows times steps")
    parser.add_argument(
        "--corpus_tokens", type=int, default=929_589, help="tokens of the training split, of PTB by default"
    )
    parser.add_argument("--vocabulary", type=int, default=10_000, help="tokens of the vocabulary")
    options = parser.parse_args(arguments)
    print("| " + " | ".join(HEAD + TAIL) + " |")
    print("|" + "---|" * len(HEAD + TAIL))
    for run in options.runs:
        for row in rows(run, options.tokens_per_window, options.corpus_tokens, options.vocabulary):
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    sys.exit(cli.ended(main))
