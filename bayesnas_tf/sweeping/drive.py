"""Bring runs to their end on some engine: start what waits, retry what failed, wait for the rest."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.jobs import Job
from bayesnas_tf.sweeping.ledger import Ledger

POLL_SECONDS = 0.2


class Ended(NamedTuple):
    """A run whose process is gone; `reason` says what happened where it left no result."""

    job: Job
    reason: str


class Engine(Protocol):
    """Where runs go."""

    slots: int  # runs that may be started and not ended at a time

    def start(self, job: Job) -> None:
        """Let a run begin, or go on, as soon as there is room."""

    def under_way(self) -> set[str]:
        """The directories of the runs that were started, have begun and not ended."""

    def ended(self) -> list[Ended]:
        """The runs that ended since the last call."""

    def stop(self) -> None:
        """Ask all runs to save their state, and wait until they are gone."""

    def close(self) -> None:
        """Nothing follows."""


class Driver:
    """Drives the runs of one stage after another."""

    def __init__(self, engine: Engine, ledger: Ledger, watch: Callable[[Sequence[Job], list[Ended]], None]):
        """`watch` hears of the stage under way and of the runs that ended, several times a second.

        What it raises stops the runs.
        """
        self.engine, self.ledger, self.watch = engine, ledger, watch

    def run(self, jobs: Sequence[Job]) -> None:
        """Return when every run is done or given up. Runs of one directory are one run.

        Whatever is raised meanwhile, Ctrl-C above all, goes on its way once the runs have saved their state.
        """
        self.ledger.add(jobs)
        unique = list({job.directory: job for job in reversed(jobs)}.values())[::-1]
        waiting = [job for job in unique if self.ledger.state(job) == "waiting"]
        started = 0
        self.ledger.write()
        try:
            while waiting or started:
                while waiting and started < self.engine.slots:
                    self.engine.start(waiting.pop(0))
                    started += 1
                over = self.engine.ended()
                started -= len(over)
                waiting += [ended.job for ended in over if self._settle(ended)]
                self._look()
                self.watch(unique, over)
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.engine.stop()
            self.ledger.running = set()
            self.ledger.write()
            raise

    def _look(self) -> None:
        """Enter what runs."""
        running = self.engine.under_way()
        if running != self.ledger.running:
            self.ledger.running = running
            self.ledger.write()

    def _settle(self, ended: Ended) -> bool:
        """Enter how a run ended, and say whether it is to be started again."""
        self.ledger.running.discard(ended.job.directory)
        if self.ledger.summary(ended.job) is None:
            line = child.last_line(self.ledger.log(ended.job))
            self.ledger.failed(ended.job, f"{ended.reason}. {line}".rstrip(". "))
        self.ledger.write()
        return self.ledger.state(ended.job) == "waiting"
