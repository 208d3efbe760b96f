"""The local engine: worker processes here, each with its share of the cores or a GPU of its own."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.drive import Ended
from bayesnas_tf.sweeping.jobs import Job
from bayesnas_tf.sweeping.settings import EngineOptions

PATIENCE = 60.0  # seconds that a run has to save its state


class Share(NamedTuple):
    """What one worker has of the machine."""

    cores: tuple[int, ...]
    gpu: str = ""  # its name in CUDA_VISIBLE_DEVICES; empty: no GPU is handed out


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; TensorFlow is not asked."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def cores() -> list[int]:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(options: EngineOptions, cores: list[int], gpus: list[str], memory_gb: float) -> list[Share]:
    """The machine, dealt out to its workers; with more workers than cores or GPUs some share one."""
    fitting = max(1, min(len(cores) // options.cores, int(memory_gb / options.memory_gb)))
    count = options.workers or len(gpus) or fitting
    width = max(1, len(cores) // count)
    return [
        Share(
            cores=tuple(cores[(k * width + n) % len(cores)] for n in range(width)),
            gpu=gpus[k % len(gpus)] if gpus else "",
        )
        for k in range(count)
    ]


def memory_gb() -> float:
    """The memory of this machine, in 10^9 bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


class LocalEngine:
    """Up to `slots` child processes. They save their state and end when this process ends in whatever way."""

    def __init__(self, shares: list[Share], launch: Callable[[Job], child.Launch]):
        """`launch` says what to start for a run."""
        self.slots, self._free, self._launch = len(shares), list(shares), launch
        self._running: dict[str, tuple[Job, Share, subprocess.Popen]] = {}

    def start(self, job: Job) -> None:
        """Start its process in a session of its own: Ctrl-C reaches this process alone."""
        share = self._free.pop(0)
        launch = self._launch(job)._replace(cores=share.cores, parent=os.getpid())
        environment = child.environment(len(share.cores))
        if share.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = share.gpu
        process = subprocess.Popen(launch.arguments(), env=environment, start_new_session=True)
        self._running[job.directory] = job, share, process

    def under_way(self) -> set[str]:
        """All that were started: a process is a run that has begun."""
        return set(self._running)

    def ended(self) -> list[Ended]:
        """The runs whose process is gone."""
        over = [entry for entry in self._running.values() if entry[2].poll() is not None]
        for job, share, _ in over:
            del self._running[job.directory]
            self._free.append(share)
        return [Ended(job, _reason(process.returncode)) for job, _, process in over]

    def stop(self) -> None:
        """SIGTERM, on which a run saves its state; SIGKILL if that takes too long, or on a second Ctrl-C."""
        processes = [process for _, _, process in self._running.values()]
        try:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in processes:
                process.kill()
        self._running.clear()

    def close(self) -> None:
        """No run is left, and nothing else was opened."""


def _reason(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
