"""What stands between an engine and a run: `python -m bayesnas_tf.sweeping.child LAUNCH`, a `Launch` as JSON.

It ties the process to its parent and to its cores, waits until nobody else has the run, and becomes the run's
own command. Whoever holds the lock of the log file has the run: the lock passes to the command, and lasts
from before its first import until it is gone, whatever became of the engine.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

PR_SET_PDEATHSIG = 1
MARK = "# "  # begins the line of a log that says who writes from here on


class Launch(NamedTuple):
    """A run to start: its command, the file that exists once it is done, and where its output goes."""

    command: list[str]
    summary: str
    log: str
    cores: tuple[int, ...] = ()  # empty: all
    parent: int = 0  # process after whose end this one is asked to stop; 0: none
    folder: str = ""  # working folder, for the paths of configurations; empty: that of the starter

    def arguments(self) -> list[str]:
        """The command line of this module."""
        return [sys.executable, "-m", "bayesnas_tf.sweeping.child", json.dumps(self)]


def environment(cores: int) -> dict[str, str]:
    """The environment of a run: as many threads as it has cores, and this package on the path."""
    path = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **dict.fromkeys(threads, str(cores))}


def result(summary: str | Path) -> dict[str, Any] | None:
    """What a run left as its result; None where there is none, or it cannot be read: the run is not done."""
    try:
        found = json.loads(Path(summary).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def stop_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, where there is such a thing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        sys.exit(1)


def become(launch: Launch) -> None:
    """Wait for the run, and run its command in this process unless it is done by then."""
    if launch.parent:
        stop_with(launch.parent)
    if launch.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, launch.cores)
    log = os.open(launch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        fcntl.flock(log, fcntl.LOCK_EX)
    except OSError as error:  # some network file systems know no locks
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    if result(launch.summary) is not None:
        return
    os.write(log, f"{MARK}{socket.gethostname()}, process {os.getpid()}, {time.strftime('%F %T')}\n".encode())
    for stream in (1, 2):
        os.dup2(log, stream)  # the copies keep the lock
    os.chdir(launch.folder or ".")
    os.execvp(launch.command[0], launch.command)


def last_line(log: str | Path) -> str:
    """The newest line of a log that the run itself wrote, or an empty string."""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
        written = (line.strip() for line in reversed(lines) if not line.startswith(MARK))
        return next(filter(None, written), "")
    return ""


if __name__ == "__main__":
    become(Launch(*json.loads(sys.argv[1])))
