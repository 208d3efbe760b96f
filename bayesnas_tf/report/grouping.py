"""From runs to trained cells under configurations; what was begun and has no result is kept with its cell."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from bayesnas_tf.report import cells, statistics
from bayesnas_tf.report.cells import UNIFORM, Cell, Protocol
from bayesnas_tf.report.records import Collection, Problem, Run
from bayesnas_tf.report.settings import asked_strategy
from bayesnas_tf.space.genotype import Genotype

Identity = Genotype | str  # a cell, or the name of a baseline


class Grouped(NamedTuple):
    """All configurations, the largest first, and the runs that repeat another one."""

    protocols: list[Protocol]
    repeated: list[Problem]


def protocols(collection: Collection) -> Grouped:
    """Trainings by configuration and cell."""
    groups: dict[tuple, list[Run]] = {}
    for run in collection.runs:
        if run.kind == "evaluate" and _identity(run):
            groups.setdefault((run.budget, run.corpus_digest, run.settings.protocol()), []).append(run)
    groups = {key: runs for key, runs in groups.items() if any(run.summary for run in runs)}
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    searches = [run for run in collection.runs if run.kind == "search"]
    found: list[Protocol] = []
    repeated: list[Problem] = []
    for number, (key, runs) in enumerate(ordered):
        differing = changes(dict(ordered[0][0][2]), dict(key[2]))
        trained, again = _cells(runs, searches, collection)
        repeated += again
        found.append(Protocol(_name(number), key[0], differing, tuple(trained), _makers(runs), {}))
    return Grouped([one._replace(absent=_absent(one, found, searches)) for one in found], repeated)


def _identity(run: Run) -> Identity | None:
    """The cell or the baseline of a training."""
    return run.genotype if run.genotype is not None else run.baseline or None


def _name(number: int) -> str:
    """A, B, … Z, AA, AB and so on."""
    return ("" if number < 26 else _name(number // 26 - 1)) + chr(ord("A") + number % 26)


def changes(first: dict[str, str], other: dict[str, str]) -> tuple[str, ...]:
    """Settings of `other` that `first` has not."""
    return tuple(f"{name} = {value}" for name, value in sorted(other.items()) if first.get(name) != value)


def _makers(runs: Sequence[Run]) -> tuple[str, ...]:
    """Commit and machine of the runs."""
    makers = [run.summary["made_by"] for run in runs if isinstance(run.summary.get("made_by"), dict)]
    return tuple(
        sorted({f"commit {made.get('commit') or 'unknown'}, {made.get('machine')}" for made in makers})
    )


def _cells(
    runs: Sequence[Run], searches: Sequence[Run], collection: Collection
) -> tuple[list[Cell], list[Problem]]:
    """Cells of one protocol, the best mean validation perplexity first, those short of a training last."""
    grouped: dict[Identity, list[Run]] = {}
    for run in runs:
        if (identity := _identity(run)) is not None:
            grouped.setdefault(identity, []).append(run)
    found, repeated = [], []
    for identity, of_cell in grouped.items():
        genotype = identity if isinstance(identity, Genotype) else None
        by_seed, again = _by_seed(of_cell)
        repeated += again
        if not by_seed:
            continue  # nothing ended: the section of failures has it
        alike = [run for run in searches if run.summary and genotype and run.genotype == genotype]
        origins = cells.origins(of_cell, alike, collection.selected)
        chosen = cells.is_selected(genotype, collection.selected)
        lost = _lost(of_cell, by_seed, collection)
        found.append(Cell(cells.label_of(origins), genotype, origins, chosen, by_seed, lost))
    found.sort(key=lambda cell: (statistics.standing(cell.sample("valid")), cell.label))
    return _distinct(found), repeated


def _by_seed(runs: Sequence[Run]) -> tuple[dict[int, Run], list[Problem]]:
    """The runs with a result, one for each seed."""
    found: dict[int, Run] = {}
    repeated = []
    for run in runs:
        if not run.summary:
            continue
        if run.seed in found:
            what = f"same cell, configuration and seed as {found[run.seed].path}: not counted again"
            repeated.append(Problem(run.path, "", what))
        else:
            found[run.seed] = run
    return found, repeated


def _lost(runs: Sequence[Run], ended: dict[int, Run], collection: Collection) -> dict[int, str]:
    """Seed -> why the training of a cell that was begun has no result."""
    lost = {run.seed: "not ended" for run in runs if not run.summary}
    read = {run.path for run in collection.runs}
    beside = {str(PurePosixPath(run.path).parent) for run in ended.values() if run.place.sweep}
    for failure in collection.failures:  # of a sweep, before they had a directory of their own
        path = PurePosixPath(failure.path)
        seed = re.fullmatch(r"seed(\d+)", path.name)
        if seed and failure.path not in read and str(path.parent) in beside:
            lost[int(seed[1])] = failure.what
    return {seed: why for seed, why in lost.items() if seed not in ended}


def _distinct(found: Sequence[Cell]) -> list[Cell]:
    """Labels that occur twice are numbered."""
    labels = [cell.label for cell in found]
    return [
        cell
        if labels.count(cell.label) == 1
        else cell._replace(label=f"{cell.label} #{labels[: k + 1].count(cell.label)}")
        for k, cell in enumerate(found)
    ]


def _absent(
    protocol: Protocol, everything: Sequence[Protocol], searches: Sequence[Run]
) -> dict[str, list[str]]:
    """Strategy -> what the sweeps of a protocol's cells searched or drew, and did not train under it.

    What failed, or was left out by a selection, is not absent at random.
    """
    here = {cell.genotype for cell in protocol.cells}
    sweeps = {run.place.sweep for cell in protocol.cells for run in cell.runs.values()} - {""}
    found: dict[str, list[str]] = {}
    for run in searches:
        if run.place.sweep in sweeps and (not run.summary or run.genotype not in here):
            strategy = str(run.summary.get("strategy") or asked_strategy(run.settings))
            found.setdefault(strategy, []).append(run.path)
    for other in everything:
        for cell in other.cells:
            of_sweep = any(run.place.sweep in sweeps for run in cell.runs.values())
            if UNIFORM in cell.strategies and of_sweep and cell.genotype not in here:
                names = found.setdefault(UNIFORM, [])
                names += [cell.label] if cell.label not in names else []
    return found
