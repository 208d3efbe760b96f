"""A trained cell as a report knows it: what it is, who put it there, and what its trainings came to.

A cell is its nodes and its output. Names, searches and random draws are origins of it, and there may be
several: two searches that find one cell are two searches.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bayesnas_tf.bayes import health
from bayesnas_tf.report import statistics
from bayesnas_tf.report.records import Run, Selected, as_number
from bayesnas_tf.report.settings import SEARCHED, Budget
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype

# who put a cell there, where no search did
UNIFORM = "random (uniform)"  # drawn before anything was searched: the floor
CONTROL = "random (control)"  # drawn to match a searched cell: for comparisons in pairs alone
PUBLISHED, BASELINE, OTHER = "published cell", "baseline", "cell of unknown origin"
DRAWN = "drawn from a posterior"  # beside the cell of a search: several of one search
RANDOM = (UNIFORM, CONTROL)
NOT_SEARCHED = (*RANDOM, DRAWN, PUBLISHED, BASELINE, OTHER)
_FIRST_NAME = (
    PUBLISHED,
    BASELINE,
    DRAWN,
    OTHER,
    UNIFORM,
    CONTROL,
)  # of several; that of a search comes before `OTHER`


class Origin(NamedTuple):
    """One reason why a cell is here; `run` is its search, where that was read."""

    strategy: str
    name: str
    lambda_w: float = math.nan  # NaN where it comes from no search of BayesNAS
    run: Run | None = None

    @property
    def searched(self) -> bool:
        """Whether a search chose the cell."""
        return self.strategy not in NOT_SEARCHED


class Cell(NamedTuple):
    """One cell (or baseline) under one protocol; `runs` by seed. Perplexities are static ones.

    `missing` says, by seed, why a training that was begun has no result.
    """

    label: str
    genotype: Genotype | None
    origins: tuple[Origin, ...]
    selected: bool  # by a sweep that left others out
    runs: dict[int, Run]
    missing: dict[int, str]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Who put it there, each once."""
        return tuple(dict.fromkeys(origin.strategy for origin in self.origins))

    @property
    def searched(self) -> bool:
        """Whether a search chose it."""
        return any(origin.searched for origin in self.origins)

    @property
    def searches(self) -> list[Run]:
        """The searches that found it, of those that were read."""
        return [origin.run for origin in self.origins if origin.run is not None]

    def ppl(self, split: str) -> dict[int, float]:
        """Perplexity of `valid` or `test` by seed; NaN where training diverged or has no result."""
        measured = {seed: run.number(f"{split}_ppl") for seed, run in self.runs.items()}
        return {**dict.fromkeys(self.missing, math.nan), **measured}

    def sample(self, split: str) -> statistics.Sample:
        """Mean and spread over seeds."""
        return statistics.sample(list(self.ppl(split).values()))

    @property
    def lacks(self) -> str:
        """Why nothing can be said of it: its lost trainings would be its worst. Empty where none is lost."""
        lost = max(self.sample(split).not_finite for split in ("valid", "test"))
        return f"{lost} of {len(self.ppl('valid'))} trainings of {self.label} have no result" if lost else ""

    @property
    def parameters(self) -> float:
        """Trainable parameters; NaN where no summary tells."""
        return next((run.number("parameters") for run in self.runs.values()), math.nan)

    @property
    def depth(self) -> float:
        """Mean steps to a learned node; NaN for a baseline."""
        return math.nan if self.genotype is None else health.structure(self.genotype).mean_depth


class Protocol(NamedTuple):
    """Cells trained with one configuration, seeds apart; `changes` is what differs from configuration A.

    `absent` holds, by strategy, what the sweeps of these cells searched or drew and did not train here.
    """

    name: str
    budget: Budget
    changes: tuple[str, ...]
    cells: tuple[Cell, ...]
    makers: tuple[str, ...]  # commits and machines
    absent: dict[str, list[str]]

    @property
    def label(self) -> str:
        """Name and budget."""
        return f"{self.name}: {self.budget}"

    def by_strategy(self) -> dict[str, list[Cell]]:
        """The cells by who put them there, once for each search that found them; random ones last."""
        pairs = [(origin.strategy, cell) for cell in self.cells for origin in cell.origins]
        names = sorted({name for name, _ in pairs}, key=lambda name: (name in RANDOM, name))
        return {name: [cell for other, cell in pairs if other == name] for name in names}


def strategy_of(genotype: Genotype | None, control: bool = False) -> str:
    """Who chose a cell, by its provenance and its name."""
    if genotype is None:
        return BASELINE
    if control or known.is_matched(genotype.name):
        return CONTROL
    if genotype.provenance.get("draw"):
        return DRAWN
    if told := str(genotype.provenance.get("strategy") or ""):
        return told
    if "config" in genotype.provenance:
        return SEARCHED
    if known.is_uniform(genotype.name):
        return UNIFORM
    return PUBLISHED if known.is_published(genotype.name) else OTHER


def lambda_of(genotype: Genotype | None) -> float:
    """The λ_w of the search that found a cell; NaN where none is told."""
    return math.nan if genotype is None else as_number(genotype.provenance.get("lambda_w"))


def is_selected(genotype: Genotype | None, selected: Sequence[Selected], control: bool = False) -> bool:
    """Whether a sweep selected the cell, or names it as a random one beside a selected cell."""
    return genotype is not None and any(
        (one.genotype, one.control) == (genotype, control) for one in selected
    )


def origins(
    trained: Sequence[Run], searches: Sequence[Run], selected: Sequence[Selected]
) -> tuple[Origin, ...]:
    """Why one cell is here, by its trainings and by all searches that found it, each search once."""
    found: dict[tuple, Origin] = {}
    read = set()
    for run in searches:
        strategy = str(run.summary.get("strategy") or strategy_of(run.genotype))
        name = run.genotype.name if run.genotype else ""
        found.setdefault(
            (run.budget, run.settings.protocol(), run.seed),
            Origin(strategy, name, lambda_of(run.genotype), run),
        )
        read.add(_signature(run.genotype))
    for run in trained:
        strategy = strategy_of(run.genotype, is_selected(run.genotype, selected, control=True))
        name = run.genotype.name if run.genotype else run.baseline
        key = _signature(run.genotype) if strategy not in NOT_SEARCHED else (strategy, name)
        if key not in read:
            found.setdefault(key, Origin(strategy, name, lambda_of(run.genotype)))
    return tuple(sorted(found.values(), key=lambda one: (one.strategy, str(one.lambda_w), one.name)))


def _signature(genotype: Genotype | None) -> tuple[str, str]:
    """What tells the search of a cell apart, where the cell is all there is."""
    if genotype is None:
        return "", ""
    return genotype.name, json.dumps(genotype.provenance, sort_keys=True, default=str)


def label_of(found: Iterable[Origin]) -> str:
    """Name, strategies and λ_w of a cell with these origins: the name that says most, all of the others."""

    def rank(origin: Origin) -> float:
        return 1.5 if origin.searched else _FIRST_NAME.index(origin.strategy)

    ordered = sorted(found, key=rank)
    lambdas = dict.fromkeys(f"{one.lambda_w:g}" for one in ordered if not math.isnan(one.lambda_w))
    others = dict.fromkeys(one.strategy for one in ordered if one.searched and one.strategy != SEARCHED)
    told = [*others, *([f"λ {'/'.join(sorted(lambdas, key=float))}"] if lambdas else [])]
    return ", ".join([ordered[0].name, *told])
