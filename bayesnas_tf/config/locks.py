"""The lock of a run directory, which the system lets go of when its process ends."""

import errno
import fcntl
from pathlib import Path
from typing import IO

from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles


def locked(directory: Path) -> IO[str]:
    """The open lock file of the directory; the system lets go of it when the process ends."""
    lock = RunFiles(directory).lock.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise written(directory) from error
    except OSError as error:
        # Some network file systems know no locks; a run there is better than none.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            lock.close()
            raise
    return lock


def taken(path: str | Path) -> bool:
    """Whether some process holds the lock of a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no file yet, or no locks
        return False
    return False


def written(directory: Path) -> UserError:
    """What stands against a claim to a directory."""
    return UserError(
        f"another process is writing {directory}. Wait for it to end, or choose another --run_dir"
    )
