"""A corpus as streams of ids.

The first load of a corpus prepares it with TensorFlow Datasets; its ids are kept beside that, under a name
that holds a digest of the text and of the options, and later loads read only them.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.data import reader, sources, storage
from bayesnas_tf.data.corpora.options import CorpusOptions, cut_to, name_of
from bayesnas_tf.data.corpora.records import RECORDS
from bayesnas_tf.data.vocabulary import EOS, Vocabulary
from bayesnas_tf.errors import expanded, unknown

IDS_FORMAT = "1"  # raise it when the ids of a line of text change
HELD_OUT_SHARE = 10  # `limit_tokens` leaves this many times fewer tokens to valid and to test,
HELD_OUT_MIN = 1000  # but enough that a batch of rows can be cut from them


class Corpus(NamedTuple):
    """A vocabulary and three streams of its ids, int32 [N], with `<eos>` after each line."""

    name: str
    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def stream(self, split: str) -> np.ndarray:
        """The ids of `train`, `valid` or `test`."""
        if split not in sources.SPLITS:
            raise ValueError(unknown("split", split, sources.SPLITS))
        return getattr(self, split)

    def digest(self) -> str:
        """16 hex digits that change with any token of any split, and with the vocabulary."""
        streams = (self.stream(split).tobytes() for split in sources.SPLITS)
        return sources.digest(["\n".join(self.vocabulary.tokens), *streams])

    def log_frequencies(self) -> np.ndarray:
        """Log probability of each token by its count in train, one added to each count; float32 [V]."""
        return self._log_frequencies().astype(np.float32)

    def unigram_nats(self, split: str) -> float:
        """Cross entropy of a split under `log_frequencies`, in nats per token: what no context can buy."""
        return float(-np.mean(self._log_frequencies()[self.stream(split)]))

    def _log_frequencies(self) -> np.ndarray:
        counts = np.bincount(self.train, minlength=len(self.vocabulary)) + 1.0
        return np.log(counts / counts.sum())


def load(options: CorpusOptions, data_dir: str | Path) -> Corpus:
    """The corpus that `options` name, from files in `data_dir` where it needs any.

    What is prepared is kept under `data_dir`, or under the cache folder when that cannot be written.
    `UserError` when files are missing, wrong, empty or cannot be downloaded.
    """
    data_dir = expanded(data_dir)
    source = RECORDS[options.name].read((options.train_file, options.valid_file, options.test_file), data_dir)
    size, name = cut_to(options), name_of(options)
    root = storage.derived_root(data_dir)
    path = root / "ids" / f"{options.name}-{sources.digest([source.fingerprint, str(size), IDS_FORMAT])}.npz"
    corpus = _read(path, name)
    if corpus is None:
        corpus = _prepare(source, size, root)._replace(name=name)
        storage.write_atomically(path, _packed(corpus))
    return _limited(corpus, options.limit_tokens) if options.limit_tokens else corpus


def _prepare(source: sources.Source, size: int | None, root: Path) -> Corpus:
    """Build the corpus from its lines; `size` limits the vocabulary to the most frequent tokens of train."""
    from bayesnas_tf.data import builders  # seconds, and only needed here

    builder = builders.prepare(source, root / "tfds")
    number_of: dict[str, int] = {}  # of each token, by first appearance
    streams = []
    for split in sources.SPLITS:
        tokens = _tokens(builders.lines(builder, split))
        streams.append(np.fromiter((number_of.setdefault(t, len(number_of)) for t in tokens), np.int32))
    counts = np.bincount(streams[0], minlength=0 if size else len(number_of)).tolist()
    vocabulary = Vocabulary.of_counts(dict(zip(number_of, counts, strict=False)), size)
    ids = vocabulary.ids(number_of)
    return Corpus(source.name, vocabulary, *(ids[stream] for stream in streams))


def _tokens(lines: Iterable[str]) -> Iterator[str]:
    """The tokens of all lines, `<eos>` after each; an empty line is a lone `<eos>`, as in AWD-LSTM."""
    for line in lines:
        yield from reader.words(line)
        yield EOS


def _limited(corpus: Corpus, tokens: int) -> Corpus:
    """The first `tokens` of train and a tenth of that, or what is the least, of valid and test."""
    held_out = max(tokens // HELD_OUT_SHARE, min(tokens, HELD_OUT_MIN))
    return corpus._replace(
        train=corpus.train[:tokens], valid=corpus.valid[:held_out], test=corpus.test[:held_out]
    )


def _packed(corpus: Corpus) -> bytes:
    """The content of an npz file; the vocabulary is one UTF-8 text, since no token holds whitespace."""
    buffer = io.BytesIO()
    words = np.frombuffer("\n".join(corpus.vocabulary.tokens).encode(), np.uint8)
    np.savez(buffer, words=words, train=corpus.train, valid=corpus.valid, test=corpus.test)
    return buffer.getvalue()


def _read(path: Path, name: str) -> Corpus | None:
    """The corpus in an npz file, or None when the file is not there, damaged or holds anything else."""
    try:
        data = storage.read_arrays(path)
        vocabulary = Vocabulary(tuple(data["words"].tobytes().decode().split("\n")))
        streams = [data[split] for split in sources.SPLITS]
    except (ValueError, KeyError):
        return None
    for ids in streams:
        if ids.dtype != np.int32 or ids.ndim != 1 or not len(ids):
            return None
        if ids.min() < 0 or ids.max() >= len(vocabulary):
            return None
    return Corpus(name, vocabulary, *streams)
