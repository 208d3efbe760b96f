"""The numbers of a report as CSV: one row a run, a trained cell, and a comparison."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayesnas_tf.config import write_text
from bayesnas_tf.report import printed
from bayesnas_tf.report.cells import Protocol
from bayesnas_tf.report.content import Content
from bayesnas_tf.report.records import Run

FORMULA = ("=", "+", "-", "@")  # a spreadsheet would run a text that begins with one
RUN_NUMBERS = ("valid_ppl", "test_ppl", "parameters", "live_nodes", "pruned_fraction", "travel")


def write(content: Content, page: Path) -> list[Path]:
    """Write `<page>_runs.csv`, `<page>_cells.csv` and `<page>_comparisons.csv`; their paths come back."""
    parts = {"runs": _runs(content), "cells": _cells(content.protocols), "comparisons": _comparisons(content)}
    paths = []
    for name, rows in parts.items():
        paths.append(page.with_name(f"{page.stem}_{name}.csv"))
        write_text(paths[-1], _text(rows).encode(errors="replace").decode())
    return paths


def _text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV; numbers that are not finite are empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_plain(value) for value in row] for row in rows)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """A value for a spreadsheet."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


def _runs(content: Content) -> list[list[Any]]:
    """One row for every run that ended."""
    head = [
        "run",
        "kind",
        "seed",
        "corpus",
        "limit_tokens",
        "units",
        "epochs",
        "cell",
        "genotype",
        "lambda_w",
    ]
    rows = [_run(run) for run in content.collection.runs if run.summary]
    return [[*head, *RUN_NUMBERS, "tokens", "seconds"], *rows]


def _run(run: Run) -> list[Any]:
    """One run."""
    name = run.genotype.name if run.genotype else run.baseline
    numbers = [run.number(number) for number in RUN_NUMBERS]
    lambda_w = run.settings.get("ScalarOptions.lambda_w", math.nan)
    cell = [name, str(run.genotype or ""), lambda_w]
    return [run.path, run.kind, run.seed, *run.budget[:4], *cell, *numbers, run.tokens, run.seconds]


def _cells(protocols: Sequence[Protocol]) -> list[list[Any]]:
    """One row for every cell under every configuration."""
    head = [
        "configuration",
        "corpus",
        "limit_tokens",
        "units",
        "epochs",
        "at_printed_budget",
        "cell",
        "strategy",
    ]
    head += ["searches", "lambda_w", "genotype", "mean_depth", "parameters", "seeds"]
    head += [
        f"{split}_{number}" for split in ("valid", "test") for number in ("mean", "sd", "n", "not_finite")
    ]
    rows: list[list[Any]] = [head]
    known = printed.tables()
    for protocol in protocols:
        for cell in protocol.cells:
            reached = any(
                table.lacks(protocol.budget, cell) == [] for table in known if table.number != "5.1"
            )
            seeds = " ".join(map(str, sorted(cell.runs)))
            told = [
                cell.label,
                "; ".join(cell.strategies),
                len(cell.searches),
                "; ".join(f"{one.lambda_w:g}" for one in cell.origins if not math.isnan(one.lambda_w)),
                str(cell.genotype or ""),
                cell.depth,
                cell.parameters,
                seeds,
            ]
            samples = (*cell.sample("valid"), *cell.sample("test"))
            rows.append([protocol.name, *protocol.budget[:4], reached, *told, *samples])
    return rows


def _comparisons(content: Content) -> list[list[Any]]:
    """One row for every comparison."""
    rows: list[list[Any]] = [
        [
            "configuration",
            "first",
            "second",
            "remark",
            "difference",
            "low",
            "high",
            "p",
            "p_holm",
            "significant",
        ]
    ]
    for one in content.comparisons:
        numbers = one.difference[:4] if one.difference else [None] * 4
        tested = [one.adjusted, one.significant] if one.difference else [None, None]
        rows.append([one.protocol.name, one.first, one.second, one.why, *numbers, *tested])
    return rows
