"""Packed bytes from outside: every form, damage, bombs, pipes; always the bytes or one kind of error."""

import bz2
import gzip
import itertools
import lzma
import os
import random
import socket
import subprocess
import sys
import threading
import time

import pytest

from bayesnas_tf.data import unpacking
from bayesnas_tf.errors import UserError

TEXT = "".join(f"line {k} é\n" for k in range(30_000)).encode()
PACK = {".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}


def _read(path):
    with unpacking.refusing(path, "Cure"):
        return b"".join(unpacking.blocks(path))


def _refused(path):
    with pytest.raises(UserError) as error:
        _read(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [b"", b"a", TEXT], ids=len)
@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("name", ["named", "unnamed"])
def test_what_is_packed_is_told_by_its_bytes(suffix, name, content, tmp_path):
    path = tmp_path / (name + suffix * (name == "named"))
    path.write_bytes(PACK[suffix](content))
    assert _read(path) == content


@pytest.mark.parametrize("suffix", PACK)
def test_streams_one_behind_the_other_are_one_content(suffix, tmp_path):
    path = tmp_path / "two"
    path.write_bytes(PACK[suffix](TEXT) + b"\0" * 8 + PACK[suffix](b"more"))
    assert _read(path) == TEXT + b"more"


@pytest.mark.parametrize("suffix", PACK)
def test_what_is_cut_off_or_followed_by_something_else_is_refused(suffix, tmp_path):
    path = tmp_path / "file"
    packed = PACK[suffix](TEXT)
    for damaged in (packed[:-1], packed[: len(packed) // 2], packed[:20], packed + b"not packed"):
        path.write_bytes(damaged)
        assert "cannot be read" in _refused(path)


@pytest.mark.parametrize("suffix", PACK)
def test_damage_gives_the_content_or_one_error(suffix, tmp_path):
    path, generator = tmp_path / ("file" + suffix), random.Random(0)
    packed = PACK[suffix](TEXT)
    refused = 0
    for _ in range(100):
        damaged = bytearray(packed)
        damaged[generator.randrange(len(packed))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            assert _read(path) == TEXT
        except UserError as error:
            assert "cannot be read" in str(error)
            refused += 1
    assert refused > 80


@pytest.mark.parametrize("content", [b"", b"plain text", b"\xfd7zXZ garbage"])
@pytest.mark.parametrize("suffix", PACK)
def test_a_name_that_promises_what_the_content_is_not_is_refused(suffix, content, tmp_path):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)
    assert f"its name ends in {suffix}" in _refused(path)


def test_a_text_may_begin_as_bzip2_does(tmp_path):
    (tmp_path / "text").write_bytes(b"BZh9 is a mark\n")
    assert _read(tmp_path / "text") == b"BZh9 is a mark\n"


@pytest.mark.parametrize("suffix", PACK)
def test_bombs_are_refused_while_they_are_unpacked(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE", 1 << 20)
    path = tmp_path / "bomb"
    path.write_bytes(PACK[suffix](b"ab " * (1 << 22)))
    with pytest.raises(UserError, match="unpacks to more than 200 times its size"):
        _read(path)


def test_a_bound_holds_while_blocks_come():
    given = []
    with pytest.raises(ValueError, match="more than 10 bytes"):
        given.extend(unpacking.bounded(itertools.repeat(b"abc"), 10))
    assert b"".join(unpacking.bounded([b"ab", b"c"], 3)) == b"abc"


def test_a_stream_is_the_file_of_its_pieces():
    pieces = [b"ab", b"c", b"d" * 100_000, b"e"]
    with unpacking.stream(iter(pieces)) as file:
        assert file.read(4) == b"abcd"
        assert file.read() == b"".join(pieces)[4:]
        assert file.read() == b""


@pytest.mark.parametrize("first", [b"", b"a", b"a text\n", gzip.compress(b"packed", mtime=0)])
def test_a_pipe_is_read_to_its_end(first, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def write():
        with open(tmp_path / "pipe", "wb", buffering=0) as file:
            for byte in first:
                file.write(bytes([byte]))
                time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    found = _read(tmp_path / "pipe")
    writer.join()
    assert found == (b"packed" if first[:1] == b"\x1f" else first)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "PATIENCE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    assert "nobody writes to the pipe" in _refused(tmp_path / "pipe")


def test_a_writer_that_takes_its_time_is_waited_for_and_that_is_said(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(unpacking, "PATIENCE", 0.1)
    reading, writing = os.pipe()
    threading.Timer(0.5, lambda: (os.write(writing, b"late"), os.close(writing))).start()
    assert _read(unpacking.Path(f"/dev/fd/{reading}")) == b"late"
    assert f"note: waiting for input from /dev/fd/{reading}" in capfd.readouterr().err
    os.close(reading)


def test_a_socket_as_standard_input_is_read():
    program = (
        "from pathlib import Path; from bayesnas_tf.data import unpacking\n"
        "print(b''.join(unpacking.blocks(Path('/dev/stdin'))))"
    )
    ours, theirs = socket.socketpair()
    ours.sendall(b"from a socket")
    ours.close()
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=theirs, capture_output=True, text=True, check=True
    )
    assert done.stdout == "b'from a socket'\n"


def test_a_link_to_nothing_is_called_one(tmp_path):
    (tmp_path / "link").symlink_to("gone")
    assert "it is a link to gone, which is not there" in _refused(tmp_path / "link")
    assert "link is a link to gone" in _refused(tmp_path / "link" / "file")
    assert "it is a folder" in _refused(tmp_path)
    assert unpacking.dangling(tmp_path / "absent") == ""


def test_every_refusal_is_one_line(tmp_path):
    for kind in unpacking.REFUSALS:
        for text in ("", "two\nlines"):
            with (
                pytest.raises(UserError, match=r"^a cannot be read: .+\. Cure$"),
                unpacking.refusing("a", "Cure"),
            ):
                raise kind(text)
