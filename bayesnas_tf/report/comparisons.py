"""Who is better, and does the difference exceed the noise? Tests, corrected for their number."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from bayesnas_tf.report import cells, statistics, tables
from bayesnas_tf.report.cells import Cell, Protocol
from bayesnas_tf.report.statistics import Difference

SPLIT = "test"  # cells are chosen on validation text, and so compared on test
MATCHED = 0.5  # a random cell of the same size matches when its mean depth differs by no more
SIGNIFICANT = 0.05
NEAREST = 3  # random cells shown beside a searched one
RANDOM_CELLS = "uniformly random cells"


class Controls(NamedTuple):
    """The random cells beside a searched one, nearest depth first, and whether they match it."""

    cells: tuple[Cell, ...]
    matched: bool


class Comparison(NamedTuple):
    """One question. `difference` is first - second in perplexity: below 0 the first is better.

    The unit of a strategy is the search, that of the other kinds the seed. `why` says why there is no
    difference, or what speaks against it.
    """

    protocol: Protocol
    first: str
    second: str
    kind: Literal["strategy", "chance", "published"]
    difference: Difference | None
    why: str = ""
    adjusted: float = math.nan

    @property
    def significant(self) -> bool:
        """Whether the difference exceeds the noise, all tests of the report counted."""
        return self.adjusted < SIGNIFICANT

    @property
    def sentence(self) -> str:
        """The answer in words."""
        d = self.difference
        if d is None:
            return f"{self.first} against {self.second}: {self.why}; no statement is possible."
        better, worse = (self.first, self.second) if d.mean < 0 else (self.second, self.first)
        low, high = (-d.high, -d.low) if d.mean < 0 else (d.low, d.high)  # in favour of the better one
        verdict = (
            f"{better} {_are(better)} better than {worse}: the difference exceeds the noise"
            if self.significant
            else f"{self.first} and {self.second} cannot be told apart: the difference is within the noise"
        )
        one, other = d.n[0], d.n[-1]
        unit = f"{one} searches and {other} cells" if self.kind == "strategy" else f"{one} seeds, paired"
        return (
            f"{verdict} ({abs(d.mean):.2f} perplexity in favour of {better}, "
            f"95 % interval {tables.signed(low)} to {tables.signed(high)}, "
            f"{unit}, p = {d.p:.2g}, corrected {self.adjusted:.2g})."
        )


def _are(name: str) -> str:
    """The verb of a strategy or a cell."""
    return "are" if name.startswith(("cells", RANDOM_CELLS)) else "is"


def sentences(asked: Sequence[Comparison]) -> list[str]:
    """What the comparisons say: one sentence over all cells against chance, and one for each other answer."""
    found = []
    for name in dict.fromkeys(one.protocol.label for one in asked):
        here = [one for one in asked if one.protocol.label == name]
        single = [one for one in here if one.kind == "chance"]
        found += [f"{name}: {one.sentence}" for one in here if one.kind != "chance" or len(single) == 1]
        if len(single) > 1:
            found.append(f"{name}: {_counted(single)}")
    return found


def _counted(asked: Sequence[Comparison]) -> str:
    """How many cells are better, worse, or neither."""
    silent = [one for one in asked if one.difference is None]
    if len(silent) == len(asked):
        return f"{len(asked)} searched cells: {silent[0].why}; no statement is possible."
    clear = [one.difference.mean for one in asked if one.difference is not None and one.significant]
    better = sum(mean < 0 for mean in clear)
    counts = (
        f"{better} better than the random cells beside them beyond the noise, {len(clear) - better} worse"
    )
    told = f"; for {len(silent)} no statement is possible" if silent else ""
    even = len(asked) - len(clear) - len(silent)
    return f"of {len(asked)} searched cells, {counts}, {even} cannot be told apart from them{told}."


def controls(cell: Cell, protocol: Protocol) -> Controls:
    """The random cells of matched depth and size; where there are none, the nearest ones, marked as such.

    Which ones does not depend on what their trainings came to.
    """
    drawn = [
        other for other in protocol.cells if other is not cell and set(other.strategies) & set(cells.RANDOM)
    ]
    drawn.sort(key=lambda other: (_size(other) != _size(cell), abs(other.depth - cell.depth), other.label))
    matched = [o for o in drawn if _size(o) == _size(cell) and abs(o.depth - cell.depth) <= MATCHED]
    return Controls(tuple((matched or drawn)[:NEAREST]), bool(matched))


def _size(cell: Cell) -> int:
    """Learned nodes."""
    return len(cell.genotype.nodes) if cell.genotype else 0


def all_of(protocols: Sequence[Protocol]) -> list[Comparison]:
    """Every comparison that the runs allow to ask, with p corrected for the number of tests (Holm)."""
    questions = (_strategies, _searched, _published)
    asked = [one for protocol in protocols for question in questions for one in question(protocol)]
    tested = [k for k, one in enumerate(asked) if one.difference is not None]
    adjusted = statistics.holm([asked[k].difference.p for k in tested])  # type: ignore[union-attr]
    for k, p in zip(tested, adjusted, strict=True):
        asked[k] = asked[k]._replace(adjusted=p)
    return asked


def _searched(protocol: Protocol) -> list[Comparison]:
    """Each searched cell against its random ones, paired by seed."""
    found = []
    for cell in protocol.cells:
        if not cell.searched:
            continue
        beside = controls(cell, protocol)
        if not beside.cells:
            why = "no random cell has this configuration"
            found.append(Comparison(protocol, cell.label, "chance", "chance", None, why))
            continue
        count = len(beside.cells)
        second = f"the mean of {count} random cells" if count > 1 else beside.cells[0].label
        asked = Comparison(protocol, cell.label, second, "chance", None)
        remark = "" if beside.matched else "random cells not of matched size and depth"
        found.append(_paired(asked, cell, beside.cells, remark))
    return found


def _published(protocol: Protocol) -> list[Comparison]:
    """The searched cell that is best on validation text against each published one, paired by seed."""
    best = next((cell for cell in protocol.cells if cell.searched), None)
    found = []
    for other in protocol.cells if best else ():
        if best and other is not best and cells.PUBLISHED in other.strategies:
            asked = Comparison(protocol, best.label, other.label, "published", None)
            found.append(_paired(asked, best, (other,)))
    return found


def _paired(asked: Comparison, cell: Cell, others: Sequence[Cell], remark: str = "") -> Comparison:
    """The answer over the seeds that a cell shares with others; none where a training has no result."""
    if lost := [one.lacks for one in (cell, *others) if one.lacks]:
        return asked._replace(why="; ".join(lost))
    pairs = _pairs(cell, others)
    if len(pairs) < 2:
        return asked._replace(why=_shared(pairs))
    difference = statistics.paired(pairs)
    return asked._replace(difference=difference, why=remark if difference else _spreadless(difference))


def _shared(pairs: Sequence[float]) -> str:
    """How many seeds two cells share where they are too few."""
    return f"{tables.counted(len(pairs), 'seed')} shared, and a test needs two"


def _spreadless(difference: Difference | None) -> str:
    """Why there is no test although there are values."""
    return "all differences are equal" if difference is None else ""


def _pairs(cell: Cell, others: Sequence[Cell]) -> list[float]:
    """For each seed that all have: the cell's perplexity minus the mean of the others'."""
    own, theirs = cell.ppl(SPLIT), [other.ppl(SPLIT) for other in others]
    pairs = []
    for seed, value in own.items():
        if all(seed in ppl for ppl in theirs):
            pairs.append(value - sum(ppl[seed] for ppl in theirs) / len(theirs))
    return [pair for pair in pairs if math.isfinite(pair)]


def _strategies(protocol: Protocol) -> list[Comparison]:
    """Each strategy against uniform random cells. Each search counts, with the mean of its cell over seeds.

    Cells drawn to match what a strategy found are no part of the floor: with them it would depend on the
    strategies that it is to judge.
    """
    groups = protocol.by_strategy()
    floor = groups.get(cells.UNIFORM, [])
    found = []
    for name, members in groups.items():
        if name in cells.NOT_SEARCHED or (len(members) < 2 and name not in protocol.absent):
            continue  # one search is compared seed by seed below
        asked = Comparison(protocol, f"cells of strategy {name}", RANDOM_CELLS, "strategy", None)
        if why := _no_strategy(protocol, name, members, floor):
            found.append(asked._replace(why=why))
            continue
        means = ([cell.sample(SPLIT).mean for cell in group] for group in (members, floor))
        difference = statistics.welch(*means)
        found.append(asked._replace(difference=difference, why=_spreadless(difference)))
    return found


def _no_strategy(protocol: Protocol, name: str, members: Sequence[Cell], floor: Sequence[Cell]) -> str:
    """Why nothing can be said of a strategy; empty where something can."""
    if not floor:
        return "no uniformly random cell has this configuration"
    for strategy, group, what in (
        (name, members, "searches"),
        (cells.UNIFORM, floor, "uniform random cells"),
    ):
        if absent := protocol.absent.get(strategy):
            total = len(group) + len(absent)
            return f"{len(absent)} of {total} {what} have no trained cell here, such as {absent[0]}"
    if lost := [cell.lacks for cell in (*members, *floor) if cell.lacks]:
        return lost[0] if len(lost) == 1 else f"{lost[0]}, and {len(lost) - 1} more cells lack some"
    if min(len(members), len(floor)) > 1:
        return ""
    searches = tables.counted(len(members), "search", "searches")
    random = tables.counted(len(floor), "uniform random cell")
    return f"{searches} and {random}, and a test needs two of each"
