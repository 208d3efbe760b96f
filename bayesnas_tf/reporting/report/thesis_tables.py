"""Tables in the shape of the thesis' 5.1 to 5.3: what is printed, what we measured, and at which budget."""

import math
from collections.abc import Sequence

from bayesnas_tf.reporting.report import statistics, tables
from bayesnas_tf.reporting.report.cells import Cell, Protocol
from bayesnas_tf.reporting.report.printed import PrintedRow, PrintedTable
from bayesnas_tf.reporting.report.records import Run
from bayesnas_tf.reporting.report.tables import Column, Group, Table

NORMS = "5.1"
COLUMNS = (
    Column("Architecture", number=False),
    Column("Valid", "perplexity"),
    Column("Test", "perplexity"),
    Column("Parameters", "millions"),
    Column("Search cost", "ours in h:min:s"),
    Column("Seeds", "n"),
    Column("From", number=False),
)
NORM_COLUMNS = (
    Column("Normalisation of the search", number=False),
    Column("Valid", "perplexity"),
    Column("Parameters", "millions"),
    Column("Cells", "n"),
    Column("From", number=False),
)
FOOTNOTE = (
    f"{tables.NOT_COMPARABLE} measured at a smaller budget than the printed rows: it stands beside other "
    "rows of its own group, and beside no printed one."
)


def build(
    printed: Sequence[PrintedTable], protocols: Sequence[Protocol], searches: Sequence[Run]
) -> list[Table]:
    """Every table to which these runs have something to say, then one for each other text."""
    found = []
    for table in printed:
        ours = [protocol for protocol in protocols if protocol.budget.corpus == table.budget.corpus]
        groups = [group for one in ours if (group := _group(table, one, searches)).rows]
        if groups:
            found.append(_table(table, groups))
    known = {table.budget.corpus for table in printed}
    for corpus in sorted({one.budget.corpus for one in protocols} - known):
        groups = [_ours(None, one, searches) for one in protocols if one.budget.corpus == corpus]
        caption = f"Cells trained on {corpus}. Nothing is printed in the thesis for this text."
        found.append(
            Table(
                caption, COLUMNS, tuple(groups), ("Lower is better. ± is the standard deviation over seeds.",)
            )
        )
    return found


def _group(table: PrintedTable, protocol: Protocol, searches: Sequence[Run]) -> Group:
    """Our rows of a table under one configuration."""
    return _norms(table, protocol, searches) if table.number == NORMS else _ours(table, protocol, searches)


def _table(table: PrintedTable, groups: Sequence[Group]) -> Table:
    """The printed rows, then ours."""
    norms = table.number == NORMS
    rows = tuple(_printed_norm(row) if norms else _printed(row) for row in table.rows)
    banner = f"Printed. The thesis' own rows: {table.budget}; {table.seeds}"
    notes = [f"{row.system}: {row.note}." for row in table.rows if row.note]
    caption = f"Table {table.number} of the thesis: {table.title.lower() if norms else table.title}"
    marked = [FOOTNOTE] if any(group.kind == "smaller" for group in groups) else []
    return Table(
        f"{caption}. Lower is better; ± is a standard deviation.",
        NORM_COLUMNS if norms else COLUMNS,
        (Group("printed", banner, rows), *groups),
        (*marked, *notes),
    )


def _printed(row: PrintedRow) -> tuple[str, ...]:
    """One printed line of 5.2 or 5.3."""
    splits = ((row.valid, row.valid_sd), (row.test, row.test_sd))
    ppl = (_printed_number(mean, sd, row.digits) for mean, sd in splits)
    return (
        row.system,
        *ppl,
        tables.value(row.parameters, ".0f"),
        row.cost or tables.NONE,
        tables.NONE,
        row.source,
    )


def _printed_norm(row: PrintedRow) -> tuple[str, ...]:
    """One printed line of 5.1."""
    ppl = _printed_number(row.valid, row.valid_sd, row.digits)
    return row.system, ppl, tables.value(row.parameters, ".0f"), tables.NONE, row.source


