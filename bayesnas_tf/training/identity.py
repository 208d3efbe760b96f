"""What ties a run directory to the cell and the vocabulary that its weights were trained for."""

from pathlib import Path

from bayesnas_tf import config
from bayesnas_tf.data import sources
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.evaluate_settings import EvaluateProblem

GENOTYPE = known.FILE
SUMMARY = "summary.json"
VOCABULARY = "vocabulary.txt"
CELL = "cell"  # what pins.json calls the genotype that was trained


def pin_trained(run: config.Run, problem: EvaluateProblem) -> None:
    """Tie the run directory to its cell and its vocabulary, which its weights fit and no others.

    A name such as `random-1-nodes8-depth9` may be another cell in another version; a run of version 0.1 is
    tied to the genotype.json that lies in it.
    """
    stored = run.directory / GENOTYPE
    if CELL not in config.pins(run.directory) and run.resumed and stored.is_file():
        config.pin(run, CELL, str(Genotype.load(stored)))
    config.pin(run, CELL, str(problem.genotype or problem.name))
    config.pin(run, "vocabulary", digest_of(problem.corpus.vocabulary))


def digest_of(vocabulary: Vocabulary) -> str:
    """16 hex digits that change with any word, or with their order."""
    return sources.digest(["\n".join(vocabulary.tokens)])


def check_trained(directory: Path, genotype: Genotype | None, vocabulary: Vocabulary) -> None:
    """Refuse a genotype.json or a vocabulary.txt that are not those of the weights in a run directory.

    Raises:
      UserError: it names the file, and what was trained.
    """
    pins, told = config.pins(directory), ""
    if genotype is not None and directory.joinpath(SUMMARY).is_file():
        cell = config.result(directory / SUMMARY, "evaluate").get("genotype")
        told = str(Genotype.from_dict(cell)) if cell else ""
    if genotype is not None and (trained := pins.get(CELL, told)) and trained != str(genotype):
        raise UserError(f"{directory / GENOTYPE} is not the cell that was trained. Bring back {trained}")
    if pins.get("vocabulary", digest_of(vocabulary)) != digest_of(vocabulary):
        raise UserError(
            f"{directory / VOCABULARY} is not the vocabulary of the trained weights. Bring it back; the same "
            "evaluate that made the run writes it again"
        )


def cell_of(genotype: Genotype | None, name: str) -> dict:
    """What a JSON file says of the cell: the genotype itself, or the baseline's name."""
    return {"baseline": name} if genotype is None else {"genotype": genotype.to_dict()}
