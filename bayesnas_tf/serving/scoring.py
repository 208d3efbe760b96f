"""`score`: perplexity of a text file under a SavedModel, or the continuation of a prompt."""

import math
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf import files
from bayesnas_tf.data import reader
from bayesnas_tf.data.vocabulary import UNK
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.losses import perplexity
from bayesnas_tf.serving import generation

CHUNK = 1 << 16  # bytes of text that are scored at once, or one line if it is longer (but see `reader.LONG`)
NEEDED = ("score_next", "step", "encode", "decode")


class TextScore(NamedTuple):
    """Sums over a text; see `serving` for what is predicted."""

    lines: int
    words: int  # all tokens but the ends of lines
    unknown: int  # words that the model sees as <unk>
    tokens: int  # predicted
    nats: float


def generate(
    signatures, prompt: str, count: int, drawing: generation.Drawing, origin: str = "the prompt"
) -> list[str]:
    """The prompt, which comes from `origin`, and what the model writes after it.

    Words that it does not know are named on stderr.

    Raises:
      UserError: the prompt has a word for which the model has no token.
    """
    try:
        if strangers := generation.unknown_words(signatures, prompt):
            print(
                f"note: the model reads these words as {UNK}: {', '.join(map(repr, strangers))}",
                file=sys.stderr,
            )
        return generation.continued(signatures, prompt.encode(), count, drawing)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"cannot continue {origin}: {unknown_word(error)}. Use other words") from error


def load(path: Path):
    """A SavedModel as TensorFlow loads it.

    Raises:
      UserError: there is none in `path`, or it was not written by `export`.
    """
    if hindrance := reader.hindrance(path / "saved_model.pb"):
        told = "" if hindrance == reader.NOTHING else f": {hindrance}"
        raise UserError(f"no SavedModel in {path}{told}. Give the directory that `export` wrote")
    try:
        with files.unpatterned(path) as folder:
            loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # of many kinds where bytes are damaged
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"cannot load {path}. {reason}. Export the run again") from error
    lacking = [name for name in NEEDED if name not in loaded.signatures]
    if lacking:
        raise UserError(f"{path} has no signature {lacking[0]!r}. Give a SavedModel that `export` wrote")
    return loaded


def score_file(signatures, path: Path) -> TextScore:
    """Score the lines of a file, pipe or device as one text; `reader` says what may be in it.

    Raises:
      UserError: it cannot be read, nothing in it can be predicted, or it has a word for which the model has
        no token.
    """
    total = TextScore(0, 0, 0, 0, 0.0)
    carried = generation.start_of_text(signatures)
    for chunk in reader.chunks(path, CHUNK):
        lines = [line.encode() for line in chunk.lines]
        try:
            result = _score_next(signatures, lines, carried, chunk.goes_on)
        except tf.errors.InvalidArgumentError as error:
            line = total.lines + _refused(signatures, lines)
            told = f"cannot score {path}, line {line}: {unknown_word(error)}"
            raise UserError(f"{told}. Replace the word, or train with a vocabulary that has {UNK}") from error
        carried = {name: result[name] for name in carried}
        total = TextScore(
            total.lines + (0 if chunk.goes_on else len(lines)),
            total.words + int(result["words"]),
            total.unknown + int(tf.reduce_sum(result["unknown"])),
            total.tokens + int(tf.reduce_sum(result["tokens"])),
            total.nats + float(tf.reduce_sum(result["nats"])),
        )
    if not total.tokens:
        raise UserError(f"{path} has one empty line and nothing to predict. Give a file with text")
    if math.isnan(total.nats):
        raise UserError(f"the loss of the model for {path} is NaN. Train it again, and export the new run")
    return total


def _score_next(signatures, lines: list[bytes], carried: dict, goes_on: bool) -> dict:
    """What the signature `score_next` gives for lines, and how many `words` they have.

    Where the only line `goes_on`, it is scored without the `<eos>` that the signature puts behind each line:
    its cost is taken off, and what is carried on is the state before the last token, and that token.
    """
    encode, score_next, step = (signatures[name] for name in ("encode", "score_next", "step"))
    result = dict(score_next(lines=tf.constant(lines), **carried))
    ids = encode(lines=tf.constant(lines))["ids"]
    result["words"] = len(ids) - len(lines)
    if not goes_on:
        return result
    head = lines[0].decode().rsplit(maxsplit=1)[:-1]
    if not result["words"]:
        return {**result, **carried, "nats": tf.zeros([1]), "tokens": tf.zeros([1], tf.int32)}
    begun = tf.constant([part.encode() for part in head] or [b""])
    state = score_next(lines=begun, **carried)["state"]
    tokens = ids[len(encode(lines=begun)["ids"]) - 1 : -1]  # of the last word, which may be cut into several
    for token in tokens:
        last, before = step(ids=token[tf.newaxis], state=state), state
        state = last["state"]
    end = tf.cast(last["log_probabilities"][0, int(ids[-1])], tf.float64)
    less = {"nats": result["nats"] + end, "tokens": result["tokens"] - 1}
    return {**result, **less, "state": before, "previous": tokens[-1:]}


def _refused(signatures, lines: list[bytes]) -> int:
    """The number, from 1, of the first line that the model cannot read."""
    for number, line in enumerate(lines, start=1):
        try:
            signatures["encode"](lines=tf.constant([line]))
        except tf.errors.InvalidArgumentError:
            return number
    return len(lines)


def unknown_word(error: tf.errors.InvalidArgumentError) -> str:
    """The assertion of a model without `<unk>` as one line."""
    lines = [line for line in str(error).splitlines() if line and "assertion failed" in line]
    if not lines:
        return str(error).splitlines()[0]
    what, _, word = lines[0].split("assertion failed:")[-1].strip().strip("[]").partition("] [")
    return f"{what} {word!r}" if word else what


def describe(score: TextScore) -> str:
    """The result in five lines."""
    share = score.unknown / score.words if score.words else 0.0
    return "\n".join(
        [
            f"lines       {score.lines:,}",
            f"tokens      {score.tokens:,} predicted",
            f"nats        {score.nats:,.2f}, {score.nats / score.tokens:.4f} per token",
            f"perplexity  {perplexity(score.nats / score.tokens):,.2f}",
            f"unknown     {share:.2%} of {score.words:,} words",
        ]
    )


def readable(argument: str) -> str:
    """A text of the command line, with U+FFFD for bytes that are not UTF-8, as everywhere else."""
    return argument.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def last_line(path: Path) -> str:
    """The last line of a file that is not blank, or an empty text."""
    last, pieces = "", list[str]()
    for chunk in reader.chunks(path, CHUNK):
        *lines, end = chunk.lines
        lines = [line for line in (*lines, "".join([*pieces, end])) if line.strip()]
        pieces = [*pieces, end] if chunk.goes_on else []
        last = lines[-1] if lines else last
    return last
