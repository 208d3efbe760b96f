"""Folders for what is derived or downloaded, files that are never seen half done, and arrays in files."""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesnas_tf import files
from bayesnas_tf.data import unpacking
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
        f"cannot write prepared data: neither {data_dir} nor {cache_dir()} is writable. "
        "Set BAYESNAS_CACHE to a writable folder"
    )


def _writable(folder: Path) -> bool:
    """Whether we may and should write there: a folder without any write bit is respected even by root."""
    bits = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return bool(folder.stat().st_mode & bits) and os.access(folder, os.W_OK | os.X_OK)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file.

    Raises:
      ValueError: it is missing or damaged, or no such file; the message is a few words that say why.
    """
    if not path.exists():
        raise ValueError("missing")
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (*unpacking.REFUSALS, TypeError, AttributeError):
        raise ValueError("truncated or damaged") from None


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file beside others of this process, whole or not at all."""
    with files.prepared(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole and on the disk, or not at all.

    It is prepared in a folder of its own: machines that share `path` may have processes of one number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        temporary.write_bytes(content)
        files.replace(temporary, path)
