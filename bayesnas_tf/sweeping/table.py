"""A sweep on the terminal: a live table of states where there is one, plain lines in a log file."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bayesnas_tf.reporting.summary_text import duration
from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.drive import Ended
from bayesnas_tf.sweeping.jobs import Job
from bayesnas_tf.sweeping.ledger import Ledger, State

STATES: tuple[State, ...] = ("done", "running", "waiting", "failed")
REFRESH_SECONDS = 1.0


class SweepView:
    """Shows where the runs of a stage stand; `stream` decides the form."""

    def __init__(self, ledger: Ledger, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        """Nothing is shown yet."""
        self._ledger, self._clock = ledger, clock
        self._console = Console(file=stream, soft_wrap=not stream.isatty())
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if stream.isatty() else None
        )
        self._began: dict[str, float] = {}  # of the runs that were seen to begin
        self._took: dict[str, list[float]] = {}  # stage -> seconds of its runs that ended under our eyes
        self._shown = -REFRESH_SECONDS
        self._stage, self._width = "", 1  # what is under way, and how many runs at a time were seen

    def line(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, highlight=False)

    def watch(self, jobs: Sequence[Job], over: Sequence[Ended]) -> None:
        """Show what changed in the stage of these runs."""
        now = self._clock()
        self._width = max(self._width, len(self._ledger.running))
        if jobs and jobs[0].stage != self._stage:
            self._stage = jobs[0].stage
            self.line(f"{self._stage}: {len(jobs)} runs, {self._ledger.count(jobs, 'done')} already done")
        for directory in self._ledger.running - self._began.keys():
            self._began[directory] = now
        for ended in over:
            began = self._began.pop(ended.job.directory, None)
            if began is not None and self._ledger.state(ended.job) == "done":
                self._took.setdefault(ended.job.stage, []).append(now - began)
            self.line(self._told(ended, jobs, now - began if began is not None else 0.0))
        if self._live is not None and (over or now - self._shown >= REFRESH_SECONDS):
            self._shown = now
            self._live.start()
            self._live.update(self._table(jobs), refresh=True)

    def _told(self, ended: Ended, jobs: Sequence[Job], seconds: float) -> str:
        """`search LAMBDA_W=0.1-seed0 done in 0:41 (1 of 6 done, left 3:20)`."""
        job, state = ended.job, self._ledger.state(ended.job)
        what = f"done in {duration(seconds)}"
        if state != "done":
            what = f"failed: {self._ledger.failure(job).error}"
            what += "" if state == "failed" else "; it starts again"
        count, left = self._ledger.count(jobs, "done"), duration(self.seconds_left(jobs))
        return f"{job.directory} {what} ({count} of {len(jobs)} done, left {left})"

    def seconds_left(self, jobs: Sequence[Job]) -> float:
        """To the end of their stage, by the mean time of its runs so far; NaN while none ended."""
        took = self._took.get(jobs[0].stage)
        if not took:
            return float("nan")
        mean, now = statistics.fmean(took), self._clock()
        running = [now - self._began.get(name, now) for name in self._ledger.running]
        work = mean * self._ledger.count(jobs, "waiting") + sum(
            max(0.0, mean - seconds) for seconds in running
        )
        return work / self._width

    def _table(self, jobs: Sequence[Job]) -> Group:
        """Counts of the stage, and a row for each run under way or given up with the last line of its log."""
        counts = Text(f"{jobs[0].stage}: {len(jobs)} runs", style="bold")
        for state in STATES:
            if count := self._ledger.count(jobs, state):
                counts.append(f"  {count} {state}", style="red" if state == "failed" else "not bold")
        counts.append(f"  left {duration(self.seconds_left(jobs))}", style="not bold")
        table = Table(box=None, show_header=False, expand=True, padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, style="bright_black", ratio=1)
        for job in jobs:
            state = self._ledger.state(job)
            if state == "running":
                table.add_row(Path(job.directory).relative_to(job.stage).as_posix(), self._progress(job))
            elif state == "failed":
                table.add_row(job.directory, Text(self._ledger.failure(job).error, style="red"))
        return Group(counts, table)

    def _progress(self, job: Job) -> str:
        """What a run said last, or for how long nothing was heard of it."""
        seconds = self._clock() - self._began.get(job.directory, self._clock())
        return f"{duration(seconds)}  {child.last_line(self._ledger.log(job))}"

    def close(self) -> None:
        """Take the table away."""
        if self._live is not None:
            self._live.stop()
