"""What became of each run, read from its directory; sweep.json is a view of it."""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.jobs import Job

State = Literal["done", "failed", "running", "waiting"]


class Failure(NamedTuple):
    """How often a run failed, and why the last time."""

    attempts: int
    error: str


class Ledger:
    """The runs of a sweep below `root`. A run is done when its summary is there, whoever wrote it.

    The directories are the truth: sweep.json is written from them and from what this process knows, and this
    class reads it for its seconds alone. So a sweep that was killed at any moment goes on by the same
    command. Failures are counted per command: the next one tries again.
    """

    def __init__(self, root: Path, name: str, engine: str, attempts: int):
        """`attempts` are the failures after which a run is given up."""
        self.root, self.name, self.engine, self.limit = root, name, engine, attempts
        self.jobs: dict[tuple[str, str, int], Job] = {}  # by stage, candidate and seed
        self.running: set[str] = set()
        self.selected: list[dict[str, Any]] = []
        self.budget: dict[str, Any] = {}
        self._summaries: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, Failure] = {}  # the next command tries again
        self._began, self._before = time.monotonic(), _seconds(RunFiles(root).sweep)

    def add(self, jobs: Iterable[Job]) -> None:
        """Enter runs that are planned; one that is entered already stays."""
        for job in jobs:
            self.jobs.setdefault((job.stage, job.candidate, job.seed), job)

    def files(self, job: Job) -> RunFiles:
        """What a run has left."""
        return RunFiles(self.root / job.directory)

    def log(self, job: Job) -> Path:
        """Where the run's output goes; its folder exists afterwards."""
        path = RunFiles(self.root).logs / f"{job.directory}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def summary(self, job: Job) -> dict[str, Any] | None:
        """The result of a run; None while there is none."""
        if job.directory not in self._summaries:
            found = child.result(self.files(job).summary)
            if found is None:
                return None
            self._summaries[job.directory] = found
        return self._summaries[job.directory]

    def failure(self, job: Job) -> Failure:
        """The failures of a run under this command."""
        return self._failures.get(job.directory, Failure(0, ""))

    def failed(self, job: Job, error: str) -> None:
        """Count a failure."""
        self._failures[job.directory] = Failure(self.failure(job).attempts + 1, error)

    def state(self, job: Job) -> State:
        """Done, running, failed as often as is allowed, or waiting; what has a summary is done."""
        if self.summary(job) is not None:
            return "done"
        if job.directory in self.running:
            return "running"
        return "failed" if self.failure(job).attempts >= self.limit else "waiting"

    def count(self, jobs: Sequence[Job], state: State) -> int:
        """How many of them are in a state."""
        return sum(self.state(job) == state for job in jobs)

    def write(self) -> None:
        """Write sweep.json."""
        config.write_json(
            RunFiles(self.root).sweep,
            {
                "kind": "sweep",
                "name": self.name,
                "runs": [self._row(job) for job in self.jobs.values()],
                "selected": self.selected,
                "budget": self.budget,
                "seconds": self._before + time.monotonic() - self._began,
                "engine": self.engine,
            },
        )

    def _row(self, job: Job) -> dict[str, Any]:
        """One run as sweep.json has it; `attempts` are its failures, and the start that ended or goes on."""
        state, failure, summary = self.state(job), self.failure(job), self.summary(job)
        return {
            "run": job.directory,
            "command": job.command,
            "stage": job.stage,
            "candidate": job.candidate,
            "bindings": job.bindings,
            "seed": job.seed,
            "state": state,
            "summary": summary,
            "error": (failure.error or None) if summary is None else None,
            "attempts": failure.attempts + (state in ("done", "running")),
        }


def _seconds(path: Path) -> float:
    """The time that earlier commands spent, as they last wrote it."""
    if not path.exists():
        return 0.0
    try:
        return float(config.json_object(path, "")["seconds"])
    except (UserError, ValueError, KeyError, TypeError):
        told = f"note: cannot read {path}. It is written again, without the seconds of earlier commands"
        print(told, file=sys.stderr)
        return 0.0
