"""Archives from outside: links, damage, passwords, unknown packing, bombs; and the next mirror after each."""

import gzip
import hashlib
import io
import lzma
import random
import struct
import tarfile
import zipfile

import pytest

from bayesnas_tf.data import downloads, sources, unpacking
from bayesnas_tf.errors import UserError

_WORDS = " ".join(str(k * k) for k in range(2000)).encode()
TEXTS = {"train": _WORDS, "valid": b" a \n", "test": b" b c \n"}
FILES = {split: (f"toy.{split}.txt", hashlib.md5(text).hexdigest()) for split, text in TEXTS.items()}
NAMES = {file for file, _ in FILES.values()}


def tar(mode="w:gz", links=(), **changed):
    """A tar archive of the toy texts, with some changed, and links as (type, name, target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for kind, name, target in links:
            info = tarfile.TarInfo(f"data/{name}")
            info.type, info.linkname = kind, target
            archive.addfile(info)
        for split, text in {**TEXTS, **changed}.items():
            info = tarfile.TarInfo(f"data/toy.{split}.txt")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def zipped(method=zipfile.ZIP_DEFLATED, **changed):
    """A zip archive of the toy texts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for split, text in {**TEXTS, **changed}.items():
            archive.writestr(f"data/toy.{split}.txt", text)
    return buffer.getvalue()


def encrypted():
    """A zip archive that says of its files that they need a password."""
    content = bytearray(zipped())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 1)
    return bytes(content)


def packed_strangely(method=99):
    """A zip archive whose files are packed in a way that no Python knows."""
    content = bytearray(zipped())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.find(mark)
        while at >= 0:
            content[at + place : at + place + 2] = struct.pack("<H", method)
            at = content.find(mark, at + 1)
    return bytes(content)


def lying():
    """A zip archive whose first file is far larger than its headers say."""
    content = bytearray(zipped(train=b"a " * (1 << 22)))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.find(mark)
        content[at + place : at + place + 4] = struct.pack("<I", 12)
    return bytes(content)


def chained():
    """A tar archive of headers about headers, deeper than Python calls."""
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", 0
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) * 5000 + tar("w"))


ODD = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html>404</html>" * 100,
    "cut zip": zipped()[:-30],
    "cut tar": tar()[:-30],
    "cut early": tar()[:200],
    "a password": encrypted(),
    "unknown packing": packed_strangely(),
    "bzip2 in zip": zipped(zipfile.ZIP_BZIP2),
    "lzma in zip": zipped(zipfile.ZIP_LZMA),
    "a lie about its size": lying(),
    "headers about headers": chained(),
    "a link to nothing": tar(links=[(tarfile.SYMTYPE, "toy.train.txt", "gone")]),
    "a link to itself": tar(links=[(tarfile.SYMTYPE, "toy.train.txt", "toy.train.txt")]),
    "a hard link to nothing": tar(links=[(tarfile.LNKTYPE, "toy.train.txt", "data/gone")]),
    "a pipe": tar(links=[(tarfile.FIFOTYPE, "toy.train.txt", "")]),
    "another packing": b"(\xb5/\xfd" + tar(),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(downloads, "MOST_FILE", 1 << 20)


def corpus(archive="toy.archive", mirrors=()):
    return sources.Published("toy", FILES, archive, tuple(mirrors))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_archive_in_a_folder_is_one_line(name, data_dir):
    (data_dir / "toy.archive").write_bytes(ODD[name])
    with pytest.raises(UserError) as error:
        sources.published(corpus(), data_dir)
    message = str(error.value)
    assert f"{data_dir}/toy.archive " in message
    assert "\n" not in message
    assert "remove it" in message


@pytest.mark.parametrize("name", ODD)
def test_after_an_odd_archive_the_next_mirror_is_asked(name, tmp_path):
    (tmp_path / "odd").write_bytes(ODD[name])
    (tmp_path / "right").write_bytes(zipped())
    mirrors = [f"file://{tmp_path}/odd", f"file://{tmp_path}/right"]
    contents, failures = downloads.fetch(mirrors, FILES)
    assert contents == TEXTS
    assert failures
    assert all("\n" not in failure for failure in failures)


def test_a_mirror_whose_archive_lacks_a_file_is_told(tmp_path):
    (tmp_path / "one").write_bytes(tar(train=b"other"))
    (tmp_path / "two").write_bytes(zipped())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/toy.valid.txt", TEXTS["valid"])
    (tmp_path / "part").write_bytes(buffer.getvalue())
    contents, failures = downloads.fetch(
        [f"file://{tmp_path}/{name}" for name in ("one", "part", "two")], FILES
    )
    assert contents == TEXTS
    assert "wrong md5 of toy.train.txt" in failures[0]
    assert "no toy.train.txt in its archive" in failures[1]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_every_packing_of_a_tar_is_read(mode):
    found = downloads.members(io.BytesIO(tar(mode)), NAMES)
    assert found == {FILES[split][0]: text for split, text in TEXTS.items()}


@pytest.mark.parametrize("make", [tar, zipped])
def test_what_holds_more_than_it_may_is_refused(make):
    with pytest.raises(ValueError, match="holds more than 1,048,576 bytes"):
        downloads.members(io.BytesIO(make(train=b"a " * (1 << 20))), NAMES)


def test_what_must_be_passed_is_bounded_too(monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ARCHIVE", 1 << 22)
    with pytest.raises(ValueError, match="holds more than 4,194,304 bytes"):
        downloads.members(io.BytesIO(tar(other=b"a " * (1 << 22))), NAMES)


def test_a_download_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ANSWER", 1000)
    (tmp_path / "toy.train.txt").write_bytes(TEXTS["train"])
    contents, failures = downloads.fetch([f"file://{tmp_path}/{{file}}"], {"train": FILES["train"]})
    assert not contents
    assert "holds more than 1,000 bytes" in failures[0]


@pytest.mark.parametrize("make", [tar, zipped])
def test_damage_gives_the_files_or_a_refusal(make):
    whole, generator = make(), random.Random(0)
    wanted = downloads.members(io.BytesIO(whole), NAMES)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            found = downloads.members(io.BytesIO(damaged), NAMES)
        except unpacking.REFUSALS:
            continue
        # what a damaged header hides is absent, and `fetch` checks the md5 of what is there
        assert set(found) <= set(wanted)


@pytest.mark.parametrize(
    ("name", "content"), [("toy.train.txt", b"a " * (1 << 20)), ("toy.train.txt.xz", None)]
)
def test_a_published_file_of_another_size_is_refused_before_it_fills_the_memory(name, content, data_dir):
    (data_dir / name).write_bytes(content or lzma.compress(b"a " * (1 << 20)))
    with pytest.raises(UserError, match=r"holds more than 1,048,576 bytes.* Replace it or remove it"):
        sources.published(corpus(), data_dir)


def test_links_to_nothing_are_told_and_not_downloaded_over(data_dir):
    (data_dir / "toy.train.txt").symlink_to("/mnt/absent")
    with pytest.raises(UserError, match="it is a link to /mnt/absent, which is not there"):
        sources.published(corpus(), data_dir)
    (data_dir / "toy.train.txt").unlink()
    (data_dir / "toy").symlink_to("/mnt/absent")
    with pytest.raises(UserError, match="toy is a link to /mnt/absent, which is not there"):
        sources.published(corpus(), data_dir)
