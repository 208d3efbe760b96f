"""One card for every cell that a search found: its drawing, γ, results, and the random cells beside it."""

import base64
import collections
import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from bayesnas_tf.bayes import health
from bayesnas_tf.report import cells, comparisons, gamma, tables
from bayesnas_tf.report.cells import Cell, Origin, Protocol
from bayesnas_tf.report.records import Collection, Run
from bayesnas_tf.report.tables import Column, Group, Table
from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.space.genotype import Genotype

RESULT_COLUMNS = (
    Column("Cell", number=False),
    Column("Depth", "mean steps"),
    Column("Valid", "perplexity"),
    Column("Test", "perplexity"),
    Column("Seeds", "n"),
)


HEATED = {"γ": "γ after the last update", "probability": "Probability of each edge operation at the end"}


class Card(NamedTuple):
    """A cell as the page shows it; `picture` is a data URI."""

    title: str
    marks: tuple[str, ...]
    text: str
    picture: str
    facts: tuple[tuple[str, str], ...]
    heat: Markup | None
    heated: str  # what it shows
    results: Table | None


def build(collection: Collection, protocols: Sequence[Protocol]) -> list[Card]:
    """Cells of searches, the best first; those that were never trained come last."""
    found: dict[Genotype, list[Run]] = {}
    for run in collection.runs:
        if run.kind == "search" and run.genotype is not None and run.summary:
            found.setdefault(run.genotype, []).append(run)
    for protocol in protocols:
        for cell in protocol.cells:
            if cell.searched and cell.genotype is not None:
                found.setdefault(cell.genotype, [])
    ranked = sorted(found, key=lambda genotype: _rank(genotype, protocols))
    return [_card(genotype, found[genotype], collection, protocols) for genotype in ranked]


def _trained(genotype: Genotype, protocol: Protocol) -> list[Cell]:
    """A cell under one configuration."""
    return [cell for cell in protocol.cells if cell.genotype == genotype]


def _rank(genotype: Genotype, protocols: Sequence[Protocol]) -> tuple[float, float, str]:
    """For sorting: the longest training that it had, and the perplexity there."""
    means = [
        (-one.budget.epochs, cell.sample("valid").mean)
        for one in protocols
        for cell in _trained(genotype, one)
    ]
    best = min([pair for pair in means if math.isfinite(pair[1])], default=(1.0, math.inf))
    return *best, genotype.name


def _card(
    genotype: Genotype, searches: Sequence[Run], collection: Collection, protocols: Sequence[Protocol]
) -> Card:
    """One cell, with all origins that it has here."""
    stages = [one.stage for one in collection.selected if one.genotype == genotype and not one.control]
    marks = tuple(f"selected ({stage})" for stage in dict.fromkeys(stages))
    ends = [run.posterior for run in searches if run.posterior is not None]
    trained = [cell for protocol in protocols for cell in _trained(genotype, protocol)]
    origins = trained[0].origins if trained else cells.origins((), searches, collection.selected)
    return Card(
        trained[0].label if trained else cells.label_of(origins),
        marks,
        str(genotype),
        picture(genotype),
        _facts(genotype, searches, origins),
        gamma.figure(ends[0], genotype) if ends else None,
        HEATED.get(ends[0].name, ends[0].name) if ends else "",
        _results(genotype, protocols),
    )


def picture(genotype: Genotype) -> str:
    """The drawing as a data URI: as an image it runs no script and shares no names with the page."""
    drawing = cell_drawing.svg(genotype).encode(errors="replace")
    return "data:image/svg+xml;base64," + base64.b64encode(drawing).decode()


def _facts(
    genotype: Genotype, searches: Sequence[Run], origins: Sequence[Origin]
) -> tuple[tuple[str, str], ...]:
    """What is known of a cell without training it."""
    shape = health.structure(genotype)
    lambdas = sorted({one.lambda_w for one in origins if not math.isnan(one.lambda_w)})
    counts = collections.Counter(one.strategy for one in origins)
    by = [f"{name} ({count} searches)" if count > 1 else name for name, count in counts.items()]
    pruned = [run.number("pruned_fraction") for run in searches]
    facts = [
        ("found by", ", ".join(by)),
        ("called", ", ".join(dict.fromkeys(one.name for one in origins))),
        ("λ_w", ", ".join(f"{value:g}" for value in lambdas) or tables.NONE),
        ("live nodes", str(len(genotype.graph().learned()))),
        ("mean depth", f"{shape.mean_depth:.2f} steps"),
        ("of depth 1; identity", f"{shape.star_share:.0%}; {shape.identity_share:.0%} of the nodes"),
    ]
    if pruned:
        told = ", ".join(dict.fromkeys(tables.value(share, ".0%") for share in pruned))
        facts.append(("pruned", f"{told} of the edge operations"))
        facts.append(("search", ", ".join(run.path for run in searches)))
    return tuple(facts)


def _results(genotype: Genotype, protocols: Sequence[Protocol]) -> Table | None:
    """The cell and the random cells beside it, under each configuration in which it was trained."""
    groups = []
    for protocol in protocols:
        for cell in _trained(genotype, protocol):
            beside = comparisons.controls(cell, protocol)
            told = "random cells of matched depth" if beside.matched else "random cells, not of matched depth"
            banner = f"{protocol.label}; {told if beside.cells else 'no random cell was trained beside it'}"
            groups.append(Group("plain", banner, tuple(map(_row, (cell, *beside.cells)))))
    if not groups:
        return None
    return Table("This cell and the random cells beside it", RESULT_COLUMNS, tuple(groups))


def _row(cell: Cell) -> tuple[str, ...]:
    """One line of results."""
    ppl = (tables.spread(cell.sample(split)) for split in ("valid", "test"))
    return cell.label, tables.value(cell.depth), *ppl, str(len(cell.runs))
