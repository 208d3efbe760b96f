"""The ray engine: each run a task with its resources, on a cluster or on this machine.

Ray schedules, and starts a task again whose node is gone. The lock of a run's log (`child`) keeps it from
running twice, so all nodes must see the sweep's directory, at one path, on a file system that knows locks.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.drive import POLL_SECONDS, Ended
from bayesnas_tf.sweeping.jobs import Job
from bayesnas_tf.sweeping.settings import EngineOptions

PATIENCE = 60.0  # seconds that runs have to save their state
GENTLE = 20.0  # of them, until tasks that have not heard are killed: a run ends by itself without its task
RETRIES = 5  # starts of a run whose node was lost; a run that fails by itself is not counted here


def run_task(launch: child.Launch, cores: int) -> int:
    """Run one process on the node of a task and return its exit code; if cancelled, let it save its state."""
    arguments = launch._replace(parent=os.getpid()).arguments()
    process = subprocess.Popen(arguments, env=child.environment(cores), start_new_session=True)
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)  # a wait for the process would not hear of being cancelled
        return process.returncode
    finally:
        process.terminate()
        process.wait()


class RayEngine:
    """Hands every run to Ray at once."""

    slots = sys.maxsize

    def __init__(self, options: EngineOptions, launch: Callable[[Job], child.Launch]):
        """Connect to a cluster, or start one here.

        Raises:
          UserError: Ray is not installed, no cluster answers, or a run needs more than any node has.
        """
        self._ray = _imported()
        self._launch, self._cores = launch, options.cores
        self._running: dict = {}  # reference -> (job, launch, size of its log before)
        self._connect(options.address or os.environ.get("RAY_ADDRESS", ""))
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU", 0) for node in nodes)
        self._gpus = options.gpus if options.gpus >= 0 else float(has_gpus)
        if not any(n.get("CPU", 0) >= self._cores and n.get("GPU", 0) >= self._gpus for n in nodes):
            raise UserError(
                f"no node of the cluster has {self._cores} cores and {self._gpus:g} GPUs for a run. "
                "Lower EngineOptions.cores or EngineOptions.gpus"
            )

    def _connect(self, address: str) -> None:
        """Join the cluster at `address`, or start one of this machine where it is empty."""
        path = str(Path(__file__).resolve().parents[2])
        new = {} if address else {"include_dashboard": False}
        try:
            self._ray.init(
                address=address or "local",  # None would join whatever cluster Ray finds on this machine
                log_to_driver=False,
                logging_level="error",
                runtime_env={"env_vars": {"PYTHONPATH": path}},
                **new,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"no Ray cluster at {address or 'this machine'}: {reason}. "
                "Check EngineOptions.address, or use --engine=local"
            ) from error

    def start(self, job: Job) -> None:
        """Hand a run to Ray."""
        launch = self._launch(job)
        task = self._ray.remote(run_task).options(
            num_cpus=self._cores, num_gpus=self._gpus, max_retries=RETRIES, name=job.directory
        )
        self._running[task.remote(launch, self._cores)] = job, launch, _size(launch.log)

    def under_way(self) -> set[str]:
        """The runs whose log grows: Ray may let a task wait."""
        return {job.directory for job, launch, size in self._running.values() if _size(launch.log) > size}

    def ended(self) -> list[Ended]:
        """The runs whose task is over."""
        if not self._running:
            return []
        over, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [Ended(self._running.pop(reference)[0], self._reason(reference)) for reference in over]

    def _reason(self, reference) -> str:
        """What became of a task in words."""
        try:
            return f"exit code {self._ray.get(reference)}"
        except self._ray.exceptions.RayError as error:
            return f"{type(error).__name__} of Ray"

    def stop(self) -> None:
        """Cancel every task, and wait until nobody has its run: Ray itself does not wait so long."""
        begun = time.monotonic()
        left = dict(self._running)
        while left and (waited := time.monotonic() - begun) < PATIENCE:
            for reference in left:  # again and again: an interrupt may be lost on its way to the task
                self._ray.cancel(reference, force=waited > GENTLE)
            time.sleep(1.0)
            left = {reference: run for reference, run in left.items() if config.taken(run[1].log)}
        self._running.clear()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


def _imported():
    """Ray, which is imported late: it is an extra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a library sends nothing home unasked
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UserError("Ray is not installed. Install it with pip install 'bayesnas_tf[ray]'") from error
    return ray


def _size(path: str) -> int:
    """Bytes of a file; 0 where there is none."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return 0
