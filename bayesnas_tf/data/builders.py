"""TensorFlow Datasets builders: each corpus as lines of text, one example per line, in the order of the text.

Importing this module imports TensorFlow Datasets, which takes seconds: `corpora` does so only when a corpus
is prepared for the first time.
"""

import contextlib
import dataclasses
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from google.protobuf import json_format

from bayesnas_tf.data import reader, sources
from bayesnas_tf.data.corpora.records import RECORDS
from bayesnas_tf.errors import UserError

READ_BATCH = 4096  # lines per step when a prepared corpus is read back,
READ_BYTES = 1 << 24  # or fewer, where they are so long that their text has more than so many bytes
LONG = 1 << 16  # characters; longer lines are kept in pieces, each but the last with a line feed behind it


@dataclasses.dataclass
class SourceConfig(tfds.core.BuilderConfig):
    """A configuration named after the fingerprint of its source: other text, another folder."""

    source: sources.Source | None = None


class _Lines(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Lines of `SourceConfig.source`; a language model needs their order, so nothing is shuffled."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "One example per line."}
    # Nothing is downloaded through TFDS, whose search for checksums needs importlib_resources undeclared.
    url_infos: ClassVar[dict] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        record = RECORDS[self.name]
        return tfds.core.DatasetInfo(
            builder=self,
            description=record.about,
            features=tfds.features.FeaturesDict({"line": np.int64, "text": tfds.features.Text()}),
            disable_shuffling=True,
            homepage=record.homepage,
            citation=record.citation,
        )

    def _split_generators(self, dl_manager):
        """The raw text is already here: `sources` finds and checks it."""
        del dl_manager
        return {split: self._generate_examples(split) for split in sources.SPLITS}

    def _generate_examples(self, split):
        number = 0
        for line in self.builder_config.source.lines(split):
            *pieces, last = reader.pieces(line, LONG) if len(line) > LONG else (line,)
            for text in (*(f"{piece}\n" for piece in pieces), last):
                yield number, {"line": number, "text": text}
                number += 1


class Ptb(_Lines):
    """The Penn Treebank."""


class Wikitext2(_Lines):
    """WikiText-2."""


class Sotu(_Lines):
    """Addresses of US presidents."""


class Text(_Lines):
    """Files of the user's own."""


BUILDERS = {builder.name: builder for builder in (Ptb, Wikitext2, Sotu, Text)}


def prepare(source: sources.Source, root: Path) -> tfds.core.DatasetBuilder:
    """The builder of a corpus whose files lie under `root`; they are written when they are not there yet.

    Processes that prepare the same corpus at once do not disturb each other: each writes to a folder of its
    own, and the first to finish moves it into place. `UserError` when what lies there is damaged.
    """
    builder_class, config = BUILDERS[source.name], SourceConfig(name=source.fingerprint, source=source)
    place = Path(source.name) / source.fingerprint / str(builder_class.VERSION)
    if not (root / place).is_dir():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".preparing-", dir=root) as private, _quiet():
            builder_class(data_dir=private, config=config).download_and_prepare()
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(Path(private) / place, root / place)
            except OSError:
                if not (root / place).is_dir():  # another process was not first: a real error
                    raise
    try:
        with _quiet():
            return builder_class(data_dir=root, config=config)
    except (ValueError, AssertionError, KeyError, OSError, json_format.ParseError) as error:
        raise _damaged(root / place, " ".join(str(error).split())[:80]) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the builder's own bars, announcements and warnings off the terminal."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def lines(builder: tfds.core.DatasetBuilder, split: str) -> Iterator[str]:
    """The lines of a prepared split in the order of the text.

    Raises:
      UserError: they come in another order, cannot be read, or some are missing: its files are damaged.
    """
    if split not in builder.info.splits:
        raise _damaged(builder.data_dir, f"it has no split {split}")
    kept = builder.info.splits[split]
    mean_bytes = kept.num_bytes // max(1, kept.num_examples)
    expected, pieces = 0, []
    try:
        dataset = builder.as_dataset(
            split=split,
            batch_size=max(1, min(READ_BATCH, READ_BYTES // max(1, mean_bytes))),
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        for batch in dataset.as_numpy_iterator():
            numbers = batch["line"]
            if not np.array_equal(numbers, np.arange(expected, expected + len(numbers))):
                raise _damaged(builder.data_dir, f"the lines of {split} come out of order")
            expected += len(numbers)
            for text in batch["text"]:
                pieces.append(text.decode())
                if pieces[-1].endswith("\n"):
                    pieces[-1] = pieces[-1][:-1]
                else:
                    yield "".join(pieces)
                    pieces = []
    except tf.errors.OpError as error:
        raise _damaged(builder.data_dir, str(error).splitlines()[0]) from error
    if expected != kept.num_examples:
        raise _damaged(builder.data_dir, f"{split} has {expected} lines instead of {kept.num_examples}")


def _damaged(folder: str | Path, what: str) -> UserError:
    first = next(iter(what.splitlines()), "").rstrip(".") or "it cannot be read"
    return UserError(f"prepared text in {folder} is damaged: {first}. Delete that folder")
