"""Trained cells: the runs of one cell under one configuration, over its seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from bayesnas_tf.bayes import health
from bayesnas_tf.reporting.report import statistics
from bayesnas_tf.reporting.report.records import SEARCHED, Collection, Problem, Run, Selected, as_number
from bayesnas_tf.reporting.report.settings import Budget
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype

RANDOM, PUBLISHED, BASELINE, OTHER = (
    "random (control)",
    "published cell",
    "baseline",
    "cell of unknown origin",
)


class Cell(NamedTuple):
    """One cell (or baseline) under one protocol; `runs` by seed. Perplexities are static ones."""

    label: str
    genotype: Genotype | None
    strategy: str
    lambda_w: float  # NaN where it comes from no search
    selected: bool  # by a sweep
    runs: dict[int, Run]

    def ppl(self, split: str) -> dict[int, float]:
        """Perplexity of `valid` or `test` by seed; NaN where training diverged."""
        return {seed: run.number(f"{split}_ppl") for seed, run in self.runs.items()}

    def sample(self, split: str) -> statistics.Sample:
        """Mean and spread over seeds."""
        return statistics.sample(list(self.ppl(split).values()))

    @property
    def parameters(self) -> float:
        """Trainable parameters; NaN where no summary tells."""
        return next((run.number("parameters") for run in self.runs.values()), math.nan)

    @property
    def depth(self) -> float:
        """Mean steps from node 0 to a node; NaN for a baseline."""
        return math.nan if self.genotype is None else health.structure(self.genotype).mean_depth

    @property
    def searched(self) -> bool:
        """Whether a search chose it."""
        return self.strategy not in (RANDOM, PUBLISHED, BASELINE, OTHER)


class Protocol(NamedTuple):
    """Cells trained with one configuration, seeds apart; `changes` is what differs from configuration A."""

    name: str
    budget: Budget
    changes: tuple[str, ...]
    cells: tuple[Cell, ...]
    makers: tuple[str, ...]  # commits and machines

    @property
    def label(self) -> str:
        """Name and budget."""
        return f"{self.name}: {self.budget}"


def strategy_of(genotype: Genotype | None, told: str = "", control: bool = False) -> str:
    """Who chose a cell, by its provenance and its name."""
    if genotype is None:
        return BASELINE
    if control:
        return RANDOM
    if told or (told := str(genotype.provenance.get("strategy") or "")):
        return told
    if "config" in genotype.provenance:
        return SEARCHED
    if genotype.name.startswith(f"{known.RANDOM}-"):
        return RANDOM
    return PUBLISHED if genotype.name in known.NAMES else OTHER


def lambda_of(genotype: Genotype | None) -> float:
    """The λ_w of the search that found a cell; NaN where none is told."""
    return math.nan if genotype is None else as_number(genotype.provenance.get("lambda_w"))


def is_selected(genotype: Genotype | None, selected: Sequence[Selected], control: bool = False) -> bool:
    """Whether a sweep selected the cell, or names it as a random one beside a selected cell."""
    return genotype is not None and any(
        (one.genotype, one.control) == (genotype, control) for one in selected
    )


def protocols(collection: Collection) -> tuple[list[Protocol], list[Problem]]:
    """Ended trainings by configuration and cell; runs that repeat another one come back as problems."""
    groups: dict[tuple, list[Run]] = {}
    for run in collection.runs:
        if run.kind == "evaluate" and run.summary and (run.genotype is not None or run.baseline):
            key = (run.budget, run.corpus_digest, run.settings.protocol())
            groups.setdefault(key, []).append(run)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    found: list[Protocol] = []
    repeated: list[Problem] = []
    for number, (key, runs) in enumerate(ordered):
        differing = changes(dict(ordered[0][0][2]), dict(key[2]))
        cells, again = _cells(runs, collection.selected)
        found.append(Protocol(_name(number), key[0], differing, tuple(cells), _makers(runs)))
        repeated += again
    return found, repeated


def _name(number: int) -> str:
    """A, B, … Z, AA, AB and so on."""
    return ("" if number < 26 else _name(number // 26 - 1)) + chr(ord("A") + number % 26)


def changes(first: dict[str, str], other: dict[str, str]) -> tuple[str, ...]:
    """Settings of `other` that `first` has not."""
    return tuple(f"{name} = {value}" for name, value in sorted(other.items()) if first.get(name) != value)


def _makers(runs: Sequence[Run]) -> tuple[str, ...]:
    """Commit and machine of the runs."""
    makers = [run.summary["made_by"] for run in runs if isinstance(run.summary.get("made_by"), dict)]
    return tuple(sorted({f"commit {made.get('commit')}, {made.get('machine')}" for made in makers}))


def _cells(runs: Sequence[Run], selected: Sequence[Selected]) -> tuple[list[Cell], list[Problem]]:
    """Cells of one protocol, the best mean validation perplexity first."""
    found: dict[tuple, Cell] = {}
    repeated = []
    for run in runs:
        genotype, told = run.genotype, str(run.summary.get("strategy") or "")
        strategy = strategy_of(genotype, told, is_selected(genotype, selected, control=True))
        name, lambda_w = (genotype.name if genotype else run.baseline), lambda_of(genotype)
        chosen = is_selected(genotype, selected)
        key = (name, genotype, str(lambda_w), strategy)
        label = name if math.isnan(lambda_w) else f"{name}, λ {lambda_w:g}"
        cell = found.setdefault(key, Cell(label, genotype, strategy, lambda_w, chosen, {}))
        if run.seed in cell.runs:
            what = f"same cell, configuration and seed as {cell.runs[run.seed].path}: not counted again"
            repeated.append(Problem(run.path, "", what))
        else:
            cell.runs[run.seed] = run
    ranked = sorted(found.values(), key=lambda cell: (_last(cell.sample("valid").mean), cell.label))
    return _distinct(ranked), repeated


def _last(value: float) -> float:
    """The value for sorting: NaN comes last."""
    return math.inf if math.isnan(value) else value


def _distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Labels that occur twice are numbered."""
    labels = [cell.label for cell in cells]
    return [
        cell
        if labels.count(cell.label) == 1
        else cell._replace(label=f"{cell.label} #{labels[: k + 1].count(cell.label)}")
        for k, cell in enumerate(cells)
    ]
