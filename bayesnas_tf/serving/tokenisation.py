"""Tokenisation as string operations of a graph: what a SavedModel does with a line of text.

Each rule has two forms that must agree, one in Python (that of `data`) and one in the graph; what can be is
derived from the first.
"""

import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.data import sotu

_MARK = "Q"  # a letter that no lower-cased text has


def character_class(holds: Callable[[str], bool]) -> str:
    """The characters for which `holds`, as RE2 writes a set of them between brackets.

    RE2 knows another version of Unicode than Python, and its short forms know ASCII alone.
    """
    ranges: list[list[int]] = []
    for code in range(1, sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF and holds(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)


@functools.cache
def _blank() -> str:
    """What str.split() splits at."""
    return character_class(str.isspace)


@functools.cache
def _letter(ascii: bool) -> str:
    """What is a letter for `data.sotu`, those of ASCII or all others."""
    return character_class(lambda c: c.isalnum() and not c.isdecimal() and c.isascii() == ascii)


@functools.cache
def _digit() -> str:
    """What is a digit for `data.sotu`."""
    return character_class(str.isdecimal)


class Rule(NamedTuple):
    """How a corpus cuts a line into tokens, `<eos>` not among them."""

    python: Callable[[str], list[str]]
    graph: Callable[[tf.Tensor], tf.RaggedTensor]  # string [N] -> string [N, tokens]
    note: str  # for the user of a SavedModel


def clean(lines):
    """UTF-8 lines with every run of white space as one blank; bytes that are no UTF-8 become U+FFFD."""
    text = tf.strings.unicode_transcode(lines, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(text, f"[{_blank()}]+", " ")


def _blank_separated(lines):
    return tf.strings.split(clean(lines))


def _sotu(lines):
    text = clean(lines)
    for curly, straight in sotu.STRAIGHT.items():
        text = tf.strings.regex_replace(text, curly, straight)
    text = tf.strings.regex_replace(text, r"\x00", "\ufffd")  # at which strings.lower would stop
    text = tf.strings.lower(text, encoding="utf-8")
    # RE2's \b knows ASCII alone: a digit becomes one of ASCII, and a letter that is none gets one before it
    text = tf.strings.regex_replace(text, f"[{_digit()}]", "0")
    text = tf.strings.regex_replace(text, f"([0a-z])([{_letter(ascii=False)}])", rf"\1{_MARK}\2")
    letter = f"[{_letter(ascii=True)}{_letter(ascii=False)}]"
    token = sotu.TOKEN.format(digit="0", letter=letter, sign="[^ ]")
    text = tf.strings.regex_replace(text, token, r" \0 ")
    return tf.ragged.map_flat_values(_numbers_as_n, tf.strings.split(text))


def _numbers_as_n(tokens):
    tokens = tf.strings.regex_replace(tokens, _MARK, "")
    return tf.where(tf.strings.regex_full_match(tokens, "0.*"), "N", tokens)


_SEPARATED = Rule(str.split, _blank_separated, "White space separates tokens. Case is kept.")
_ADDRESSES = Rule(
    lambda line: sotu.tokenise(sotu.straightened(line).replace("\0", "\ufffd")),
    _sotu,
    "A line is one sentence of plain English. Letters become lower case, quotes become straight, numbers "
    "become N and punctuation marks become tokens. A line is not split into sentences, but the preparation "
    "of the corpus does so. Letters that entered Unicode after 2020 keep their case.",
)

RULES: dict[str, Rule] = {
    "ptb": _SEPARATED,
    "wikitext2": _SEPARATED,
    "text": _SEPARATED,
    "sotu": _ADDRESSES,
}
