"""TensorBoard events of a run: scalars, the arrays of each update, the cell, configuration and HParams."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.reporting.heatmap import edge_heatmap
from bayesnas_tf.reporting.run_files import perplexity
from bayesnas_tf.space import topology
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.primitives import OP_NAMES
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


class TensorBoardCallback(Callbacks):
    """Writes everything that a run reports into `directory`.

    A resumed run goes on in the same directory: what was logged after the step at which it resumes is
    superseded (see `open_session`).

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

    def on_start(self, facts: RunFacts) -> None:
        """Open the events; log configuration and HParams."""
        self._directory.mkdir(parents=True, exist_ok=True)
        open_session(self._directory, facts.step)
        self._writer = tf.summary.create_file_writer(str(self._directory), flush_millis=FLUSH_MILLISECONDS)
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
            "search/pruned_fraction": float(np.mean(record.pruned)),
            "search/live_nodes": record.live_nodes,
            "search/kappa": record.kappa,
            "nats/unigram": record.unigram_nats,
        }
        self._scalars(
            record.step, search | {f"health/{name}": value for name, value in numbers(record.health)}
        )
        edges = topology.edges(topology.node_count(len(record.w)))
        with self._opened().as_default(step=record.step):
            for name in ARRAYS:
                values = np.asarray(getattr(record, name))
                tf.summary.histogram(f"posterior/{name}", values)
                title = f"{name} after epoch {record.epoch}, step {record.step:,}"
                image = edge_heatmap(values, title, edges, OP_NAMES, record.pruned, log=name in POSITIVE)
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
                edges = topology.edges(len(record.genotype.nodes))
                image = edge_heatmap(record.probabilities, title, edges, OP_NAMES)
                tf.summary.image("heatmap/probabilities", image[None])
            if record.candidate_nats is not None:
                tf.summary.histogram("candidates/nats", record.candidate_nats.mean(axis=1))
            _cell_summaries(record.genotype)
            tf.summary.text("health/report", health_table(record.health))
        self._opened().flush()

    def on_end(self, summary: dict[str, Any]) -> None:
        """Close the session: the HParams tab shows it as finished."""
        writer = self._opened()
        end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        with writer.as_default(step=0):
            tf.summary.experimental.write_raw_pb(end.SerializeToString())
        writer.close()

    def _opened(self) -> "tf.summary.SummaryWriter":
        """The writer; it exists from `on_start` on."""
        if self._writer is None:
            raise ValueError("TensorBoardCallback heard of a step before on_start")
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


def open_session(directory: Path, step: int) -> None:
    """Tell readers of the events in `directory` that whatever an earlier process logged after `step` is void.

    TensorBoard drops what lies at or after the step of a SessionLog.START that it reads later, the first
    one of a run excepted; so every process writes one. (The data server that TensorBoard prefers ignores
    it: there an event gives way when one of its tag with an earlier step follows.) tf.summary can write no
    SessionLog, and files are read by name, which begins with the second of their creation: the message
    gets a file of its own, named to sort after all files there are and before the next one.
    """
    now = int(time.time())
    make_past(directory, now)
    event = tf.compat.v1.Event(wall_time=time.time(), step=step + 1)
    event.session_log.status = tf.compat.v1.SessionLog.START
    version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
    # "-" sorts before every host name
    with tf.io.TFRecordWriter(str(directory / f"events.out.tfevents.{now:010d}.-session")) as records:
        records.write(version.SerializeToString())
        records.write(event.SerializeToString())


def make_past(directory: Path, now: int) -> None:
    """Rename event files so that all are of seconds before `now`, in the order that they have.

    A process that was killed a moment ago leaves a file of this very second, a clock that was wrong one of
    the future; the writer of tf.summary takes the present second for its name, whatever lies there.
    """
    paths = sorted(directory.glob("events.out.tfevents.*"))
    for distance, path in zip(range(len(paths), 0, -1), paths, strict=True):
        second = _second(path)
        if second > now - distance:
            path.rename(path.with_name(path.name.replace(f"{second:010d}", f"{now - distance:010d}", 1)))


def _second(path: Path) -> int:
    """The second at which an event file was made; 0 for names of another form."""
    part = path.name.removeprefix("events.out.tfevents.").split(".")[0]
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
