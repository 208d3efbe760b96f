"""One reader of texts: encodings, marks, line ends, pieces; equal to its plain definition on random texts."""

import codecs
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading

import pytest

from bayesnas_tf.data import reader, unpacking
from bayesnas_tf.errors import UserError

ENDS = {
    "a\nb\n": ["a", "b"],
    "a\nb": ["a", "b"],
    "a\n\nb\n\n": ["a", "", "b", ""],
    "\n": [""],
    "": [""],
    "a\r\nb\r\n": ["a", "b"],
    "a\r\n\r\nb": ["a", "", "b"],
    "a\rb\r": ["a", "b"],
    "a\r\rb": ["a", "", "b"],
    "a\r": ["a"],
    "\r": [""],
    "a\rb\nc": ["a\rb", "c"],  # a blank like others where lines end at line feeds
    "a\nb\r": ["a", "b\r"],
    "a\r\r\nb": ["a\r", "b"],
    "a\r\nb\rc": ["a", "b\rc"],
    "a\x0bb\x0cc\x85d\u2028e\x1cf": ["a\x0bb\x0cc\x85d\u2028e\x1cf"],
}


def _write(tmp_path, content):
    (tmp_path / "text").write_bytes(content)
    return tmp_path / "text"


def _joined(chunks):
    """The lines of chunks, those in pieces put together."""
    lines, begun = [], ""
    for chunk in chunks:
        *ended, last = chunk.lines
        for line in (*ended, *([] if chunk.goes_on else [last])):
            lines.append(begun + line)
            begun = ""
        begun += last if chunk.goes_on else ""
    assert not begun
    return lines


@pytest.mark.parametrize("text", ENDS)
def test_lines_end_at_line_feeds_and_where_there_is_none_at_carriage_returns(text, tmp_path):
    assert reader.split(text) == ENDS[text]
    path = _write(tmp_path, text.encode())
    assert reader.lines(path) == ENDS[text]
    if text:
        assert _joined(reader.chunks(path, 1)) == ENDS[text]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_chunks_are_the_lines_wherever_blocks_and_pieces_end(block, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "BLOCK", block)
    monkeypatch.setattr(reader, "LONG", 12)
    generator = random.Random(block)
    for _ in range(400):
        ends = generator.choice(["\n", "\n\r", "\r"])
        text = "".join(generator.choice("ab é東 " + ends) for _ in range(generator.randrange(1, 60)))
        path = _write(tmp_path, text.encode(generator.choice(["utf-8", "utf-8-sig", "utf-16"])))
        try:
            chunks = list(reader.chunks(path, generator.randrange(1, 30)))
        except UserError as error:
            assert "a word of more than 12 characters" in str(error)
            continue
        assert _joined(chunks) == reader.split(text)
        for chunk in chunks:
            if chunk.goes_on:
                (piece,) = chunk.lines
                assert piece[-1].isspace()


