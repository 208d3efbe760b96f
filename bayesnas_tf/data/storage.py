"""Folders for what is derived or downloaded, and writes that other processes never see half done."""

import os
import stat
import tempfile
from pathlib import Path

from bayesnas_tf.errors import UserError, expanded


def cache_dir() -> Path:
    """`$BAYESNAS_CACHE`, else `~/.cache/bayesnas_tf`."""
    return expanded(os.environ.get("BAYESNAS_CACHE") or "~/.cache/bayesnas_tf")


def derived_root(data_dir: str | Path) -> Path:
    """The folder for derived files: `data_dir` where it can be written, else the cache folder.

    `UserError` when neither can be written.
    """
    for folder in (Path(data_dir), cache_dir()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if _writable(folder):
            return folder
    raise UserError(
        f"no place to keep prepared data: neither {data_dir} nor {cache_dir()} can be written. "
        "Set BAYESNAS_CACHE to a folder that can"
    )


def _writable(folder: Path) -> bool:
    """Whether we may and should write there: a folder without any write bit is respected even by root."""
    bits = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return bool(folder.stat().st_mode & bits) and os.access(folder, os.W_OK | os.X_OK)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it: it is whole or not there.

    What is written here can be made again; those of runs have `config.files`, which `data` may not import.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
