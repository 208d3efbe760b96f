"""A sweep of fake runs with two local workers, as a process that can be killed: ROOT COUNT STEPS [MODE]."""

import signal
import sys
from pathlib import Path

from bayesnas_tf.sweeping import child, local
from bayesnas_tf.sweeping.drive import Driver
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.settings import EngineOptions
from tests.sweeping import fake


def drive(root, jobs):
    """Drive the jobs on two workers."""
    root.mkdir(exist_ok=True)
    ledger = Ledger(root, "fakes", "local", 2)
    command = fake.command(root)

    def launch(job):
        return child.Launch(command(job), str(root / job.directory / "summary.json"), str(ledger.log(job)))

    engine = local.LocalEngine(local.shares(EngineOptions(workers=2), local.cores(), [], 8.0), launch)
    Driver(engine, ledger, lambda jobs, over: None).run(jobs)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    root, count, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    drive(root, fake.jobs(count, steps, sys.argv[4] if len(sys.argv) > 4 else ""))
