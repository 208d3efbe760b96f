"""The user's own files."""

import gzip
import lzma
import os

import pytest

from bayesnas_tf.data import sources, text, unpacking
from bayesnas_tf.errors import UserError


def _lines(source):
    return {split: list(source.lines(split)) for split in sources.SPLITS}


def _write(folder, name, lines):
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def test_three_files_are_the_three_splits(data_dir):
    for split in sources.SPLITS:
        _write(data_dir, f"{split}.txt", [split, "x"])
    source = text.source("train.txt", "valid.txt", "test.txt", data_dir)
    assert _lines(source) == {split: [split, "x"] for split in sources.SPLITS}


def test_files_are_found_in_the_working_folder_first(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write(data_dir, "a.txt", ["data folder"] * 3)
    assert _lines(text.source("a.txt", "", "", data_dir))["train"] == ["data folder"]
    _write(tmp_path, "a.txt", ["working folder"] * 3)
    assert _lines(text.source("a.txt", "", "", data_dir))["train"] == ["working folder"]


def test_one_file_gives_its_last_lines_to_the_other_splits(data_dir):
    lines = [f"line {k}" for k in range(100)]
    _write(data_dir, "all.txt", lines)
    found = _lines(text.source("all.txt", "", "", data_dir))
    assert found == {"train": lines[:90], "valid": lines[90:95], "test": lines[95:]}
    _write(data_dir, "test.txt", ["t"])
    found = _lines(text.source("all.txt", "", "test.txt", data_dir))
    assert found == {"train": lines[:95], "valid": lines[95:], "test": ["t"]}


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\t\n"])
@pytest.mark.parametrize("empty", sources.SPLITS)
def test_an_empty_file_is_named(empty, content, data_dir):
    for split in sources.SPLITS:
        (data_dir / f"{split}.txt").write_bytes(content if split == empty else b"a b\n")
    with pytest.raises(UserError, match=rf"empty corpus: .*{empty}\.txt"):
        text.source("train.txt", "valid.txt", "test.txt", data_dir)


def test_a_file_too_short_to_share_is_an_empty_corpus(data_dir):
    _write(data_dir, "one.txt", ["a line"])
    with pytest.raises(UserError, match="empty corpus"):
        text.source("one.txt", "", "", data_dir)


def test_a_missing_file_is_named_with_near_names(data_dir):
    _write(data_dir, "novel.txt", ["a"])
    with pytest.raises(UserError, match=r"no file novl\.txt .*Did you mean .*novel\.txt\?"):
        text.source("novl.txt", "", "", data_dir)
    with pytest.raises(UserError, match="Give the path"):
        text.source("nowhere/zzz", "", "", data_dir)


def test_a_compressed_file_is_unpacked(data_dir):
    (data_dir / "a.txt.xz").write_bytes(lzma.compress("é\n".encode() * 3))
    assert _lines(text.source("a.txt.xz", "", "", data_dir)) == {split: ["é"] for split in sources.SPLITS}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xz", b"\xfd7zXZ garbage", "cannot be read"),
        ("a.txt", "utf-16".encode("utf-16-le"), "not plain text"),
    ],
)
def test_a_file_that_is_no_text_is_named(name, content, reason, data_dir):
    (data_dir / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} .*{reason}"):
        text.source(name, "", "", data_dir)


