"""Tables in the shape of the thesis' 5.1 to 5.3: what is printed, what we measured, and at which budget."""

import math
from collections.abc import Iterable, Sequence

from bayesnas_tf.report import statistics, tables
from bayesnas_tf.report.cells import Cell, Protocol
from bayesnas_tf.report.printed import PrintedRow, PrintedTable, baseline_of
from bayesnas_tf.report.records import Run
from bayesnas_tf.report.tables import Column, Group, Table

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
    Column("Searches", "n"),
    Column("From", number=False),
)
FOOTNOTE = (
    f"{tables.NOT_COMPARABLE} measured at a smaller budget than the printed number: compare it only with "
    "rows of its own group."
)


def build(printed: Sequence[PrintedTable], protocols: Sequence[Protocol]) -> list[Table]:
    """Every table to which these runs have something to say, then one for each other text."""
    found = []
    for table in printed:
        ours = [one for one in protocols if one.budget.corpus == table.budget.corpus]
        parts = [part for one in ours for part in _parts(one)]
        groups = [group for one in parts if (group := _group(table, one)).rows]
        if groups:
            found.append(_table(table, groups, dict.fromkeys(baseline_of(part.cells[0]) for part in parts)))
    known = {table.budget.corpus for table in printed}
    for corpus in sorted({one.budget.corpus for one in protocols} - known):
        groups = [_ours(None, one) for one in protocols if one.budget.corpus == corpus]
        caption = f"Cells trained on {corpus}. Nothing is printed in the thesis for this text."
        found.append(
            Table(
                caption, COLUMNS, tuple(groups), ("Lower is better. ± is the standard deviation over seeds.",)
            )
        )
    return found


def _parts(protocol: Protocol) -> list[Protocol]:
    """A configuration by what its cells are held to: each baseline apart, all other cells together."""
    parts: dict[str, list[Cell]] = {}
    for cell in protocol.cells:
        parts.setdefault(baseline_of(cell), []).append(cell)
    return [protocol._replace(cells=tuple(cells)) for cells in parts.values()]


def _group(table: PrintedTable, protocol: Protocol) -> Group:
    """Our rows of a table under one configuration."""
    return _norms(table, protocol) if table.number == NORMS else _ours(table, protocol)


def _table(table: PrintedTable, groups: Sequence[Group], baselines: Iterable[str]) -> Table:
    """The printed rows, then ours; the budgets of the `baselines` among them in the notes."""
    norms = table.number == NORMS
    rows = tuple(_printed_norm(row) if norms else _printed(row) for row in table.rows)
    banner = f"Printed. The thesis' own rows: {table.budget}; {table.seeds}"
    notes = [f"{row.system}: {row.note}." for row in table.rows if row.note]
    notes += [
        f"{row.system}: its budget counts as {row.budget}." for row in map(table.row_of, baselines) if row
    ]
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
    """Kind and banner of a group, and the mark behind its numbers; None: nothing is printed for its text.

    Either one baseline is all of the group, and is held to its own printed row, or none is part of it.
    """
    told = f"This report, {protocol.label}"
    if table is None:
        return "plain", told, ""
    name = baseline_of(protocol.cells[0])
    row, lacks = table.row_of(name), table.lacks(protocol.budget, protocol.cells[0])
    if lacks is None:
        return "plain", f"{told}: nothing is printed for {name} on this text", ""
    if not lacks:
        return "comparable", f"{told}: at the printed budget{f' of {row.system}' if row else ''}", ""
    beside = f"printed row {row.system}" if row else "printed rows"
    return (
        "smaller",
        f"Not comparable with the {beside}: {', '.join(lacks)} — {protocol.label}",
        tables.NOT_COMPARABLE,
    )


def _ours(table: PrintedTable | None, protocol: Protocol) -> Group:
    """Every cell of one configuration."""
    kind, banner, mark = verdict(table, protocol)
    rows = tuple(
        (
            cell.label + (" (selected)" if cell.selected else ""),
            tables.spread(cell.sample("valid"), mark=mark),
            tables.spread(cell.sample("test"), mark=mark),
            tables.millions(cell.parameters),
            _cost(cell.searches),
            str(len(cell.runs)),
            f"{protocol.name}, {', '.join(cell.strategies)}",
        )
        for cell in protocol.cells
    )
    return Group(kind, banner, rows)


def _cost(searches: Sequence[Run]) -> str:
    """Measured time of the searches that found a cell."""
    spent = statistics.sample([run.seconds for run in searches])
    return tables.clock(spent.mean)


def _norms(table: PrintedTable, protocol: Protocol) -> Group:
    """Searches by their normalisation, with the mean of their cell; none where all had the same one."""
    kind, banner, mark = verdict(table, protocol)
    found: dict[tuple[str, bool], list[Cell]] = {}
    for cell in protocol.cells:
        for run in cell.searches:  # each counts, also where two found one cell
            found.setdefault(_norm(run), []).append(cell)
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
