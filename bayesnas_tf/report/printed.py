"""The results that the thesis and its peers print, and the budget behind them: data with its sources.

`printed.json` holds what stands in tables 5.1 to 5.3 of the thesis (M. Li 2019), and corrections and later
results from the papers that each row names.
"""

import json
import math
from importlib import resources
from typing import Any, NamedTuple

from bayesnas_tf.report.cells import Cell
from bayesnas_tf.report.settings import Budget


class RowBudget(NamedTuple):
    """What a hand-made system was given for its printed row, in the numbers of our summary.json.

    `source` says where they come from. Units alone do not tell two stacks of layers apart: parameters do.
    """

    units: int  # of the last layer
    epochs: int
    parameters: int
    source: str

    def __str__(self) -> str:
        """In words, with units and the source."""
        numbers = f"{self.units:,} units, {self.parameters:,} parameters and {self.epochs:,} epochs"
        return f"{numbers} ({self.source})"

    def lacks(self, budget: Budget, parameters: float) -> list[str]:
        """What a training on the same text lacks of this budget, in words; nothing where it had as much."""
        lacks = _short_of(budget.epochs, self.epochs, "epochs")
        if not (size := _short_of(budget.units, self.units, "units")):
            size = _short_of(parameters, self.parameters, "parameters")
        return [*lacks, *size, *_part_of_text(budget)]


class PrintedRow(NamedTuple):
    """One printed line: perplexities and their standard deviations with `digits`, millions of parameters.

    None where nothing is printed. `baseline` is what summary.json calls the system where `evaluate` can train
    it, and `budget` what it takes; other rows have that of their table.
    """

    system: str
    source: str
    valid: float | None = None
    valid_sd: float | None = None
    test: float | None = None
    test_sd: float | None = None
    parameters: float | None = None
    cost: str = ""
    note: str = ""
    norm: str = ""  # of table 5.1
    learnable: bool = False
    digits: int = 1
    baseline: str = ""
    budget: RowBudget | None = None


class PrintedTable(NamedTuple):
    """One table of the thesis; `budget` is that of the thesis' own rows."""

    number: str
    title: str
    budget: Budget
    seeds: str
    rows: tuple[PrintedRow, ...]

    def row_of(self, baseline: str) -> PrintedRow | None:
        """The row of a baseline; None where there is none, and for the empty name of a cell."""
        return next((row for row in self.rows if baseline and row.baseline == baseline), None)

    def lacks(self, budget: Budget, cell: Cell) -> list[str] | None:
        """What a training lacks of the printed budget, in words; None where nothing is printed for it.

        A baseline is held to its own row, every other cell to what the thesis gave its own cells.
        """
        if budget.corpus != self.budget.corpus:
            return None
        if name := baseline_of(cell):
            row = self.row_of(name)
            return row.budget.lacks(budget, cell.parameters) if row and row.budget else None
        needed = self.budget.units
        unit = " units" if budget.parameters else ""
        other = [f"{budget.size}, not {needed:,}{unit}"] if budget.units != needed else []
        return [*_short_of(budget.epochs, self.budget.epochs, "epochs"), *other, *_part_of_text(budget)]


def baseline_of(cell: Cell) -> str:
    """What summary.json calls a baseline; empty for a cell with a genotype."""
    return "" if cell.genotype is not None else next((run.baseline for run in cell.runs.values()), "")


def _short_of(given: float, needed: int, what: str) -> list[str]:
    """That there is less than needed, in words; nothing where there is enough."""
    if given >= needed:
        return []
    if math.isnan(given):
        return [f"an unknown number of {what}"]
    return [f"{given:{',.0f' if isinstance(given, float) else ','}} of {needed:,} {what}"]


def _part_of_text(budget: Budget) -> list[str]:
    """That a run read only part of its text, in words; nothing where it read the whole."""
    return [f"the first {budget.limit_tokens:,} tokens of the text"] if budget.limit_tokens else []


def tables() -> tuple[PrintedTable, ...]:
    """Tables 5.1, 5.2 and 5.3."""
    text = resources.files(__package__).joinpath("printed.json").read_text(encoding="utf-8")
    return tuple(_table(number, data) for number, data in json.loads(text)["tables"].items())


def _table(number: str, data: dict[str, Any]) -> PrintedTable:
    """One table of the file."""
    given = data["budget"]
    budget = Budget(data["corpus"], 0, given["units"], given["epochs"])
    return PrintedTable(number, data["title"], budget, data["seeds"], tuple(map(_row, data["rows"])))


def _row(data: dict[str, Any]) -> PrintedRow:
    """One row of a table."""
    budget = RowBudget(**data["budget"]) if "budget" in data else None
    return PrintedRow(**{**data, "budget": budget})
