"""Corpora as streams of ids."""

import dataclasses
from typing import Literal, NamedTuple

import gin
import numpy as np

from bayesnas_tf.data import sotu, sources, text
from bayesnas_tf.data.vocabulary import EOS, Vocabulary

Name = Literal["ptb", "wikitext2", "sotu", "text"]


@gin.register
@dataclasses.dataclass(frozen=True)
class CorpusOptions:
    """Which corpus, and how much of it."""

    name: Name = "ptb"
    train_file: str = ""
    valid_file: str = ""
    test_file: str = ""
    vocabulary_size: int = 10000
    limit_tokens: int = 0


class Corpus(NamedTuple):
    """int32 streams of ids."""

    name: str
    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def log_frequencies(self):
        """Smoothed log frequencies."""
        counts = np.bincount(self.train, minlength=len(self.vocabulary)) + 1.0
        return np.log(counts / counts.sum()).astype(np.float32)

    def unigram_nats(self, split):
        """Cross entropy of a split."""
        return float(-self.log_frequencies()[getattr(self, split)].mean())


def load(options: CorpusOptions, data_dir) -> Corpus:
    """Read a corpus."""
    if options.name == "sotu":
        source = sotu.source()
    elif options.name == "text":
        source = text.source(options.train_file, options.valid_file, options.test_file, data_dir)
    else:
        source = sources.published(sources.PTB if options.name == "ptb" else sources.WIKITEXT2, data_dir)
    streams = {s: [t for line in source.lines(s) for t in [*line.split(), EOS]] for s in sources.SPLITS}
    size = options.vocabulary_size if options.name in ("sotu", "text") else None
    everything = streams["train"] if size else [t for s in sources.SPLITS for t in streams[s]]
    vocabulary = Vocabulary.build(everything, size)
    ids = [vocabulary.ids(streams[s]) for s in sources.SPLITS]
    if options.limit_tokens:
        ids = [a[: max(1, options.limit_tokens // d)] for a, d in zip(ids, (1, 10, 10), strict=True)]
    return Corpus(options.name, vocabulary, *ids)
