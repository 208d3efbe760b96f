"""Corpora as streams of ids: ptb, wikitext2, sotu and the user's own text.

The first load of a corpus prepares it with TensorFlow Datasets; its ids are kept beside that, under a name
that holds a digest of the text and of the options, and later loads read only them.
"""

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import gin
import numpy as np

from bayesnas_tf.data import reader, sotu, sources, storage, text
from bayesnas_tf.data.vocabulary import EOS, Vocabulary
from bayesnas_tf.errors import expanded
from bayesnas_tf.options import FilePath, Options, Range, Whole

OWN_WORDS = ("sotu", "text")  # corpora without an agreed vocabulary
USUAL_SIZE = 10_000  # of theirs
IDS_FORMAT = "1"  # raise it when the ids of a line of text change
HELD_OUT_SHARE = 10  # `limit_tokens` leaves this many times fewer tokens to valid and to test,
HELD_OUT_MIN = 1000  # but enough that a batch of rows can be cut from them

Name = Literal["ptb", "wikitext2", "sotu", "text"]


@gin.register
@dataclasses.dataclass(frozen=True)
class CorpusOptions(Options):
    """Which corpus, and how much of it.

    `train_file`, `valid_file` and `test_file` are read by `text` only, relative to the working folder or the
    data folder; a missing valid or test file is replaced by the last 5 % of the training lines.
    `vocabulary_size` keeps the most frequent tokens of train, `<unk>` and `<eos>` among them; all others
    become `<unk>`. 0 keeps 10,000 of `sotu` and `text`, and all of the published corpora. Those have another
    name with fewer (`ptb-2000`): perplexities under two vocabularies do not compare.
    `limit_tokens` keeps the first so many tokens of train and a tenth of that (at least 1,000, but no more
    than of train) of valid and test, with the whole vocabulary; 0 keeps all.
    """

    name: Name = "ptb"
    train_file: FilePath = ""
    valid_file: FilePath = ""
    test_file: FilePath = ""
    vocabulary_size: Annotated[int, Range(0, 10_000_000)] = 0
    limit_tokens: Whole = 0

    def __post_init__(self):
        """Refuse files that nothing reads."""
        super().__post_init__()
        if self.vocabulary_size == 1:
            raise ValueError("CorpusOptions.vocabulary_size=1 must be at least 2, for <unk> and <eos>")
        unread = [key for key in ("train_file", "valid_file", "test_file") if getattr(self, key)]
        if self.name != "text" and unread:
            raise ValueError(
                f"CorpusOptions.{unread[0]} is set but corpus {self.name} reads no files of yours. "
                "Set CorpusOptions.name = 'text' or remove it"
            )


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
            raise ValueError(f"unknown split {split!r}. The splits are {', '.join(sources.SPLITS)}")
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


PUBLISHED = {"ptb": sources.PTB, "wikitext2": sources.WIKITEXT2}
_SOURCES: dict[str, Callable[[CorpusOptions, Path], sources.Source]] = {
    "ptb": lambda options, data_dir: sources.published(sources.PTB, data_dir),
    "wikitext2": lambda options, data_dir: sources.published(sources.WIKITEXT2, data_dir),
    "sotu": lambda options, data_dir: sotu.source(),
    "text": lambda options, data_dir: text.source(
        options.train_file, options.valid_file, options.test_file, data_dir
    ),
}


def load(options: CorpusOptions, data_dir: str | Path) -> Corpus:
    """The corpus that `options` name, from files in `data_dir` where it needs any.

    What is prepared is kept under `data_dir`, or under the cache folder when that cannot be written.
    `UserError` when files are missing, wrong, empty or cannot be downloaded.
    """
    data_dir = expanded(data_dir)
    source = _SOURCES[options.name](options, data_dir)
    size, name = cut_to(options), name_of(options)
    root = storage.derived_root(data_dir)
    path = root / "ids" / f"{options.name}-{sources.digest([source.fingerprint, str(size), IDS_FORMAT])}.npz"
    corpus = _read(path, name)
    if corpus is None:
        corpus = _prepare(source, size, root)._replace(name=name)
        storage.write_atomically(path, _packed(corpus))
    return _limited(corpus, options.limit_tokens) if options.limit_tokens else corpus


def cut_to(options: CorpusOptions) -> int | None:
    """The size to which a vocabulary is cut; None: the corpus has its own."""
    if options.name in OWN_WORDS:
        return options.vocabulary_size or USUAL_SIZE
    size = options.vocabulary_size
    return size if 0 < size < PUBLISHED[options.name].types else None


def name_of(options: CorpusOptions) -> str:
    """How the corpus is called: a published one with a smaller vocabulary than its own is another one."""
    size = None if options.name in OWN_WORDS else cut_to(options)
    return options.name if size is None else f"{options.name}-{size}"


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
