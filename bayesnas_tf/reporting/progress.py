"""A run on the terminal: a live bar where there is one, plain lines in a log file."""

import atexit
import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.reporting.summary_text import duration, summary_lines
from bayesnas_tf.training.records import (
    Callbacks,
    ChoiceRecord,
    EpochRecord,
    RunFacts,
    StepRecord,
    UpdateRecord,
)

PLAIN_SECONDS = 10.0  # between two plain lines
LIVE_HIDES = ("nats", "lr")  # a terminal of 80 columns has no room for them
LIVE_TEXT = 76  # columns beside the bar
REFRESHES = 4  # per second; the bar must not take a core from training


class View:
    """Where the progress goes."""

    def step(self, title: str, done: int, total: int, details: dict[str, str]) -> None:
        """The bar called `title` got to `done` of `total`; details are shown in their order."""

    def line(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """Nothing follows."""


class PlainView(View):
    """Lines in a stable form; progress at most every 10 seconds and when a bar is full."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        self._stream, self._clock = stream, clock
        self._last = -math.inf

    def step(self, title: str, done: int, total: int, details: dict[str, str]) -> None:
        """One line: `epoch 1/1 step 100/415 nats 6.123 ppl 456.1 lr 20 tok/s 4,321 left 5:12`."""
        now = self._clock()
        if now - self._last < PLAIN_SECONDS and done < total:
            return
        self._last = now
        self.line(
            " ".join([f"{title} {done}/{total}", *(f"{key} {value}" for key, value in details.items())])
        )

    def line(self, text: str) -> None:
        """The line itself."""
        print(text, file=self._stream, flush=True)


class LiveView(View):
    """One bar that is redrawn in place; lines scroll above it."""

    def __init__(self, console: Console):
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=min(24, max(4, console.width - LIVE_TEXT))),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _Details(),
            console=console,
            transient=True,
            refresh_per_second=REFRESHES,
        )
        self._task: Any = None
        self._title = ""
        atexit.register(self.close)  # an error must not leave the terminal without its cursor

    def step(self, title: str, done: int, total: int, details: dict[str, str]) -> None:
        """Move the bar; a new title begins a new one."""
        self._progress.start()
        if title != self._title:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._title = self._progress.add_task(title, total=total, details={}), title
        self._progress.update(self._task, completed=done, total=total, details=details)

    def line(self, text: str) -> None:
        """The line, above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        atexit.unregister(self.close)


def view_of(stream: TextIO) -> View:
    """A live bar where `stream` is a terminal, else plain lines."""
    return LiveView(Console(file=stream)) if stream.isatty() else PlainView(stream)


class _Details(ProgressColumn):
    """The numbers beside the bar, time left first: a narrow terminal cuts off the end."""

    def render(self, task: Task) -> Text:
        """Names in grey, values as they are."""
        details = {name: value for name, value in task.fields["details"].items() if name not in LIVE_HIDES}
        first = {"left": details.pop("left")} if "left" in details else {}
        parts = [((name, "bright_black"), " ", value) for name, value in (first | details).items()]
        return Text(" ", no_wrap=True, overflow="ellipsis").join(Text.assemble(*part) for part in parts)


class ProgressCallback(Callbacks):
    """Shows a run while it goes and its result when it ends.

    `stream` decides the form: a live bar where it is a terminal, else plain lines. `view` replaces both.
    """

    def __init__(self, stream: TextIO | None = None, view: View | None = None):
        self._view = view or view_of(sys.stderr if stream is None else stream)
        self._epochs = 0
        self._pruned = ""
        self._live = ""

    def on_start(self, facts: RunFacts) -> None:
        """What runs, and where it resumes."""
        self._epochs = facts.epochs
        self._view.line(
            f"{facts.kind} {facts.name}: {facts.parameters:,} parameters, {_epochs(facts.epochs)}"
        )
        if facts.step:
            self._view.line(f"resumed after step {facts.step:,}")

    def on_rollback(self, facts: RunFacts, number: int) -> None:
        """Where training went back to."""
        self._view.line(f"training diverged: back to step {facts.step:,}, rollback {number}")

    def on_step(self, record: StepRecord) -> None:
        """Loss, rate, speed and time left."""
        details = {
            "nats": f"{record.nats:.3f}",
            "ppl": f"{perplexity(record.nats):.1f}",
            "lr": f"{record.lr:g}",
            "tok/s": f"{record.tokens_per_second:,.0f}",
        }
        if self._live:
            details |= {"pruned": self._pruned, "live": self._live}
        details["left"] = duration(record.seconds_left)
        title = f"epoch {record.epoch}/{self._epochs} step"
        self._view.step(title, record.step_in_epoch, record.steps_per_epoch, details)

    def on_stage(self, name: str, done: int, total: int) -> None:
        """A phase between epochs."""
        self._view.step(name, done, total, {})

    def on_epoch(self, record: EpochRecord) -> None:
        """The losses of the epoch."""
        parts = [f"epoch {record.epoch}/{self._epochs} done train {_loss(record.train_nats)}"]
        if record.valid_nats is not None:
            parts.append(f"valid {'(averaged) ' if record.averaged else ''}{_loss(record.valid_nats)}")
        self._view.line(" ".join([*parts, f"time {duration(record.seconds)}"]))

    def on_update(self, record: UpdateRecord) -> None:
        """What the update left."""
        self._pruned, self._live = f"{record.pruned_fraction:.1%}", str(record.live_nodes)
        cell = record.genotype if record.genotype is not None else "none: every node is dead"
        self._view.line(f"update {record.epoch} pruned {self._pruned} live {self._live} cell {cell}")

    def on_choice(self, record: ChoiceRecord) -> None:
        """The cell."""
        self._view.line(f"choice {record.epoch} cell {record.genotype}")

    def on_end(self, summary: dict[str, Any]) -> None:
        """The result."""
        self._view.close()
        for line in summary_lines(summary):
            self._view.line(line)


def _loss(nats: float) -> str:
    """Both units of a loss."""
    return f"nats {nats:.3f} ppl {perplexity(nats):.1f}"


def _epochs(count: int) -> str:
    """1 epoch, 2 epochs."""
    return "1 epoch" if count == 1 else f"{count} epochs"
