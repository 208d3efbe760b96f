"""What is known of a corpus before any of it is read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.data import sources

Reader = Callable[[tuple[str, str, str], Path], sources.Source]  # files of the user, data folder


class Record(NamedTuple):
    """One corpus; `types` and `train_tokens` are 0 where nobody has agreed on them."""

    name: str
    about: str
    terms: str  # under which the text may be used
    licence: Mapping[str, str]  # the same, as the metadata of model hubs say it
    read: Reader
    language: str | None = "en"
    homepage: str = ""
    citation: str = ""  # as BibTeX
    types: int = 0  # tokens of its own vocabulary
    train_tokens: int = 0  # with `<eos>`, so that to plan a run needs no download
