"""Files from mirrors, tried in turn; a content counts only when its md5 is right."""

import hashlib
import http.client
import io
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from absl import logging

from bayesnas_tf.data import unpacking

TIMEOUT = 15  # seconds without an answer
MOST_ANSWER = 1 << 28  # bytes of one download; the largest archive has 35 MB
MOST_FILE = 1 << 26  # bytes of one file of a published corpus; the largest has 11 MB
MOST_ARCHIVE = 1 << 30  # bytes of all files of an archive that must be passed to reach ours
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound


def fetch(
    mirrors: Sequence[str], wanted: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, bytes], list[str]]:
    """Contents by split of the wanted files, split -> (file name, md5), and what failed at which mirror.

    A mirror is the address of one file, with `{file}` or `{split}` in it, or of an archive that holds all.
    """
    contents: dict[str, bytes] = {}
    failures: list[str] = []
    for mirror in mirrors:
        missing = {split: file for split, file in wanted.items() if split not in contents}
        if not missing:
            break
        host = urllib.parse.urlsplit(mirror).netloc or mirror
        try:
            for split, content in _from_mirror(mirror, missing, failures):
                if hashlib.md5(content, usedforsecurity=False).hexdigest() == wanted[split][1]:
                    contents[split] = content
                else:
                    failures.append(f"{host}: wrong md5 of {wanted[split][0]}")
        except (*unpacking.REFUSALS, http.client.HTTPException) as error:
            failures.append(f"{host}: {_reason(error)}")
    return contents, failures


def members(archive: BinaryIO, names: set[str]) -> dict[str, bytes]:
    """The files of these base names in a zip or (packed) tar archive; absent ones are left out.

    Raises:
      unpacking.REFUSALS: it is no archive, is damaged or asks for a password, packs in an unknown way, holds
        more than it may, or has a link in place of a file.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            wanted = [info for info in zipped.infolist() if info.filename.rpartition("/")[2] in names]
            return {info.filename.rpartition("/")[2]: _unzipped(zipped, info) for info in wanted}
    archive.seek(0)
    head, raw = unpacking.with_head(iter(lambda: archive.read(unpacking.BLOCK), b""))
    content = unpacking.bounded(unpacking.unpacked(raw, unpacking.packed_as(head)), MOST_ARCHIVE)
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=unpacking.stream(content), mode="r|") as tar:
        for member in tar:
            if (name := member.name.rpartition("/")[2]) in names and not member.isdir():
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    raise ValueError(f"{name} in it is a link, not a file")
                found[name] = _bounded(file.read(MOST_FILE + 1), MOST_FILE)
    return found


def _unzipped(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of one file of a zip archive."""
    if info.compress_type not in ZIP_METHODS:
        raise NotImplementedError(f"{info.filename} in it has an unsupported compression")
    with zipped.open(info) as file:
        return _bounded(file.read(MOST_FILE + 1), MOST_FILE)  # the header may say less than there is


def _bounded(content: bytes, most: int) -> bytes:
    return b"".join(unpacking.bounded([content], most))


def _from_mirror(
    mirror: str, wanted: Mapping[str, tuple[str, str]], failures: list[str]
) -> Iterator[tuple[str, bytes]]:
    """(split, content) of each file that one mirror gives, unchecked; `failures` gets what it refuses.

    Any other error ends it: a host that does not answer is not asked for the next file.
    """
    if "{file}" not in mirror and "{split}" not in mirror:
        found = members(io.BytesIO(_get(mirror)), {file for file, _ in wanted.values()})
        for split, (file, _) in wanted.items():
            if file in found:
                yield split, found[file]
            else:
                failures.append(f"{urllib.parse.urlsplit(mirror).netloc or mirror}: no {file} in its archive")
        return
    for split, (file, _) in wanted.items():
        try:
            content = _get(mirror.format(file=file, split=split))
        except urllib.error.HTTPError as error:
            failures.append(f"{urllib.parse.urlsplit(mirror).netloc}: {file}: {_reason(error)}")
            continue
        yield split, content


def _get(url: str) -> bytes:
    logging.info("downloading %s", url)
    # Some hosts refuse urllib's own name.
    request = urllib.request.Request(url, headers={"User-Agent": "bayesnas_tf"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return _bounded(answer.read(MOST_ANSWER + 1), MOST_ANSWER)


def _reason(error: Exception) -> str:
    """The error in a few words, on one line."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(cause).split()) or type(error).__name__
