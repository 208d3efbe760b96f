"""Where the raw text of the published corpora comes from: the user's files, else the network.

A file is looked for in the data folder and in the cache folder, directly or in a subfolder named after the
corpus: plain, as `.xz`, or inside the archive in which it was published. The md5 of its unpacked content is
checked.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.data import downloads, reader, storage, unpacking
from bayesnas_tf.errors import UserError

SPLITS = ("train", "valid", "test")


class Source(NamedTuple):
    """A corpus as lines of text. `lines(split)` reads them; `fingerprint` is a hex digest of all of them."""

    name: str
    fingerprint: str
    lines: Callable[[str], Iterable[str]]


class Published(NamedTuple):
    """A corpus that exists in one agreed form: split -> (file name, md5 of the content)."""

    name: str
    files: dict[str, tuple[str, str]]
    archive: str
    mirrors: tuple[str, ...]


def published(corpus: Published, data_dir: str | Path) -> Source:
    """The text of a published corpus, from the data folder, the cache folder or the network.

    Files that are there are checked at once, `UserError` when one has the wrong content. What is missing is
    downloaded when lines are first asked for, `UserError` when it cannot be: prepared data needs no files.
    """
    contents = _on_disk(corpus, Path(data_dir))
    fingerprint = digest([corpus.name, *(md5 for _, md5 in corpus.files.values())])

    def lines(split: str) -> list[str]:
        missing = [name for name in SPLITS if name not in contents]
        if missing:
            contents.update(_download(corpus, missing, Path(data_dir)))
        return split_lines(contents[split])

    return Source(corpus.name, fingerprint, lines)


def split_lines(content: bytes) -> list[str]:
    """The lines of a published text; bytes that are not UTF-8 become the replacement character."""
    return reader.split(content.decode("utf-8", errors="replace"))


def digest(parts: Iterable[str | bytes]) -> str:
    """16 hex digits that change when any part changes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return total.hexdigest()[:16]


def _on_disk(corpus: Published, data_dir: Path) -> dict[str, bytes]:
    """Checked contents by split of the files that lie in the data or cache folder."""
    contents: dict[str, bytes] = {}
    for base in (data_dir, storage.cache_dir()):
        for folder in (base, base / corpus.name):
            for split, (file, md5) in corpus.files.items():
                found = None if split in contents else _read(folder, file, corpus.archive)
                if found:
                    contents[split] = _checked(*found, file, md5)
    return contents


def _read(folder: Path, file: str, archive: str) -> tuple[Path, bytes] | None:
    """(path, unpacked content) of a file in a folder, or None; `UserError` names what cannot be unpacked."""
    readers = ((file, read_file), (file + ".xz", read_file), (archive, lambda p: _read_member(p, file)))
    for name, read in readers:
        path = folder / name
        if not os.path.isfile(path) and not unpacking.dangling(path):
            continue
        with unpacking.refusing(path, "Replace it or remove it"):
            if (content := read(path)) is not None:
                return path, content
    return None


def read_file(path: Path) -> bytes:
    """The unpacked content of a published file; raises what `unpacking.content` does."""
    return unpacking.content(path, downloads.MOST_FILE)


def _read_member(path: Path, file: str) -> bytes | None:
    with unpacking.opened(path) as archive:
        return downloads.members(archive, {file}).get(file)


def _checked(path: Path, content: bytes, file: str, md5: str) -> bytes:
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{path} has the wrong content: md5 of {file} is {found}, expected {md5}. Replace it or remove it"
        )
    return content


def _download(corpus: Published, missing: list[str], data_dir: Path) -> dict[str, bytes]:
    """Missing contents by split from the mirrors; kept as plain files for the next time."""
    wanted = {split: corpus.files[split] for split in missing}
    contents, failures = downloads.fetch(corpus.mirrors, wanted)
    for split, content in contents.items():
        path = storage.derived_root(data_dir) / corpus.name / corpus.files[split][0]
        storage.write_atomically(path, content)
    lacking = [f"{file} (md5 {md5})" for split, (file, md5) in wanted.items() if split not in contents]
    if lacking:
        raise UserError(
            f"corpus {corpus.name} is not in {data_dir} and could not be downloaded ({'; '.join(failures)}). "
            f"Put {', '.join(lacking)}, plain or as .xz, or the archive {corpus.archive} into {data_dir} "
            f"or {data_dir / corpus.name}, or name their folder with --data_dir"
        )
    return contents
