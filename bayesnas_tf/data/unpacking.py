"""Bytes from outside: opened, unpacked and bounded, and every way in which they cannot be read as one error.

What is packed is told by its first bytes, so that pipes and misnamed files are read as what they are. Nothing
is held but one block at a time: how much a file unpacks to is known before it fills the memory.
"""

import bz2
import contextlib
import errno
import io
import itertools
import lzma
import os
import select
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import UserError

BLOCK = 1 << 16  # bytes that are read or unpacked at once
PATIENCE = 5.0  # seconds without a writer after which a pipe is given up
MOST_RATIO = 200  # of unpacked to packed bytes, for what unpacks to more than FREE; texts reach 10
FREE = 1 << 30  # bytes
MOST_MEMORY = 1 << 30  # bytes that unpacking itself may take; `xz -9` needs 65 MiB
STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")

# All that opening, unpacking and decoding raise on odd content: unknown compression is NotImplementedError,
# a password RuntimeError, links in a circle RecursionError, a header of nonsense any of the others.
REFUSALS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class _Stream(io.RawIOBase):
    """A file made of pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer) -> int:
        """Fill the buffer with what is next, at most one piece; 0 at the end."""
        self._rest = self._rest or next(self._pieces, b"")
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)], self._rest = taken, self._rest[len(taken) :]
        return len(taken)


def stream(pieces: Iterator[bytes]) -> io.BufferedReader:
    """Pieces of bytes, none of them empty, as a file that is read from its beginning to its end."""
    return io.BufferedReader(_Stream(pieces))


class _Gunzip:
    """zlib's decompressor with the manners of those of lzma and bz2."""

    def __init__(self):
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What stands behind the end of the stream."""
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        """At most so many bytes; empty when it needs more data."""
        return self._inner.decompress(self._inner.unconsumed_tail + data, most)


UNPACKERS: dict[str, tuple[bytes, Callable[[], Any]]] = {
    ".xz": (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)),
    ".gz": (b"\x1f\x8b", _Gunzip),
    ".bz2": (b"BZh", bz2.BZ2Decompressor),
}
LONGEST_START = 10  # bytes of `bzip2`'s whole mark
BZ2_BLOCK = (b"1AY&SY", b"\x17rE8P\x90")  # behind "BZh9": "BZh" alone may begin a text


def packed_as(head: bytes) -> str:
    """`.xz`, `.gz` or `.bz2` by the first LONGEST_START bytes of a content; empty for anything else."""
    for suffix, (mark, _) in UNPACKERS.items():
        if head.startswith(mark) and (suffix != ".bz2" or head[4:10] in BZ2_BLOCK):
            return suffix
    return ""


def dangling(path: Path) -> str:
    """Which part of a path is a link to nothing, in a few words; empty where none is."""
    for place in (path, *path.parents):
        if os.path.islink(place) and not os.path.exists(place):
            called = "it" if place == path else place
            return f"{called} is a link to {os.readlink(place)}, which is not there"
    return ""


def reason(error: BaseException, path: Path | None = None) -> str:
    """An error in a few words on one line; a link to nothing in `path` is called what it is."""
    if path is not None and isinstance(error, FileNotFoundError) and (told := dangling(path)):
        return told
    if isinstance(error, MemoryError):
        return "it needs more memory than this machine has"
    told = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(told.split()) or type(error).__name__


@contextlib.contextmanager
def refusing(path: Path, cure: str) -> Iterator[None]:
    """Turn whatever reading raises into one `UserError`: `path` cannot be read, why, and the cure."""
    try:
        yield
    except REFUSALS as error:
        raise UserError(f"{path} cannot be read: {reason(error, path)}. {cure}") from error


def opened(path: Path) -> io.BufferedReader:
    """A file, pipe or device for reading bytes, at once; `OSError` as `open` raises it."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO or str(path) not in STANDARD_INPUT:
            raise
        return open(os.dup(0), "rb")  # a socket, which has no name that could be opened
    try:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        return open(number, "rb")
    except BaseException:
        os.close(number)
        raise


def _awaited(file: io.BufferedReader, path: Path) -> bytes:
    """Wait until a pipe or a terminal has something to read or has ended; what had to be read for that.

    `UserError` when nobody has a pipe open for writing for PATIENCE seconds.
    """
    number, taken = file.fileno(), b""
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return taken
    poller = select.poll()
    poller.register(number, select.POLLIN)
    if not poller.poll(PATIENCE * 1000):
        # without a writer a read finds the end, with one it has to wait
        with contextlib.suppress(BlockingIOError):
            if stat.S_ISFIFO(mode) and not (taken := os.read(number, 1)):
                raise UserError(
                    f"nobody writes to the pipe {path}: waited {PATIENCE:g} seconds. "
                    "Start the program that writes to it first, or give a file"
                )
        if not taken:
            print(f"note: waiting for input from {path}", file=sys.stderr)
            poller.poll()
    os.set_blocking(number, True)
    return taken


def blocks(path: Path) -> Iterator[bytes]:
    """The unpacked content of a file, pipe or device, piece by piece.

    Raises:
      UserError: a pipe that nobody writes to, or a name that ends as if packed while the content is not.
      REFUSALS: it is not there, may not be read or is damaged.
    """
    with opened(path) as file:
        taken = _awaited(file, path)
        rest = iter(lambda: file.read1(BLOCK), b"")
        head, raw = with_head(itertools.chain([taken] if taken else [], rest))
        found, named = packed_as(head), path.suffix.lower()
        if named in UNPACKERS and named != found:
            raise ValueError(f"its name ends in {named}, but its content is not {named[1:]}")
        yield from unpacked(raw, found)


def content(path: Path, most: int) -> bytes:
    """The unpacked content of a file as a whole; raises what `blocks` does, and at more than `most` bytes."""
    return b"".join(bounded(blocks(path), most))


def bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The pieces as they come; `ValueError` when they are more than `most` bytes in all."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > most:
            raise ValueError(f"it holds more than {most:,} bytes, which is too much")
        yield piece


def with_head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """At least LONGEST_START bytes from the beginning, unless there are fewer, and all pieces with them."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= LONGEST_START:
            break
    return head, itertools.chain([head] if head else [], pieces)


def unpacked(raw: Iterable[bytes], suffix: str) -> Iterator[bytes]:
    """What streams packed as `suffix` hold, one behind the other; for an empty suffix `raw` itself.

    Raises:
      EOFError: the last stream is cut off.
      ValueError: so much comes out of so little that it was made to fill a disk.
      OSError, zlib.error, lzma.LZMAError: damage, or something else behind the end.
    """
    if not suffix:
        yield from raw
        return
    make = UNPACKERS[suffix][1]
    unpacker, taken, given = make(), 0, 0
    for block in raw:
        taken += len(block)
        while True:
            if unpacker.eof:
                block = block.lstrip(b"\0")  # padding that is allowed between streams
                if not block:
                    break
                unpacker = make()
            piece = unpacker.decompress(block, BLOCK)
            block = unpacker.unused_data if unpacker.eof else b""
            if piece:
                given += len(piece)
                if given > max(FREE, MOST_RATIO * taken):
                    raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")
                yield piece
            elif not block:
                break
    if not unpacker.eof:
        raise EOFError("it is cut off before its end")
