"""What was prepared once: long lines in pieces, damage that is repaired or told, names of data folders."""

import json
import random

import numpy as np
import pytest

from bayesnas_tf.data import builders, corpora, sources
from bayesnas_tf.data.corpora import loading
from bayesnas_tf.data.vocabulary import EOS, Vocabulary
from bayesnas_tf.errors import UserError

LINES = [f"w{k % 7} w{k % 11} line{k}" for k in range(300)]


def source(lines):
    return sources.Source("text", sources.digest(lines), lambda split: lines if split == "train" else ["x"])


@pytest.fixture
def own(data_dir):
    """Options of a small text corpus in the data folder."""
    (data_dir / "own.txt").write_text("\n".join(LINES) + "\n")
    return corpora.CorpusOptions(name="text", train_file=str(data_dir / "own.txt"), vocabulary_size=50)


def test_long_lines_come_back_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "LONG", 20)
    monkeypatch.setattr(builders, "READ_BYTES", 50)
    generator = random.Random(0)
    lines = [
        "".join(generator.choice("ab\u00e9  \u2003") for _ in range(k)) for k in (0, 19, 20, 21, 500, 0, 3)
    ]
    lines += ["x" * 100, "y" * 100 + " z", "ends in a blank     " * 3]
    builder = builders.prepare(source(lines), tmp_path)
    assert list(builders.lines(builder, "train")) == lines
    assert builder.info.splits["train"].num_examples > len(lines)


def test_a_corpus_of_one_line_has_the_tokens_of_that_line(data_dir, monkeypatch):
    monkeypatch.setattr(builders, "LONG", 100)
    words = [f"w{k % 37}" for k in range(3000)]
    (data_dir / "one.txt").write_text(" ".join(words))
    corpus = corpora.load(corpora.CorpusOptions("text", "one.txt", vocabulary_size=20), data_dir)
    train, valid, test = (list(corpus.stream(split)) for split in sources.SPLITS)
    assert len(train) + len(valid) + len(test) == len(words) + 3
    assert corpus.vocabulary == Vocabulary.build([*words[: len(train) - 1], EOS], 20)
    assert [*train[:-1], *valid[:-1], *test[:-1]] == list(corpus.vocabulary.ids(words))
    assert train[-1] == valid[-1] == test[-1] == corpus.vocabulary.eos_id


def test_ids_are_those_of_the_plain_definition(own, data_dir):
    corpus = corpora.load(own, data_dir)
    tokens = [token for line in LINES[:270] for token in (*line.split(), EOS)]
    assert corpus.vocabulary == Vocabulary.build(tokens, 50)
    np.testing.assert_array_equal(corpus.train, corpus.vocabulary.ids(tokens))


def kept(data_dir):
    (path,) = (data_dir / "ids").iterdir()
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {"train": np.array([0, 50], np.int32)},
        {"valid": np.array([-1], np.int32)},
        {"test": np.zeros([2, 2], np.int32)},
        {"train": np.zeros([5], np.float32)},
        {"train": np.zeros([0], np.int32)},
        {"words": np.frombuffer(b"a\na", np.uint8)},
        {"words": np.frombuffer(b"\xff", np.uint8)},
        {"words": np.array([{}], object)},
    ],
    ids=range(8),
)
def test_kept_ids_that_cannot_be_are_made_anew(changed, own, data_dir):
    first = corpora.load(own, data_dir)
    with np.load(kept(data_dir)) as data:
        content = dict(data)
    np.savez(kept(data_dir), **{**content, **changed})
    again = corpora.load(own, data_dir)
    assert again.digest() == first.digest()


def test_any_damage_to_kept_ids_is_repaired(own, data_dir):
    path, generator = (corpora.load(own, data_dir), kept(data_dir))[1], random.Random(0)
    whole = path.read_bytes()
    for name in ("array.npy", "text"):
        path.write_bytes(b"\x93NUMPY" if name == "text" else b"")
        assert loading._read(path, "text") is None
    with path.open("wb") as file:
        np.save(file, np.zeros(3))  # no archive but one array
    assert loading._read(path, "text") is None
    wanted = {"train", "valid", "test"}
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        found = loading._read(path, "text")
        assert found is None or wanted < set(found._fields)


def prepared(data_dir, own):
    """The folder of a prepared corpus whose kept ids are gone."""
    corpora.load(own, data_dir)
    kept(data_dir).unlink()
    (folder,) = data_dir.glob("tfds/text/*/*")
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def one_line_less(path):
    content = path.read_bytes()
    at, ends = 0, []
    while at < len(content):  # a record is its length, a sum, the data, a sum
        at += 8 + 4 + int.from_bytes(content[at : at + 8], "little") + 4
        ends.append(at)
    path.write_bytes(content[: ends[-2]])


def spoilt(path):
    content = bytearray(path.read_bytes())
    content[30] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, one_line_less, spoilt, lambda path: path.unlink()])
def test_damage_to_a_prepared_text_is_one_line_that_names_the_folder(harm, own, data_dir):
    folder = prepared(data_dir, own)
    harm(folder / "text-train.tfrecord-00000-of-00001")
    with pytest.raises(UserError) as error:
        corpora.load(own, data_dir)
    assert str(folder) in str(error.value)
    assert "is damaged" in str(error.value)
    assert "Delete that folder" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"a": 1}), None])
def test_damage_to_what_describes_a_prepared_text_is_told_or_harmless(name, content, own, data_dir):
    first = corpora.load(own, data_dir)
    folder = prepared(data_dir, own)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    try:
        assert corpora.load(own, data_dir).digest() == first.digest()
    except UserError as error:
        assert str(folder) in str(error)
        assert "Delete that folder" in str(error)
        assert "\n" not in str(error)


def test_a_data_folder_of_nobody_is_one_line(own):
    with pytest.raises(UserError, match="no user"):
        corpora.load(own, "~nobody-of-that-name/data")
