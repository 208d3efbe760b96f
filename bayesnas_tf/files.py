"""The one way in which files come to be: whole and on the disk, or not at all.

What is written goes under a temporary name beside its place, `.NAME.PID`, is flushed to the disk, and is
renamed; then the folder is flushed. So whenever a process is killed or a machine loses its power, the old
content is there or the new one, and at most a temporary file more, which the next start of the run removes.
"""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)", re.DOTALL)
_ASIDE = ".aside"
_EARLIER = (".posterior.npz", ".architecture.npz")  # temporary files of earlier versions
_PATTERN = set("*?[]\\")  # what a name may mean to functions that look for matching files
_DESCRIPTORS = Path("/proc/self/fd")  # folders that are open, by number; of Linux
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)  # of folders on some file systems


def temporary_of(path: Path) -> Path:
    """Where this process prepares what is to stand at `path`: beside it, hidden."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def is_temporary(path: Path, name: str = "") -> bool:
    """Whether a path is where some process prepared something, or what is called `name`."""
    match = _TEMPORARY.fullmatch(path.name)
    return match is not None and name in ("", match["name"])


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader, a kill or a power failure meets the old bytes or the new ones.

    Raises:
      OSError: as the system says, with `path` as its file name; the old bytes are there.
    """
    with prepared(Path(path)) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def prepared(path: Path) -> Iterator[Path]:
    """Where to write what is to stand at `path`, a file or a folder; it is put there when the context ends.

    Raises:
      OSError: as the system says, with `path` as its file name; what stood there does so still.
    """
    temporary = temporary_of(path)
    try:
        with naming(path):
            remove(temporary)
            yield temporary
            replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(temporary)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let whatever the system refuses here carry the name of `path`, under which the user knows it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write an object as JSON, whole or not at all; NaN becomes null."""
    write_text(path, json.dumps(plain(data), indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy scalars, arrays and paths as plain ones, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replace(temporary: Path, path: Path) -> None:
    """Put a file or a folder in its place once all of it is on the disk; `OSError` where that fails.

    A folder that stands there goes aside for a moment: a kill may leave none, but never half of one.
    """
    sync(temporary)
    if path.is_dir() and temporary.is_dir():
        aside = path.with_name(f".{path.name}{_ASIDE}.{os.getpid()}")
        remove(aside)
        path.rename(aside)
        try:
            temporary.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        remove(aside)
    else:
        os.replace(temporary, path)
    _sync_one(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or a folder and all that is in it, to the disk; `OSError` where that fails."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync_one(Path(folder) / name)
            _sync_one(Path(folder))
    else:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    """Flush one file or the list of a folder; not every file system can do the latter."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean(folder: Path, name: str = "") -> None:
    """Remove what processes that are gone have left of `name`, or of anything that this module writes.

    Call it for all names only where no other process writes: in a run directory whose lock is held.
    """
    for path in list(folder.iterdir()):
        match = _TEMPORARY.fullmatch(path.name)
        own = match and name in ("", match["name"], match["name"].removesuffix(_ASIDE))
        dead = match and own and not _lives(int(match["process"]))
        if dead or (not name and path.name in _EARLIER):
            remove(path)


def _lives(process: int) -> bool:
    """Whether a process other than this one has that number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return process != os.getpid()


@contextlib.contextmanager
def unpatterned(folder: Path) -> Iterator[Path]:
    """The same folder under a name that means itself to functions that look for matching files.

    TensorFlow takes the name of a checkpoint or SavedModel that it reads for a pattern: below a folder
    `lr=[5]` it finds nothing. The name that is yielded holds within this context only.
    """
    if not _PATTERN & set(str(folder)):
        yield folder
        return
    with contextlib.ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, descriptor)
        found = _DESCRIPTORS / str(descriptor)
        if not found.exists():  # not on Linux
            found = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bayesnas-"))) / "folder"
            found.symlink_to(folder.absolute())
        yield found
