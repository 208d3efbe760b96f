"""Tokenisation as string operations of a graph: what a SavedModel does with a line of text.

Each rule has two forms that must agree, one in Python (that of `data`) and one in the graph.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.data import sotu

# What str.split() splits at.
_BLANK = r"[\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
# data.sotu's tokens in the syntax of RE2, whose \d and \b know ASCII alone.
_LETTER = r"[\p{L}\p{Nl}\p{No}]"
_NUMBER = r"\p{Nd}+(?:[.,:]\p{Nd}+)*(?:st|nd|rd|th)?\b|\p{Nd}+"
_SOTU = rf"({_NUMBER}|'?{_LETTER}+|--+|\.\.+|[^ ])"


class Rule(NamedTuple):
    """How a corpus cuts a line into tokens, `<eos>` not among them."""

    python: Callable[[str], list[str]]
    graph: Callable[[tf.Tensor], tf.RaggedTensor]  # string [N] -> string [N, tokens]
    note: str  # for the user of a SavedModel


def clean(lines):
    """UTF-8 lines with every run of white space as one blank; bytes that are no UTF-8 become U+FFFD."""
    text = tf.strings.unicode_transcode(lines, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(text, _BLANK, " ")


def _blank_separated(lines):
    return tf.strings.split(clean(lines))


def _sotu(lines):
    text = tf.strings.regex_replace(clean(lines), "\u2019", "'")
    text = tf.strings.regex_replace(text, r"\x00", "\ufffd")  # at which strings.lower would stop
    text = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), _SOTU, r" \0 ")
    return tf.ragged.map_flat_values(_numbers_as_n, tf.strings.split(text))


def _numbers_as_n(tokens):
    return tf.where(tf.strings.regex_full_match(tokens, r"\p{Nd}.*"), "N", tokens)


_SEPARATED = Rule(str.split, _blank_separated, "Tokens are what white space separates; case is kept.")
_ADDRESSES = Rule(
    lambda line: sotu.tokenise(line.replace("\u2019", "'").replace("\0", "\ufffd")),
    _sotu,
    "A line is one sentence of plain English: it is lower-cased, its numbers become N, its punctuation marks "
    "become tokens. Sentences are not told apart inside a line, as they are when the corpus is prepared. A "
    "number with a letter outside ASCII right behind it may be cut elsewhere than in the corpus.",
)

RULES: dict[str, Rule] = {
    "ptb": _SEPARATED,
    "wikitext2": _SEPARATED,
    "text": _SEPARATED,
    "sotu": _ADDRESSES,
}
