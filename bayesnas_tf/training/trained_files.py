"""What a training leaves beside its checkpoints: cell, vocabulary, summary, and whether they are its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bayesnas_tf import config
from bayesnas_tf.data import sources
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype

CELL = "cell"  # what pins.json calls the genotype that was trained
WORDS = "vocabulary"  # and the digest of the vocabulary; in a summary its size
AGAIN = "Restore it; the `evaluate` command that made the run writes it again"
T = TypeVar("T")


def read_genotype(directory: Path) -> Genotype:
    """The cell of a run.

    Raises:
      UserError: there is none.
    """
    path = RunFiles(directory).genotype
    return _read(path, lambda: Genotype.load(path))


def read_vocabulary(directory: Path) -> Vocabulary:
    """The tokens of a run, one per line.

    Raises:
      UserError: the file is missing or damaged.
    """
    path = RunFiles(directory).vocabulary  # no UTF-8, or a token twice, are ValueErrors
    return _read(path, lambda: Vocabulary(tuple(path.read_bytes().decode().removesuffix("\n").split("\n"))))


def read_summary(directory: Path) -> dict[str, Any]:
    """The summary of a run; empty where its training has not ended.

    Raises:
      UserError: the file is damaged.
    """
    path = RunFiles(directory).summary
    return _read(path, lambda: config.summary(path, "evaluate")) if path.exists() else {}


def _read(path: Path, read: Callable[[], T]) -> T:
    """What `read` returns, and one line where it fails."""
    try:
        return read()
    except (OSError, ValueError) as error:
        reason = "damaged" if path.is_file() else "a folder" if path.is_dir() else "missing"
        raise UserError(f"cannot read {path}: it is {reason}. {AGAIN}") from error


def digest_of(vocabulary: Vocabulary) -> str:
    """16 hex digits that change with any word, or with their order."""
    return sources.digest(["\n".join(vocabulary.tokens)])


def check_trained(directory: Path, genotype: Genotype | None, vocabulary: Vocabulary) -> None:
    """Refuse a genotype.json or a vocabulary.txt that are not those of the weights in a run directory.

    Raises:
      UserError: it names the file, and what was trained.
    """
    pins = config.pins(directory)
    summary = {} if {CELL, WORDS} <= pins.keys() else read_summary(directory)
    trained = pins.get(CELL) or _told(summary)
    if genotype is not None and trained and trained != str(genotype):
        raise UserError(
            f"{RunFiles(directory).genotype} is not the cell that was trained: {trained}. {AGAIN}"
        )
    size, digest = len(vocabulary), digest_of(vocabulary)
    if pins.get(WORDS, digest) != digest or summary.get(WORDS, size) != size:
        raise UserError(
            f"{RunFiles(directory).vocabulary} is not the vocabulary of the trained weights. {AGAIN}"
        )


def _told(summary: dict[str, Any]) -> str:
    """The cell of a summary in short form; empty where it has none."""
    try:
        return str(Genotype.from_dict(summary["genotype"]))
    except (KeyError, ValueError):
        return ""


def lost(directory: Path, summary: dict[str, Any]) -> list[str]:
    """The files of an ended run that an export needs and that are missing, damaged or another run's."""
    pins, found = config.pins(directory), []
    try:
        check_trained(directory, None, read_vocabulary(directory))
    except UserError:
        found.append(RunFiles.vocabulary)
    try:
        cell = str(read_genotype(directory)) if "genotype" in summary else ""
    except UserError:
        cell = "none"
    if cell and cell != (pins.get(CELL) or _told(summary)):
        found.append(RunFiles.genotype)
    return found


def cell_of(genotype: Genotype | None, name: str) -> dict:
    """What a JSON file says of the cell: the genotype itself, or the baseline's name."""
    return {"baseline": name} if genotype is None else {"genotype": genotype.to_dict()}
