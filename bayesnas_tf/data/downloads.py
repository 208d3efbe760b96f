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

from absl import logging

TIMEOUT = 15  # seconds without an answer


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
        except (OSError, EOFError, http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile) as error:
            failures.append(f"{host}: {_reason(error)}")
    return contents, failures


def members(archive: bytes, names: set[str]) -> dict[str, bytes]:
    """The files of these base names in a zip or (compressed) tar archive; absent ones are left out."""
    found: dict[str, bytes] = {}
    stream = io.BytesIO(archive)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as zipped:
            for info in zipped.infolist():
                if (name := info.filename.rpartition("/")[2]) in names:
                    found[name] = zipped.read(info)
        return found
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            if name in names and (file := tar.extractfile(member)):
                found[name] = file.read()
    return found


def _from_mirror(
    mirror: str, wanted: Mapping[str, tuple[str, str]], failures: list[str]
) -> Iterator[tuple[str, bytes]]:
    """(split, content) of each file that one mirror gives, unchecked; `failures` gets what it refuses.

    Any other error ends it: a host that does not answer is not asked for the next file.
    """
    if "{file}" not in mirror and "{split}" not in mirror:
        found = members(_get(mirror), {file for file, _ in wanted.values()})
        yield from ((split, found[file]) for split, (file, _) in wanted.items() if file in found)
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
        return answer.read()


def _reason(error: Exception) -> str:
    """The error in a few words, on one line."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(cause).split()) or type(error).__name__
