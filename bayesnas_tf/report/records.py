"""What a report knows of the runs that it read."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesnas_tf.report.settings import Budget, Settings
from bayesnas_tf.space.genotype import Genotype


def as_number(value: Any) -> float:
    """A number of a JSON file; NaN for what is none, infinity for an integer that is too long."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if isinstance(value, float) or abs(value) < 10**300 else math.inf


class Problem(NamedTuple):
    """A file (or a folder) that could not be read, and why."""

    path: str
    file: str
    what: str


class Row(NamedTuple):
    """One line of metrics.jsonl; `ppl` is NaN where the run had none."""

    step: int
    epoch: int
    split: str
    ppl: float


class Posterior(NamedTuple):
    """The end of a search: values [E, O], pruned [E, O], edges [E, 2] (source, target), ops [O].

    The values are γ, or probabilities of a strategy that has no posterior; NaN and pruned where an edge has
    no such operation.
    """

    name: str
    values: np.ndarray
    pruned: np.ndarray
    edges: np.ndarray
    ops: tuple[str, ...]
    labels: tuple[str, ...] = ()  # of each row, where some are switches, whose source is negative


class Place(NamedTuple):
    """The sweep that has a run, and the candidates whose run it is; empty where no sweep.json says so.

    Candidates with one cell share its trainings.
    """

    sweep: str = ""
    candidates: tuple[str, ...] = ()


class Run(NamedTuple):
    """One run directory; `summary` is empty until the run ends, `baseline` names what has no genotype."""

    path: str
    directory: Path
    kind: str  # "search" or "evaluate"
    seed: int
    settings: Settings
    corpus_digest: str
    genotype: Genotype | None
    baseline: str
    summary: dict[str, Any]
    rows: tuple[Row, ...]
    posterior: Posterior | None
    place: Place = Place()

    @property
    def budget(self) -> Budget:
        """What it was given."""
        return self.settings.budget(self.kind, self.summary)

    def number(self, name: str) -> float:
        """A number of the summary; NaN where it has none."""
        return as_number(self.summary.get(name))

    @property
    def seconds(self) -> float:
        """Seconds of training and of curvature, as the summary says; NaN where it does not."""
        spent = self.summary.get("seconds")
        return sum(map(as_number, spent.values())) if isinstance(spent, dict) and spent else math.nan

    @property
    def tokens(self) -> float:
        """Tokens that the run trained on: what the summary says, else its rate times its seconds."""
        spent = self.summary.get("seconds")
        train = as_number(spent.get("train")) if isinstance(spent, dict) else math.nan
        told = self.summary.get("tokens")
        counted = sum(map(as_number, told.values())) if isinstance(told, dict) else as_number(told)
        return self.number("tokens_per_second") * train if math.isnan(counted) else counted


class Failure(NamedTuple):
    """A run of a sweep that failed or has not ended."""

    path: str
    state: str
    what: str
    attempts: int


class Selected(NamedTuple):
    """A cell that a sweep chose, with its stage; a `control` is a random cell beside the chosen ones."""

    genotype: Genotype
    stage: str
    control: bool


class Collection(NamedTuple):
    """Everything that was found."""

    roots: tuple[str, ...]
    runs: tuple[Run, ...]
    selected: tuple[Selected, ...]
    failures: tuple[Failure, ...]
    problems: tuple[Problem, ...]
