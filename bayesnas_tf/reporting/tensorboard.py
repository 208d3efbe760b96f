"""TensorBoard events of a run: scalars, the arrays of each update, the cell, configuration and HParams."""

import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams import summary as hparams_summary

from bayesnas_tf import files
from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.reporting.heatmap import edge_heatmap
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.records import (
    Callbacks,
    ChoiceRecord,
    EpochRecord,
    RunFacts,
    StepRecord,
    UpdateRecord,
)

ARRAYS = ("w", "h", "c", "omega", "s", "gamma")
POSITIVE = ("h", "omega", "s", "gamma", "c")  # over decades: coloured by their logarithms
FLUSH_MILLISECONDS = 10_000
EVENTS = "events.out.tfevents."
OF_STEPS = ("nats/train", "ppl/train", "training/lr", "training/tokens_per_second")  # those of `on_step`
OF_EPOCHS = ("nats/train_epoch", "nats/valid")  # every epoch has one of them


class TensorBoardCallback(Callbacks):
    """Writes everything that a run reports into `directory`.

    A resumed run goes on in the same directory: what it does again is superseded (see `open_session`), as are
    the rows of metrics.jsonl. All that was logged before a checkpoint is in the files when it is written.

    Args:
      directory: where the event files go; made if missing.
      config_text: the configuration as parsed, shown as text.
      hparams: the settings by which runs are compared; values that are no number, bool or str are shown
        as str.
    """

    def __init__(self, directory: str | Path, config_text: str, hparams: dict[str, Any]):
        self._directory = Path(directory)
        self._config_text = config_text
        self._hparams = {name: _plain(value) for name, value in hparams.items()}
        self._writer: tf.summary.SummaryWriter | None = None
        self._known: set[str] = set()  # tags of an earlier process

    def on_start(self, facts: RunFacts) -> None:
        """Open the events; log configuration and HParams where they are not known yet."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._known = known = open_session(self._directory, facts.step, facts.epochs_done)
        self._writer = tf.summary.create_file_writer(str(self._directory), flush_millis=FLUSH_MILLISECONDS)
        if "training/parameters" in known:  # the last of the three
            return
        with self._writer.as_default(step=0):
            tf.summary.text("configuration", _code_block(self._config_text))
            hparams_api.hparams(self._hparams)
            tf.summary.scalar("training/parameters", facts.parameters)
        self._writer.flush()

    def on_rollback(self, facts: RunFacts, number: int) -> None:
        """Supersede what is done again."""
        self._opened().close()
        self.on_start(facts)

    def on_step(self, record: StepRecord) -> None:
        """Training loss, rate and speed."""
        self._scalars(
            record.step,
            {
                "nats/train": record.nats,
                "ppl/train": perplexity(record.nats),
                "training/lr": record.lr,
                "training/tokens_per_second": record.tokens_per_second,
            },
        )
        self._opened().flush()  # a checkpoint may follow, after which nothing of this is logged again

    def on_epoch(self, record: EpochRecord) -> None:
        """Losses of the whole epoch."""
        values = {"nats/train_epoch": record.train_nats, "ppl/train_epoch": perplexity(record.train_nats)}
        if record.valid_nats is not None:
            values |= {"nats/valid": record.valid_nats, "ppl/valid": perplexity(record.valid_nats)}
        self._scalars(record.step, values)
        self._opened().flush()

    def on_update(self, record: UpdateRecord) -> None:
        """The arrays of the update, what it pruned, the cell and the health of the search."""
        search = {
            "search/pruned_fraction": record.pruned_fraction,
            "search/live_nodes": record.live_nodes,
            "search/kappa": record.kappa,
            "nats/unigram": record.unigram_nats,
        }
        self._scalars(
            record.step, search | {f"health/{name}": value for name, value in numbers(record.health)}
        )
        with self._opened().as_default(step=record.step):
            for name in ARRAYS:
                values = record.sites.masked(getattr(record, name))
                tf.summary.histogram(f"posterior/{name}", values[record.sites.exists])
                title = f"{name} after epoch {record.epoch}, step {record.step:,}"
                image = edge_heatmap(values, title, record.sites, record.pruned, log=name in POSITIVE)
                tf.summary.image(f"heatmap/{name}", image[None])
            if record.genotype is not None:
                _cell_summaries(record.genotype)
            tf.summary.text("health/report", health_table(record.health))
        self._opened().flush()

    def on_choice(self, record: ChoiceRecord) -> None:
        """The cell of a search without a posterior, what it was chosen from, and its health."""
        values = {f"health/{name}": value for name, value in numbers(record.health)}
        self._scalars(record.step, {"nats/unigram": record.unigram_nats} | values)
        with self._opened().as_default(step=record.step):
            if record.probabilities is not None:
                title = f"probabilities after epoch {record.epoch}, step {record.step:,}"
                sites = record.sites
                known = sites.masked(record.probabilities)
                image = edge_heatmap(known, title, sites, ~sites.exists)
                tf.summary.image("heatmap/probabilities", image[None])
            if record.candidate_nats is not None:
                tf.summary.histogram("candidates/nats", record.candidate_nats.mean(axis=1))
            _cell_summaries(record.genotype)
            tf.summary.text("health/report", health_table(record.health))
        self._opened().flush()

    def on_end(self, summary: dict[str, Any]) -> None:
        """Close the session: the HParams tab shows it as finished."""
        writer = self._opened()
        if metadata.SESSION_END_INFO_TAG not in self._known:
            end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
            with writer.as_default(step=0):
                tf.summary.experimental.write_raw_pb(end.SerializeToString())
        writer.close()

    def _opened(self) -> "tf.summary.SummaryWriter":
        """The writer; it exists from `on_start` on."""
        if self._writer is None:
            raise ValueError("TensorBoardCallback got a step before on_start")
        return self._writer

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        """Log each value that is a number, as a float32; what that cannot hold is infinite."""
        with self._opened().as_default(step=step):
            for name, value in values.items():
                if not math.isnan(value):
                    tf.summary.scalar(name, tf.cast(tf.constant(value, tf.float64), tf.float32))


def _cell_summaries(genotype: Genotype) -> None:
    """The cell as a drawing and in short form."""
    tf.summary.image("cell", cell_drawing.pixels(genotype)[None])
    tf.summary.text("genotype", f"`{genotype}`")


def open_session(directory: Path, step: int, epochs_done: int) -> set[str]:
    """Tell readers of the events in `directory` that what is done again is void; returns the tags that stay.

    It goes on after `step` and `epochs_done`: of a process that was killed between the last step of an epoch
    and its end, the points of the step stay, and those of the epoch are logged again at the same step.

    TensorBoard drops what lies at or after the step of a SessionLog.START that it reads later, the first
    one of a run excepted; so every process writes one. (The data server that TensorBoard prefers ignores
    it: there an event gives way when one of its tag with no later step follows.) tf.summary can write no
    SessionLog, and files are read by name, which begins with the second of their creation: the message
    gets a file of its own, named to sort after all files there are and before the next one.
    """
    files.clean(directory)
    now = int(time.time())
    make_past(directory, now)
    logged = _logged(directory, step)
    ends = {event.step for tag, event in logged if tag in OF_EPOCHS and event.step <= step}
    undone = step in ends and len(ends) > epochs_done
    event = tf.compat.v1.Event(wall_time=time.time(), step=step if undone or step == 0 else step + 1)
    event.session_log.status = tf.compat.v1.SessionLog.START
    version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
    again = [old for tag, old in logged if undone and old.step == step and tag in OF_STEPS]
    # "-" sorts before every host name
    _write_events(directory / f"{EVENTS}{now:010d}.-session", [version, event, *again])
    return {tag for tag, old in logged if old.step < event.step}


def _write_events(path: Path, events: Iterable) -> None:
    """Put an event file in its place, whole or not at all; TensorBoard would read `.NAME.PID`, too."""
    temporary = path.with_name(f".session.{os.getpid()}")
    with tf.io.TFRecordWriter(str(temporary)) as records:
        for event in events:
            records.write(event.SerializeToString())
    files.replace(temporary, path)


def _logged(directory: Path, step: int) -> list[tuple[str, Any]]:
    """What the files tell by now, as tags with their events; content only where it is of `step`."""
    # late: only a run that goes on reads; the loader ends at the cut event of a process that was killed
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    found: list[tuple[str, Any]] = []
    for path in sorted(directory.glob(f"{EVENTS}*")):
        for record in RawEventFileLoader(str(path)).Load():
            event = tf.compat.v1.Event.FromString(record)
            if event.session_log.status == tf.compat.v1.SessionLog.START:
                found = [(tag, old) for tag, old in found if old.step < event.step]
            tags = [value.tag for value in event.summary.value]
            short = event if event.step == step else tf.compat.v1.Event(step=event.step)
            found += [(tag, short) for tag in tags]
    return found


def make_past(directory: Path, now: int) -> None:
    """Rename event files so that all are of seconds before `now`, in the order that they have.

    A process that was killed a moment ago leaves a file of this very second, a clock that was wrong one of
    the future; the writer of tf.summary takes the present second for its name, whatever lies there.
    """
    paths = sorted(directory.glob(f"{EVENTS}*"))
    for distance, path in zip(range(len(paths), 0, -1), paths, strict=True):
        second = _second(path)
        if second > now - distance:
            path.rename(path.with_name(path.name.replace(f"{second:010d}", f"{now - distance:010d}", 1)))


def _second(path: Path) -> int:
    """The second at which an event file was made; 0 for names of another form."""
    part = path.name.removeprefix(EVENTS).split(".")[0]
    return int(part) if part.isdigit() else 0


def numbers(report: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested dictionaries, with its path. Lists are left to `health_table`."""
    for name, value in report.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, np.number)):
            yield prefix + name, float(value)


def health_table(report: dict[str, Any]) -> str:
    """The report in Markdown: its warnings, then a row per entry."""
    warnings = [f"* **warning** {sentence}" for sentence in report.get("warnings", [])]
    rows = [f"| {name} | {_cell(value)} |" for name, value in report.items() if name != "warnings"]
    return "\n".join([*warnings, "", "| | |", "|---|---|", *rows])


def _cell(value: Any) -> str:
    """An entry in a table: numbers to four digits, lists and dictionaries on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items()) or "-"
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(_cell(item) for item in value) or "-"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def _plain(value: Any) -> bool | int | float | str:
    """A value that HParams can show."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _code_block(text: str) -> str:
    """Markdown that keeps every line as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())