def test_a_file_that_may_not_be_read_is_named(data_dir, monkeypatch):
    def refused(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    _write(data_dir, "a.txt", "abc")
    monkeypatch.setattr(unpacking.os, "open", refused)
    with pytest.raises(UserError, match=r"a\.txt cannot be read: permission denied"):
        text.source("a.txt", "", "", data_dir)


@pytest.mark.parametrize(
    "content", ["{0}", "{0}\n", "{0}\r", "a title\n{0}", "{0}\n\n\n\n", "\n" * 40 + "{0}\n"]
)
def test_a_text_of_one_line_gives_its_last_words_to_the_other_splits(content, data_dir):
    words = [f"w{k}" for k in range(1000)]
    (data_dir / "one.txt").write_text(content.format(" ".join(words)))
    found = {split: " ".join(lines).split() for split, lines in _lines(_one(data_dir)).items()}
    whole = [*found["train"], *found["valid"], *found["test"]]
    assert whole == content.format(" ".join(words)).split()
    for split in ("valid", "test"):
        assert len(found[split]) == pytest.approx(50, abs=5)


def _one(data_dir):
    return text.source("one.txt", "", "", data_dir)


@pytest.mark.parametrize("count", [3, 4, 19])
def test_even_a_few_words_are_shared(count, data_dir):
    (data_dir / "one.txt").write_text(" ".join("x" * 30 for _ in range(count)))
    assert all(lines[0] for lines in _lines(_one(data_dir)).values())


def test_a_text_of_one_line_with_a_test_file_gives_words_to_valid_alone(data_dir):
    (data_dir / "one.txt").write_text("a b c d")
    _write(data_dir, "test.txt", ["t"])
    found = _lines(text.source("one.txt", "", "test.txt", data_dir))
    assert found == {"train": ["a b c"], "valid": ["d"], "test": ["t"]}


def test_what_marks_and_line_ends_a_file_has_makes_no_difference(data_dir):
    lines = [f"é {k}" for k in range(60)]
    contents = {
        "plain": "\n".join(lines).encode(),
        "crlf": "\r\n".join([*lines, ""]).encode(),
        "cr": "\r".join([*lines, ""]).encode(),
        "marked": "\n".join(lines).encode("utf-8-sig"),
        "utf-16": "\r\n".join(lines).encode("utf-16"),
        "packed": gzip.compress("\n".join(lines).encode()),
    }
    prints = set()
    for name, content in contents.items():
        (data_dir / name).write_bytes(content)
        source = text.source(name, "", "", data_dir)
        prints.add(source.fingerprint)
        assert _lines(source)["train"] == lines[:54]
    assert len(prints) == 1


def _link(data_dir, target):
    (data_dir / "link").symlink_to(target)
    return "link"


def _folder(data_dir):
    (data_dir / "folder").mkdir()
    return "folder"


def _pipe(data_dir):
    os.mkfifo(data_dir / "pipe")
    return "pipe"


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (
            lambda data_dir: _link(data_dir, "nowhere"),
            "link cannot be read: it is a link to nowhere, which is not",
        ),
        (lambda data_dir: _link(data_dir, "link"), "link cannot be read: .*symbolic links"),
        (_folder, "folder cannot be read: it is a folder"),
        (_pipe, "pipe cannot be read: it is a pipe or a device, which can be read only once"),
        (lambda data_dir: "/dev/null", "/dev/null cannot be read: it is a pipe or a device"),
        (lambda data_dir: "~nobody-of-that-name/x", "no user '~nobody-of-that-name'"),
        (lambda data_dir: "x" * 300, "file name too long"),
        (lambda data_dir: "a\0b", "zero byte"),
        (lambda data_dir: _link(data_dir, "nowhere") + "/x", "link is a link to nowhere, which is not there"),
    ],
)
def test_a_name_of_no_file_is_one_line(make, part, data_dir):
    with pytest.raises(UserError, match=part) as error:
        text.source(make(data_dir), "", "", data_dir)
    assert "\n" not in str(error.value)


def test_no_file_at_all_names_the_setting(data_dir):
    with pytest.raises(UserError, match=r"CorpusOptions\.train_file"):
        text.source("", "", "", data_dir)


def test_the_fingerprint_follows_the_content(data_dir):
    _write(data_dir, "a.txt", "abcdef")
    _write(data_dir, "b.txt", "abcdef")
    _write(data_dir, "c.txt", "abcdeg")
    a, b, c = (text.source(f"{name}.txt", "", "", data_dir).fingerprint for name in "abc")
    assert a == b != c