def _printed_number(mean: float | None, sd: float | None, digits: int) -> str:
    """As printed, ± its standard deviation where there is one."""
    return tables.value(mean, f".{digits}f") + ("" if sd is None else f" ± {sd:.{digits}f}")


def verdict(table: PrintedTable | None, protocol: Protocol) -> tuple[str, str, str]:
    """Kind and banner of a group, and the mark behind its numbers; None: nothing is printed for its text."""
    if table is None:
        return "plain", f"This report, {protocol.label}", ""
    if table.reached_by(protocol.budget):
        return "comparable", f"This report, {protocol.label}: at the printed budget", ""
    given, needed = protocol.budget, table.budget
    lacks = []
    if given.epochs < needed.epochs:
        lacks.append(f"{given.epochs:,} of {needed.epochs:,} epochs")
    if given.units != needed.units:
        lacks.append(f"{given.units:,} units, not {needed.units:,}")
    if given.limit_tokens:
        lacks.append(f"the first {given.limit_tokens:,} tokens of the text")
    return (
        "smaller",
        f"Not comparable with the printed rows: {', '.join(lacks)} — {protocol.label}",
        tables.NOT_COMPARABLE,
    )


def _ours(table: PrintedTable | None, protocol: Protocol, searches: Sequence[Run]) -> Group:
    """Every cell of one configuration."""
    kind, banner, mark = verdict(table, protocol)
    rows = tuple(
        (
            cell.label + (" (selected)" if cell.selected else ""),
            tables.spread(cell.sample("valid"), mark=mark),
            tables.spread(cell.sample("test"), mark=mark),
            tables.millions(cell.parameters),
            _cost(origins(cell, searches)),
            str(len(cell.runs)),
            f"{protocol.name}, {cell.strategy}",
        )
        for cell in protocol.cells
    )
    return Group(kind, banner, rows)


def _cost(searches: Sequence[Run]) -> str:
    """Measured time of the searches that found a cell."""
    spent = statistics.sample([run.seconds for run in searches])
    return tables.clock(spent.mean)


def origins(cell: Cell, searches: Sequence[Run]) -> list[Run]:
    """The searches that found a cell: of its candidates where a sweep says so, else all with that result."""
    if cell.genotype is None:
        return []
    places = {place for run in cell.runs.values() for place in _places(run)}
    told = [run for run in searches if places.intersection(_places(run))]
    return told or [
        run
        for run in searches
        if run.genotype == cell.genotype and run.genotype.provenance == cell.genotype.provenance
    ]


def _places(run: Run) -> list[tuple[str, str]]:
    """Sweep and candidate of a run; several where candidates have the same cell."""
    return [(run.place.sweep, candidate) for candidate in run.place.candidates if candidate]


def _norms(table: PrintedTable, protocol: Protocol, searches: Sequence[Run]) -> Group:
    """Cells by the normalisation of the search that found them; none where all searches had the same one."""
    kind, banner, mark = verdict(table, protocol)
    found: dict[tuple[str, bool], list[Cell]] = {}
    for cell in protocol.cells:
        for norm in {_norm(run) for run in origins(cell, searches)}:
            found.setdefault(norm, []).append(cell)
    if len(found) < 2:
        return Group(kind, banner, ())
    names = {(row.norm, row.learnable): row.system for row in table.rows}
    rows = []
    for norm, cells in sorted(found.items()):
        over = statistics.sample([cell.sample("valid").mean for cell in cells])
        sizes = [cell.parameters for cell in cells if math.isfinite(cell.parameters)]
        size = tables.millions(sum(sizes) / len(sizes)) if sizes else tables.NONE
        name = names.get(norm, f"{norm[0]}{' (learnable)' if norm[1] else ''}")
        rows.append((name, tables.spread(over, mark=mark), size, str(over.n), protocol.name))
    return Group(kind, banner, tuple(rows))


def _norm(run: Run) -> tuple[str, bool]:
    """Normalisation of a search, and whether it is learnable."""
    return run.settings.get("CellOptions.norm", "batch"), run.settings.get(
        "CellOptions.norm_learnable", False
    )
