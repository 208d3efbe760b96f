"""Corpora end to end: builders, order, ids, kept ids, statistics, and the real PTB and WikiText-2."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayesnas_tf.data import builders, corpora, sources
from bayesnas_tf.data import corpora as module
from bayesnas_tf.data.corpora import ptb
from bayesnas_tf.data.vocabulary import EOS, UNK, Vocabulary
from bayesnas_tf.errors import UserError

LINES = [f"w{k % 7} w{k % 11} line{k}" for k in range(300)]


@pytest.fixture
def own(data_dir):
    """Options of a small text corpus in the data folder."""
    (data_dir / "own.txt").write_text("\n".join(LINES) + "\n")
    return corpora.CorpusOptions(name="text", train_file=str(data_dir / "own.txt"), vocabulary_size=50)


def _source(lines):
    return sources.Source("text", sources.digest(lines), lambda split: lines if split == "train" else ["x"])


def test_a_builder_gives_back_every_line_in_order(tmp_path):
    lines = [f"{k} é {'x' * (k % 50)}" for k in range(builders.READ_BATCH + 100)]
    lines[5] = ""
    builder = builders.prepare(_source(lines), tmp_path)
    assert list(builders.lines(builder, "train")) == lines
    assert builder.info.disable_shuffling
    assert [path.name for path in tmp_path.iterdir()] == ["text"]  # nothing temporary is left


def test_every_corpus_has_a_builder():
    assert set(builders.BUILDERS) == set(corpora.RECORDS) == set(corpora.Name.__args__)


def test_lines_out_of_order_are_noticed(tmp_path, monkeypatch):
    builder = builders.prepare(_source(["a", "b"]), tmp_path)
    backwards = (
        builder.as_dataset(split="train", batch_size=None)
        .take(2)
        .batch(2)
        .map(lambda batch: {key: value[::-1] for key, value in batch.items()})
    )
    monkeypatch.setattr(type(builder), "as_dataset", lambda self, **_: backwards)
    with pytest.raises(UserError, match="is damaged: the lines of train come out of order. Delete"):
        list(builders.lines(builder, "train"))


def test_streams_are_the_lines_with_eos(own, data_dir):
    corpus = corpora.load(own, data_dir)
    expected = {"train": LINES[:270], "valid": LINES[270:285], "test": LINES[285:]}
    for split, lines in expected.items():
        tokens = [token for line in lines for token in [*line.split(), EOS]]
        assert corpus.stream(split).dtype == np.int32
        np.testing.assert_array_equal(corpus.stream(split), corpus.vocabulary.ids(tokens))
    assert len(corpus.vocabulary) == 50
    assert corpus.vocabulary.unk_id in corpus.valid


def test_the_second_load_reads_kept_ids_and_neither_tensorflow_nor_pandas(own, data_dir):
    first = corpora.load(own, data_dir)
    program = (
        "import sys; from bayesnas_tf.data import corpora\n"
        f"c = corpora.load({own!r}, {str(data_dir)!r})\n".replace("CorpusOptions", "corpora.CorpusOptions")
        + "assert not {'tensorflow', 'tensorflow_datasets', 'pandas'} & set(sys.modules)\n"
        "print(len(c.vocabulary), c.train.sum(), c.test.sum())"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout.split() == [str(n) for n in (50, first.train.sum(), first.test.sum())]


def test_kept_ids_equal_fresh_ones_and_damage_is_repaired(own, data_dir):
    first = corpora.load(own, data_dir)
    (kept,) = (data_dir / "ids").iterdir()
    for damage in (None, b"", kept.read_bytes()[:1000], b"PK garbage"):
        if damage is not None:
            kept.write_bytes(damage)
        again = corpora.load(own, data_dir)
        assert again.vocabulary == first.vocabulary
        for split in sources.SPLITS:
            np.testing.assert_array_equal(again.stream(split), first.stream(split))


def test_other_text_or_options_are_not_mixed_up(own, data_dir):
    first = corpora.load(own, data_dir)
    smaller = corpora.load(corpora.CorpusOptions("text", own.train_file, vocabulary_size=20), data_dir)
    assert len(smaller.vocabulary) == 20
    (data_dir / "own.txt").write_text("other text\n" * 50)
    other = corpora.load(own, data_dir)
    assert set(other.vocabulary.tokens) == {"other", "text", EOS, UNK}
    assert len(first.train) != len(other.train)


def test_a_read_only_data_folder_is_not_written_to(own, data_dir, cache):
    before = sorted(data_dir.iterdir())
    data_dir.chmod(0o555)
    corpora.load(own, data_dir)
    assert sorted(data_dir.iterdir()) == before
    assert (cache / "ids").is_dir()
    assert (cache / "tfds").is_dir()


def test_a_process_that_is_not_the_first_uses_what_the_first_prepared(tmp_path, monkeypatch):
    rename = os.rename

    def rename_too_late(source, target):
        if ".preparing-" not in str(target):
            shutil.copytree(source, target)  # what another process has just moved there
        rename(source, target)

    monkeypatch.setattr(builders.os, "rename", rename_too_late)
    builder = builders.prepare(_source(["a", "b"]), tmp_path)
    assert list(builders.lines(builder, "train")) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.slow  # imports TensorFlow twice
def test_two_processes_that_prepare_at_once_agree(own, data_dir):
    program = (
        "from bayesnas_tf.data import builders, corpora\n"
        "print('ready', flush=True); input()\n"
        f"c = corpora.load(corpora.{own!r}, {str(data_dir)!r})\n"
        "print(len(c.vocabulary), c.train.sum(), c.valid.sum(), c.test.sum())"
    )
    command = [sys.executable, "-c", program]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    corpus = corpora.load(own, data_dir)
    assert outputs == {f"50 {corpus.train.sum()} {corpus.valid.sum()} {corpus.test.sum()}\n"}
    assert sorted(path.name for path in (data_dir / "tfds").iterdir()) == ["text"]
    assert len(list((data_dir / "ids").iterdir())) == 1


def test_a_prepared_corpus_needs_neither_its_files_nor_a_network(data_dir, monkeypatch):
    content = b" a <unk> b \n"
    files = {split: (f"{split}.txt", hashlib.md5(content).hexdigest()) for split in sources.SPLITS}
    monkeypatch.setattr(ptb, "FILES", sources.Published("ptb", files, "ptb.tgz", ()))
    for file, _ in files.values():
        (data_dir / file).write_bytes(content)
    first = corpora.load(corpora.CorpusOptions("ptb"), data_dir)
    for file, _ in files.values():
        (data_dir / file).unlink()
    again = corpora.load(corpora.CorpusOptions("ptb"), data_dir)
    assert again.vocabulary.tokens == first.vocabulary.tokens == ("a", UNK, "b", EOS)
    assert list(again.test) == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", [1, 100, 10**9])
def test_a_limit_keeps_the_first_tokens_and_the_vocabulary(limit, own, data_dir):
    whole = corpora.load(own, data_dir)
    part = corpora.load(corpora.CorpusOptions("text", own.train_file, "", "", 50, limit), data_dir)
    assert part.vocabulary == whole.vocabulary
    kept = min(limit, max(limit // 10, 1000))
    np.testing.assert_array_equal(part.train, whole.train[:limit])
    np.testing.assert_array_equal(part.valid, whole.valid[:kept])
    np.testing.assert_array_equal(part.test, whole.test[:kept])


def test_unigram_statistics_equal_their_definition():
    ids = [np.array(stream, np.int32) for stream in ([0, 0, 1, 2, 0], [1, 3], [2])]
    corpus = corpora.Corpus("toy", Vocabulary(("a", "b", "c", "d")), *ids)
    p = np.array([4, 2, 2, 1]) / 9.0
    np.testing.assert_allclose(corpus.log_frequencies(), np.log(p), rtol=1e-6)
    assert corpus.log_frequencies().dtype == np.float32
    assert corpus.unigram_nats("valid") == pytest.approx(-(np.log(2 / 9) + np.log(1 / 9)) / 2, rel=1e-12)
    with pytest.raises(ValueError, match="train, valid, test"):
        corpus.unigram_nats("validation")


@pytest.mark.parametrize("bad", [{"name": "pbt"}, {"vocabulary_size": 1}, {"limit_tokens": -1}])
def test_impossible_options_are_named(bad):
    with pytest.raises(ValueError, match=f"CorpusOptions.{next(iter(bad))}"):
        corpora.CorpusOptions(**bad)


def test_files_of_ones_own_with_another_corpus_are_not_silently_ignored():
    with pytest.raises(ValueError, match="valid_file is set but corpus ptb"):
        corpora.CorpusOptions("ptb", valid_file="a.txt")


def test_an_unknown_text_file_is_a_user_error(data_dir):
    with pytest.raises(UserError, match="no file"):
        corpora.load(corpora.CorpusOptions("text", "absent.txt"), data_dir)


REAL = {
    "ptb": (10_000, 929_589, 73_760, 82_430),
    "wikitext2": (33_278, 2_088_628, 217_646, 245_569),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_corpora_have_the_published_counts(name, data_dir, request):
    named = Path(os.environ.get("BAYESNAS_DATA", "")) / name
    real = named if named.is_absolute() and named.is_dir() else request.getfixturevalue("corpora") / name
    (data_dir / name).symlink_to(real)  # so that ids kept beside the files are neither used nor written
    corpus = corpora.load(corpora.CorpusOptions(name=name), data_dir)
    sizes = (len(corpus.vocabulary), len(corpus.train), len(corpus.valid), len(corpus.test))
    assert sizes == REAL[name]
    assert len(np.unique(np.concatenate(corpus[2:]))) == sizes[0]
    first = {"ptb": "aer banknote berlitz calloway", "wikitext2": "<eos> = Valkyria Chronicles"}[name]
    assert list(corpus.vocabulary.tokens[:4]) == first.split()
    np.testing.assert_array_equal(np.sort(np.unique(corpus.train, return_index=True)[1])[:4], range(4))
    assert 6.0 < corpus.unigram_nats("valid") < 7.2


def test_a_published_corpus_takes_a_smaller_vocabulary_under_another_name(corpora, tmp_path):
    options = module.CorpusOptions(name="ptb", vocabulary_size=2000)
    few, whole = (module.load(one, corpora) for one in (options, module.CorpusOptions(name="ptb")))
    assert (few.name, whole.name) == ("ptb-2000", "ptb")
    assert (len(few.vocabulary), len(whole.vocabulary)) == (2000, 10_000)
    assert len(few.train) == len(whole.train) == 929_589
    counts = np.bincount(whole.train)
    rare = np.sort(counts)[::-1][1999]
    kept = {whole.vocabulary.tokens[k] for k in np.flatnonzero(counts > rare)}
    assert kept < set(few.vocabulary.tokens)
    words = np.array(few.vocabulary.tokens)[few.train]
    original = np.array(whole.vocabulary.tokens)[whole.train]
    assert ((words == original) | (words == UNK)).all()
    assert few.digest() != whole.digest()


@pytest.mark.parametrize(
    ("options", "cut", "name"),
    [
        ({"name": "ptb"}, None, "ptb"),
        ({"name": "ptb", "vocabulary_size": 10_000}, None, "ptb"),
        ({"name": "ptb", "vocabulary_size": 50_000}, None, "ptb"),
        ({"name": "wikitext2", "vocabulary_size": 10_000}, 10_000, "wikitext2-10000"),
        ({"name": "sotu"}, 10_000, "sotu"),
        ({"name": "sotu", "vocabulary_size": 50}, 50, "sotu"),
        ({"name": "text", "train_file": "a"}, 10_000, "text"),
    ],
)
def test_a_vocabulary_is_cut_where_its_corpus_has_more(options, cut, name):
    chosen = module.CorpusOptions(**options)
    assert (module.cut_to(chosen), module.name_of(chosen)) == (cut, name)