def test_chunks_of_a_text_are_those_of_readlines(tmp_path):
    generator = random.Random(0)
    lines = ["é" * generator.randrange(40) for _ in range(500)]
    path = _write(tmp_path, "\n".join(lines).encode())
    for size in (1, 20, 100, 10**6):
        file = io.BufferedReader(io.BytesIO(path.read_bytes()))
        wanted = []
        while read := file.readlines(size):
            wanted.append([line.removesuffix(b"\n").decode() for line in read])
        assert [chunk.lines for chunk in reader.chunks(path, size)] == wanted


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress])
def test_every_encoding_and_packing_is_the_same_text(encoding, pack, tmp_path, capfd):
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    marks |= {"utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}
    text = "één\n\ufefftwo 東京\n𝟝\n" * 20_000
    path = _write(tmp_path, pack(marks.get(encoding, b"") + text.encode(encoding)))
    assert reader.lines(path) == text.removesuffix("\n").split("\n")
    assert _joined(reader.chunks(path, 1 << 16)) == reader.lines(path)
    assert capfd.readouterr().err == ""


def test_a_mark_alone_is_an_empty_text(tmp_path):
    for mark in reader.ENCODINGS:
        path = _write(tmp_path, mark)
        assert reader.lines(path) == [""]
        with pytest.raises(UserError, match="is empty"):
            list(reader.chunks(path, 10))


@pytest.mark.parametrize("block", [1, 5, 1 << 16])
def test_bytes_that_are_no_text_are_replaced_and_that_is_said_once(block, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(unpacking, "BLOCK", block)
    content = b"one \xff two\n\xe2\x28\xa1 three \xc3"
    path = _write(tmp_path, content)
    assert reader.lines(path) == content.decode("utf-8", errors="replace").split("\n")
    assert capfd.readouterr().err == f"note: {path} is not all UTF-8: other bytes are read as U+FFFD\n"
    path = _write(tmp_path, codecs.BOM_UTF16_LE + "a\ud800".encode("utf-16-le", "surrogatepass") + b"b")
    assert "".join(reader.lines(path)).startswith("a\ufffd")
    assert "not all UTF-16-LE" in capfd.readouterr().err


def test_a_true_replacement_character_is_text(tmp_path, capfd):
    assert reader.lines(_write(tmp_path, "a \ufffd".encode())) == ["a \ufffd"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"one\0two", "zero bytes. Save it as UTF-8 text"),
        ("utf-16 without a mark".encode("utf-16-be"), "zero bytes"),
        ("zero \0".encode("utf-16"), "zero bytes"),
        (b"a text\n" * 50_000 + b"\0", "zero bytes"),
        (
            gzip.compress(lzma.compress(b"text"), mtime=0),
            "packed twice: it unpacks to a .xz file. Unpack it once",
        ),
        (b"PK\x03\x04 whatever", "it is a zip archive. Save it as UTF-8 text"),
        (gzip.compress(b"%PDF-1.7 whatever", mtime=0), "it is a PDF"),
        (b"(\xb5/\xfdwhatever", "packed by zstd"),
    ],
    ids=range(8),
)
def test_what_is_no_plain_text_is_refused_with_a_cure(content, part, tmp_path):
    path = _write(tmp_path, content)
    for read in (reader.lines, lambda path: list(reader.chunks(path, 100))):
        with pytest.raises(UserError) as error:
            read(path)
        assert part in str(error.value)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_word_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LONG", 1000)
    for content in (b"x" * 3000, b"a b " + b"x" * 3000, b"a\n" + b"x" * 3000 + b"\nb\n"):
        path = _write(tmp_path, content)
        for read in (reader.lines, lambda path: list(reader.chunks(path, 100))):
            with pytest.raises(UserError, match="has a word of more than 1,000 characters. Put blanks"):
                read(path)


def test_pieces_and_words_are_the_line():
    generator = random.Random(0)
    blanks = [chr(code) for code in range(0x3001) if chr(code).isspace()]
    for _ in range(500):
        line = "".join(generator.choice([*"abé", *blanks]) for _ in range(generator.randrange(60)))
        for size in (1, 5, 30):
            pieces = list(reader.pieces(line, size))
            assert "".join(pieces) == line
            assert [word for piece in pieces for word in piece.split()] == line.split()
            assert all(len(piece) <= size or len(piece.split()) == 1 for piece in pieces)
        assert list(reader.words(line)) == line.split()


def test_a_word_longer_than_a_piece_is_left_whole(monkeypatch):
    monkeypatch.setattr(unpacking, "BLOCK", 8)
    line = "a " + "x" * 100 + " b " + "y" * 100
    assert list(reader.words(line)) == line.split()


def test_a_pipe_gives_its_lines(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"one\ntwo\r\n" * 30_000,))
    writer.start()
    assert _joined(reader.chunks(tmp_path / "pipe", 100)) == ["one", "two"] * 30_000
    writer.join()


MEMORY = """
import sys, tracemalloc
from pathlib import Path
from bayesnas_tf.data import reader, text
tracemalloc.start()
if sys.argv[2] == "train":
    text.source(sys.argv[1], "", "", ".")
else:
    for chunk in reader.chunks(Path(sys.argv[1]), 1 << 16):
        pass
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize(("what", "most"), [("train", 6.0), ("score", 2.0)])
def test_one_huge_line_needs_no_more_than_a_few_times_its_size(what, most, tmp_path):
    content = b"some words of a text without line ends " * 500_000  # 20 MB
    path = _write(tmp_path, content)
    command = [sys.executable, "-c", MEMORY, str(path), what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < most * len(content)


def test_the_reader_imports_no_tensorflow():
    program = "import sys; from bayesnas_tf.data import reader; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
