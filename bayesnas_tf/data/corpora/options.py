"""Which corpus, and how much of it."""

import dataclasses
from typing import Annotated, Literal

import gin

from bayesnas_tf.data.corpora.records import RECORDS
from bayesnas_tf.options import FilePath, Options, Range, Whole

USUAL_SIZE = 10_000  # of the vocabulary of a corpus that has none of its own

Name = Literal["ptb", "wikitext2", "sotu", "text"]


@gin.register(module="bayesnas_tf.data.corpora")
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

    name: Name = "ptb"  # which corpus; text: files of your own
    train_file: FilePath = ""  # of `text`: training lines
    valid_file: FilePath = ""  # of `text`; empty: 5 % of the training lines, before those of the test
    test_file: FilePath = ""  # of `text`; empty: the last 5 % of the training lines
    # most frequent tokens to keep; 0: 10,000 of sotu and text, all of ptb and wikitext2
    vocabulary_size: Annotated[int, Range(0, 10_000_000)] = 0
    limit_tokens: Whole = 0  # training tokens to keep, and a tenth of it in the other splits; 0: all

    def __post_init__(self):
        """Refuse files that nothing reads."""
        super().__post_init__()
        if self.vocabulary_size == 1:
            raise ValueError("CorpusOptions.vocabulary_size=1 must be at least 2, for <unk> and <eos>")
        unread = [key for key in ("train_file", "valid_file", "test_file") if getattr(self, key)]
        if self.name != "text" and unread:
            raise ValueError(
                f"CorpusOptions.{unread[0]} is set but corpus {self.name} does not read your files. "
                "Set CorpusOptions.name = 'text' or remove it"
            )


def cut_to(options: CorpusOptions) -> int | None:
    """The size to which a vocabulary is cut; None: the corpus has its own."""
    size, own = options.vocabulary_size, RECORDS[options.name].types
    if not own:
        return size or USUAL_SIZE
    return size if 0 < size < own else None


def name_of(options: CorpusOptions) -> str:
    """How the corpus is called: a published one with a smaller vocabulary than its own is another one."""
    size = cut_to(options) if RECORDS[options.name].types else None
    return options.name if size is None else f"{options.name}-{size}"
