"""The results that the thesis and its peers print, and the budget behind them: data with its sources.

`printed.json` holds what stands in tables 5.1 to 5.3 of the thesis (M. Li 2019), and corrections and later
results from the papers that each row names.
"""

import json
from importlib import resources
from typing import Any, NamedTuple

from bayesnas_tf.reporting.report.settings import Budget


class PrintedRow(NamedTuple):
    """One printed line: perplexities and their standard deviations with `digits`, millions of parameters.

    None where nothing is printed.
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


class PrintedTable(NamedTuple):
    """One table of the thesis; `budget` is that of the thesis' own rows."""

    number: str
    title: str
    budget: Budget
    seeds: str
    rows: tuple[PrintedRow, ...]

    def reached_by(self, budget: Budget) -> bool:
        """Whether a run was given at least what the thesis gave its own cells, on the same text."""
        same = (budget.corpus, budget.limit_tokens, budget.units) == self.budget[:3]
        return same and budget.epochs >= self.budget.epochs


def tables() -> tuple[PrintedTable, ...]:
    """Tables 5.1, 5.2 and 5.3."""
    text = resources.files(__package__).joinpath("printed.json").read_text(encoding="utf-8")
    return tuple(_table(number, data) for number, data in json.loads(text)["tables"].items())


def _table(number: str, data: dict[str, Any]) -> PrintedTable:
    """One table of the file."""
    given = data["budget"]
    budget = Budget(data["corpus"], 0, given["units"], given["epochs"])
    return PrintedTable(
        number, data["title"], budget, data["seeds"], tuple(PrintedRow(**row) for row in data["rows"])
    )
