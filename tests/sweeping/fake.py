"""A run that needs no model: it counts, saves how far it is, and tells when it begins and ends.

As a program: RUN_DIR SEED STEPS [fail|stubborn].
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from bayesnas_tf.sweeping.jobs import Job

STEP = 0.05  # seconds


def jobs(count, steps=8, mode=""):
    """Searches with the seeds 0..count-1."""
    params = {"steps": steps, "mode": mode}
    names = [f"seed{k}" for k in range(count)]
    return [
        Job("search", name, "search", f"search/{name}", (), params, k, {"x": k})
        for k, name in enumerate(names)
    ]


def command(root):
    """What starts the run of a job."""

    def of(job):
        directory = str(root / job.directory)
        return [sys.executable, __file__, directory, str(job.seed), *map(str, job.params.values())]

    return of


def tell(directory, what):
    """A line of the events that a test reads afterwards."""
    with (directory / "events").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def events(directory):
    """What was told, without the processes."""
    return [line.split()[0] for line in (directory / "events").read_text().splitlines()]


def count(directory, seed, steps):
    """Go on from the last step that was saved."""
    state = directory / "state"
    done = int(state.read_text()) if state.exists() else 0
    for step in range(done + 1, steps + 1):
        time.sleep(STEP)
        partial = directory / ".state"
        partial.write_text(str(step))
        partial.rename(state)
    genotype = {
        "format": "bayesnas_tf.genotype/1",
        "nodes": [{"source": 0, "op": ("tanh", "relu")[seed % 2]}],
        "output": [1],
        "name": f"fake-{seed}",
    }
    return {"kind": "search", "seed": seed, "steps": steps, "genotype": genotype}


def main(directory, seed, steps, mode):
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(directory, "doubled")
            raise
        if mode == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell(directory, "begin")
        if mode == "fail":
            sys.exit("error: it cannot. In fake.py. Give up")
        summary = count(directory, seed, steps)
        partial = directory / ".summary"
        partial.write_text(json.dumps(summary))
        partial.rename(directory / "summary.json")
        tell(directory, "end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
