"""`score`: perplexity of a text file under a SavedModel, or the continuation of a prompt."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.data.vocabulary import UNK
from bayesnas_tf.errors import UserError
from bayesnas_tf.reporting import generation
from bayesnas_tf.reporting.run_files import perplexity

CHUNK = 1 << 16  # bytes of text that are in memory at once, or one line if it is longer
NEEDED = ("score_next", "step", "encode", "decode")


class TextScore(NamedTuple):
    """Sums over a text; see `serving` for what is predicted."""

    lines: int
    words: int  # all tokens but the ends of lines
    unknown: int  # words that the model sees as <unk>
    tokens: int  # predicted
    nats: float


def run_score(run: config.Run) -> None:
    """Score a text, or print the sentence that continues a prompt."""
    options = run.options
    loaded = load(Path(options.model))  # the signatures do not keep the weights alive
    signatures = loaded.signatures
    if run.dry_run:
        print(f"{options.model} loads. --dry_run: nothing is scored or generated")
        return
    if options.generate:
        prompt = options.prompt or (last_line(Path(options.text)) if options.text else "")
        drawing = generation.Drawing(options.temperature, options.top_k, run.seed)
        print(" ".join(generate(signatures, readable(prompt), options.generate, drawing)))
        return
    print(describe(score_file(signatures, Path(options.text))))


def generate(signatures, prompt: str, count: int, drawing: generation.Drawing) -> list[str]:
    """The prompt and what the model writes after it; words that it does not know are named on stderr.

    Raises:
      UserError: the prompt has a word for which the model has no token.
    """
    try:
        if strangers := generation.unknown_words(signatures, prompt):
            print(f"note: the model reads as {UNK}: {', '.join(map(repr, strangers))}", file=sys.stderr)
        return generation.continued(signatures, prompt.encode(), count, drawing)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"cannot continue the prompt: {unknown_word(error)}. Use other words") from error


def load(path: Path):
    """A SavedModel as TensorFlow loads it.

    Raises:
      UserError: there is none in `path`, or it was not written by `export`.
    """
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"no SavedModel in {path}. Give the directory that `export` wrote")
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"cannot load {path}. {str(error).splitlines()[0]}. Export the run again") from error
    lacking = [name for name in NEEDED if name not in loaded.signatures]
    if lacking:
        raise UserError(f"{path} has no signature {lacking[0]!r}. Give a SavedModel that `export` wrote")
    return loaded


def line_chunks(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, as many at a time as CHUNK bytes hold.

    Raises:
      UserError: the file is missing, cannot be read or has no lines.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise UserError(f"{path} is empty. Give a file with text")
            while lines := file.readlines(CHUNK):
                yield [line.removesuffix(b"\n") for line in lines]
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def score_file(signatures, path: Path) -> TextScore:
    """Score the lines of a file as one text.

    Raises:
      UserError: nothing in the file can be predicted, or it has a word for which the model has no token.
    """
    total = TextScore(0, 0, 0, 0, 0.0)
    carried = generation.start_of_text(signatures)
    for lines in line_chunks(path):
        try:
            result = signatures["score_next"](lines=tf.constant(lines), **carried)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(f"cannot score {path}: {unknown_word(error)}") from error
        carried = {name: result[name] for name in carried}
        words = int(tf.reduce_sum(signatures["encode"](lines=tf.constant(lines))["lengths"])) - len(lines)
        total = TextScore(
            total.lines + len(lines),
            total.words + words,
            total.unknown + int(tf.reduce_sum(result["unknown"])),
            total.tokens + int(tf.reduce_sum(result["tokens"])),
            total.nats + float(tf.reduce_sum(result["nats"])),
        )
    if not total.tokens:
        raise UserError(f"{path} has one empty line and nothing to predict. Give a file with text")
    return total


def unknown_word(error: tf.errors.InvalidArgumentError) -> str:
    """The assertion of a model without `<unk>` as one line."""
    lines = [line for line in str(error).splitlines() if line and "assertion failed" in line]
    return lines[0].split("assertion failed:")[-1].strip() if lines else str(error).splitlines()[0]


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
    last = b""
    for lines in line_chunks(path):
        last = next((line for line in reversed(lines) if line.strip()), last)
    return last.decode("utf-8", errors="replace")
