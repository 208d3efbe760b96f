"""What a power failure may take from a photograph: the bytes that nobody had flushed to the disk."""

from collections.abc import Sequence
from pathlib import Path


def lose(photo: Path, prefix: Path, operations: Sequence[Sequence[str]]) -> None:
    """Cut every file to what was flushed of it before; names are taken to be on the disk at once.

    `operations` are those of the log before the photograph: number, name, path, new path, size at a flush.
    """
    flushed: dict[str, int] = {}  # only files that were written: the rest was there before
    for _, what, path, other, size in operations:
        if what == "open" or (what in ("write", "copy", "truncate") and path not in flushed):
            flushed.setdefault(path, 0 if what == "open" else int(size))
        elif what == "fsync":
            flushed[path] = int(size)
        elif what == "unlink":
            flushed.pop(path, None)
        elif what == "rename":
            below = [name for name in flushed if name == path or name.startswith(f"{path}/")]
            for name in below:
                flushed[other + name.removeprefix(path)] = flushed.pop(name)
    for name, kept in flushed.items():
        file = photo / Path(name).relative_to(prefix)
        if file.is_file() and not file.is_symlink() and file.stat().st_size > kept:
            with file.open("r+b") as opened:
                opened.truncate(kept)
