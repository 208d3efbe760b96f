"""What a search leaves in its run directory while it goes: metrics, posterior, genotype, drawings."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bayesnas_tf import config
from bayesnas_tf.data import storage
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.base import Sites
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.records import (
    Callbacks,
    ChoiceRecord,
    EpochRecord,
    RunFacts,
    StepRecord,
    UpdateRecord,
)

POSTERIOR_ARRAYS = ("w", "h", "c", "omega", "s", "gamma", "pruned")


class MetricsFile(Callbacks):
    """Writes metrics.jsonl: a row per reporting interval, and two per epoch."""

    def __init__(self, directory: Path):
        """Rows go to `directory/metrics.jsonl`."""
        self._metrics = config.Metrics(RunFiles(directory).metrics)

    def on_start(self, facts: RunFacts) -> None:
        """Drop the rows that the resumed run writes again: of later steps, and of epochs not yet ended."""
        before = len(self._metrics.rows())
        kept = self._metrics.keep(
            lambda row: (
                row["step"] <= facts.step and (row["split"] == "train" or row["epoch"] <= facts.epochs_done)
            )
        )
        if told := _told_of(kept, before, facts):
            print(f"note: {self._metrics.path} {told}", file=sys.stderr)

    def on_rollback(self, facts: RunFacts, number: int) -> None:
        """Drop the rows of what is done again."""
        self.on_start(facts)

    def _row(self, record, split: str, nats: float, **more) -> None:
        when = {"step": record.step, "epoch": record.epoch, "split": split}
        self._metrics.append({**when, "nats": nats, "ppl": perplexity(nats), **more})

    def on_step(self, record: StepRecord) -> None:
        """A row of split `train`: the mean since the last one."""
        self._row(record, "train", record.nats, lr=record.lr, tokens_per_second=record.tokens_per_second)

    def on_epoch(self, record: EpochRecord) -> None:
        """A row of split `valid`, and the epoch's mean on the training split."""
        self._row(record, "train_epoch", record.train_nats, seconds=record.seconds)
        if record.valid_nats is not None:
            more = {"averaged": True} if record.averaged else {}
            self._row(record, "valid", record.valid_nats, **more)


def _told_of(kept: list[dict[str, Any]], before: int, facts: RunFacts) -> str:
    """What is lost of metrics.jsonl, or of the checkpoints that it goes with; empty where nothing is."""
    ended = {row["epoch"] for row in kept if row["split"] == "train_epoch"}
    if lacking := set(range(1, facts.epochs_done + 1)) - ended:
        return f"lacks the rows of {len(lacking)} finished epochs. The run continues without them"
    if facts.step and not kept:
        return f"has no row of the first {facts.step} steps. The run continues without them"
    if before and not facts.step:
        return "has steps that no checkpoint has. The run starts again"
    return ""


class SearchFiles(Callbacks):
    """Writes what a search knows, genotype.json, cell.svg and cell.dot after each update or choice."""

    def __init__(self, directory: Path, posterior: bool = True):
        """Files go to `directory`; `posterior` tells whether each update is appended to posterior.npz."""
        self._files, self._posterior = RunFiles(directory), posterior

    def on_start(self, facts: RunFacts) -> None:
        """Refuse to go on where the updates of ended epochs are lost, before the next one is computed."""
        if self._posterior and facts.epochs_done:
            earlier_updates(self._files.posterior, facts.epochs_done)

    def on_update(self, record: UpdateRecord) -> None:
        """Append the update to posterior.npz and draw the cell."""
        write_posterior(self._files.posterior, record)
        if record.genotype is not None:
            write_cell(self._files, record.genotype)
        for number, cell in enumerate(record.proposals, start=1):
            self._files.proposals.mkdir(exist_ok=True)
            config.write_json(self._files.proposal(number), cell.to_dict())

    def on_choice(self, record: ChoiceRecord) -> None:
        """Write architecture.npz and draw the cell."""
        write_architecture(self._files.architecture, record)
        write_cell(self._files, record.genotype)


def write_cell(run: RunFiles, genotype: Genotype) -> None:
    """The cell, and two drawings of it."""
    config.write_json(run.genotype, genotype.to_dict())
    config.write_text(run.cell_svg, cell_drawing.svg(genotype))
    config.write_text(run.cell_dot, cell_drawing.dot(genotype))


def write_architecture(path: Path, record: ChoiceRecord) -> None:
    """What a search without a posterior knew at its last choice; absent where a strategy has none of it.

    `probabilities` [E, O], NaN where a site has no such option, with edges [E, 2] (source, target) and ops
    [O]; `candidates` [K, n, 2], (source, op) of each node, and their `candidate_nats` [K, W] per validation
    window.
    """
    rows = described(record.sites)
    names = ("probabilities", "candidates", "candidate_nats")
    rows |= {name: getattr(record, name) for name in names if getattr(record, name) is not None}
    if record.probabilities is not None:
        rows["probabilities"] = record.sites.masked(record.probabilities)
    storage.write_arrays(path, rows)


def write_posterior(path: Path, record: UpdateRecord) -> None:
    """Append one update to posterior.npz, in place of a later or equal one that a killed run left.

    w h c omega s gamma pruned, each [updates, E, O], NaN and pruned where a site has no such option; edges
    [E, 2] (source, target); ops [O]; kappa; `labels` [E] where some sites are switches. Beside them, of the
    last update: `h_windows` [K, E, O], `h_standard_error` [E, O] where h is drawn by probes, and `gradient`
    [E, O] of the mean loss.
    """
    found = {name: getattr(record, name) for name in POSTERIOR_ARRAYS}
    found |= {name: record.sites.masked(found[name]) for name in found if name != "pruned"}
    rows: dict[str, Any] = {name: np.asarray(array)[np.newaxis] for name, array in found.items()}
    if record.epoch > 1:
        for name, before in earlier_updates(path, record.epoch - 1).items():
            rows[name] = np.concatenate([before, rows[name]])
    rows |= described(record.sites)
    names = ("kappa", "h_windows", "h_standard_error", "gradient")
    last = {name: getattr(record, name) for name in names}
    rows |= {name: value for name, value in last.items() if value is not None}
    storage.write_arrays(path, rows)


def described(sites: Sites) -> dict[str, Any]:
    """The rows and columns of `[E, O]` arrays in a file. The source of a switch is negative."""
    found: dict[str, Any] = {"ops": sites.options, "edges": sites.pairs()}
    if sites.switches:
        found["labels"] = [sites.label(row) for row in range(len(sites.target))]
    return found


def earlier_updates(path: Path, count: int) -> dict[str, np.ndarray]:
    """The first `count` updates in posterior.npz, each array [count, E, O].

    Raises:
      UserError: it is missing or damaged, or has fewer.
    """
    try:
        stored = storage.read_arrays(path)
        shape = (count, len(stored["edges"]), len(stored["ops"]))
        found = {name: stored[name][:count] for name in POSTERIOR_ARRAYS}
        if any(array.shape != shape for array in found.values()):
            raise ValueError("other shapes")
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} is missing or damaged: it does not hold the {count} updates of the finished epochs. "
            "Restore it, or search again with --overwrite"
        ) from error
    return found
