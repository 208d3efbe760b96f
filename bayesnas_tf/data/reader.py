"""Texts from outside, read in one way for training and for `score`.

A text is UTF-8, or UTF-16 or UTF-32 with a byte order mark, plain or packed as .xz, .gz or .bz2. A byte order
mark is no part of it. A line ends at a line feed; a carriage return before it belongs to the end of the line,
and in a text without any line feed a carriage return alone ends a line. Bytes that are no text become U+FFFD,
and that is said; zero bytes are refused.
"""

import codecs
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.data import unpacking
from bayesnas_tf.errors import UserError

CURE = "Give the path of a text file"
NOTHING = "nothing is there"
LONG = 1 << 22  # characters of one line that are in memory at once where a text is read in pieces
ENCODINGS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"(\xb5/\xfd": "packed by zstd",
    b"%PDF-": "a PDF",
    b"{\\rtf": "rich text",
}
_BLANK = re.compile(r"\s")  # what str.split() splits at


class Chunk(NamedTuple):
    """Lines of a text, one after the other; where it `goes_on`, one piece of a line whose rest follows."""

    lines: list[str]
    goes_on: bool = False


def split(text: str) -> list[str]:
    """The lines of a text, without their ends."""
    return "".join(_line_fed([text])).removesuffix("\n").split("\n")


def lines(path: Path) -> list[str]:
    """The lines of a whole file; an empty one has one empty line.

    Raises:
      UserError: it cannot be read, is no text, or has a word of more than LONG characters.
    """
    found = split("".join(blocks(path)))
    for line in found:
        _check_words(line, path)
    return found


def chunks(path: Path, size: int) -> Iterator[Chunk]:
    """The lines of a file, pipe or device, as many at a time as `size` bytes hold, and at least one.

    A line of more than LONG characters comes in pieces that end behind a blank.

    Raises:
      UserError: it is empty, or what `lines` raises.
    """
    ready: list[str] = []
    filled, rest, begun, anything = 0, "", False, False
    for text in _line_fed(blocks(path)):
        anything = True
        *ended, rest = (rest + text).split("\n")
        for line in ended:
            _check_words(line, path)
            ready.append(line)
            filled += len(line.encode()) + 1
            if filled > size or begun:
                yield Chunk(ready)
                ready, filled, begun = [], 0, False
        while len(rest) > LONG:
            if ready:
                yield Chunk(ready)
            piece = next(pieces(rest, LONG))
            _check_words(piece, path)
            yield Chunk([piece], goes_on=True)
            ready, filled, begun, rest = [], 0, True, rest[len(piece) :]
    if not anything:
        raise UserError(f"{path} is empty. Give a file with text")
    if rest or begun:
        _check_words(rest, path)
        ready.append(rest)
    if ready:
        yield Chunk(ready)


def pieces(line: str, size: int) -> Iterator[str]:
    """A line in pieces that end behind a blank: of at most `size` characters, more where a word is longer."""
    start = 0
    while len(line) - start > size:
        end = start + size
        while end > start and not line[end - 1].isspace():
            end -= 1
        if end == start:
            blank = _BLANK.search(line, start + size)
            end = blank.end() if blank else len(line)
        yield line[start:end]
        start = end
    yield line[start:]


def words(line: str) -> Iterator[str]:
    """The words of a line as `str.split` gives them, without the memory for all of a long one."""
    for piece in pieces(line, unpacking.BLOCK):
        yield from piece.split()


def hindrance(path: Path) -> str:
    """What keeps a path from being a file that can be read again and again; empty where nothing does.

    NOTHING where there is neither a file nor a link.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return unpacking.dangling(path) or NOTHING
    except unpacking.REFUSALS as error:
        return unpacking.reason(error)
    if stat.S_ISREG(mode):
        return ""
    return "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device, which can be read only once"


def blocks(path: Path) -> Iterator[str]:
    """The text of a file, pipe or device, block by block; nothing at all for an empty one.

    Raises:
      UserError: it cannot be read, or is no text.
    """
    with unpacking.refusing(path, CURE):
        head, raw = unpacking.with_head(unpacking.blocks(path))
        if suffix := unpacking.packed_as(head):
            raise UserError(f"{path} is packed twice: it unpacks to a {suffix} file. Unpack it once")
        for mark, name in OTHERS.items():
            if head.startswith(mark):
                raise UserError(f"{path} is not plain text: it is {name}. Save it as UTF-8 text")
        for text in _decoded(raw, head, path):
            if "\0" in text:  # in no text, but in archives, programs and UTF-16 without its mark
                raise UserError(f"{path} is not plain text: it has zero bytes. Save it as UTF-8 text")
            if text:
                yield text


def _decoded(raw: Iterable[bytes], head: bytes, path: Path) -> Iterator[str]:
    """The characters of a content that begins with `head`; what is none becomes U+FFFD."""
    mark = next((mark for mark in ENCODINGS if head.startswith(mark)), b"")
    encoding = ENCODINGS.get(mark, "utf-8")
    decoder, skipped, whole = codecs.getincrementaldecoder(encoding)(), len(mark), True
    for block, final in _with_end(raw):
        block, skipped = block[skipped:], 0
        try:
            yield decoder.decode(block, final)
        except UnicodeDecodeError:  # which leaves the decoder as it was
            if whole:
                told = f"note: {path} is not all {encoding.upper()}: other bytes are read as U+FFFD"
                print(told, file=sys.stderr)
            whole, decoder.errors = False, "replace"
            yield decoder.decode(block, final)
            decoder.errors = "strict"


def _with_end(raw: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block, and an empty one behind them all that is the last."""
    for block in raw:
        yield block, False
    yield b"", True


def _line_fed(texts: Iterable[str]) -> Iterator[str]:
    """A text, in blocks, whose lines end at line feeds alone.

    From the first carriage return on, blocks are held back until a line feed says that it was none of an end.
    """
    fed, tail = False, ""
    held: list[str] = []
    for text in texts:
        text = tail + text
        tail = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n")
        if not (fed := fed or "\n" in text) and (held or "\r" in text):
            held.append(text)
            continue
        if held:
            text, held = "".join([*held, text]), []
        if text:
            yield text
    rest = "".join([*held, tail])
    if rest:
        yield rest if fed else rest.replace("\r", "\n")


def _check_words(line: str, path: Path) -> None:
    """Refuse a line with a word of more than LONG characters: there is no blank to cut it at."""
    if len(line) > LONG and any(len(piece) > LONG for piece in pieces(line, LONG)):
        raise UserError(
            f"{path} has a word of more than {LONG:,} characters. Put blanks or line ends between its words"
        )
