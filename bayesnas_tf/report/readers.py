"""One reader per file of a run directory. What cannot be read is a `ValueError` that says why."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesnas_tf.config import stored
from bayesnas_tf.data import storage
from bayesnas_tf.errors import UserError, reason
from bayesnas_tf.report import settings
from bayesnas_tf.report.records import Posterior, Row
from bayesnas_tf.space.genotype import Genotype

MOST = 10**15  # steps or epochs: more is damage
MOST_NODES = 64
KINDS = ("search", "evaluate")


def text(path: Path) -> str:
    """The text of a file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError("missing") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except OSError as error:
        raise ValueError(reason(error)) from None


def config(path: Path, pins: Mapping[str, Any]) -> tuple[str, int, settings.Settings]:
    """Command, seed and settings that config.gin of a run begins with and holds; `pins` may tie it."""
    content = text(path)
    try:
        identity = stored.identity(content, path) if content.startswith(stored.HEADER) else None
        if identity is not None:
            stored.check_whole(content, path, pins)
    except UserError as error:
        raise ValueError(str(error).removeprefix(f"{path} ")) from None
    if identity is None:
        raise ValueError("does not begin like the configuration of a run")
    return identity["command"], identity["seed"], settings.read(content, path.name)


def operative(path: Path) -> settings.Settings:
    """Every setting that was used, defaults included."""
    found = settings.read(text(path), path.name)
    if not found.values:
        raise ValueError("sets nothing")
    return found


def genotype(data: Any) -> Genotype | None:
    """A cell; None where there is none."""
    if data is None:
        return None
    try:
        cell = Genotype.from_dict(data)
        return dataclasses.replace(cell, name="".join(c if c.isprintable() else "?" for c in cell.name))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"not a cell: {error}") from None


def metrics(path: Path) -> tuple[tuple[Row, ...], str]:
    """The rows that can be read, and a sentence about the others (empty where there are none)."""
    lines = text(path).splitlines()
    rows = [_row(line) for line in lines]
    broken = [number for number, row in enumerate(rows, start=1) if row is None]
    told = (
        f"{len(broken)} of {len(lines)} lines cannot be read, the first is line {broken[0]}" if broken else ""
    )
    return tuple(row for row in rows if row is not None), told if lines else "empty"


def _row(line: str) -> Row | None:
    """One line; None where it is no row."""
    try:
        data = json.loads(line)
        step, epoch, ppl = data["step"], data["epoch"], data["ppl"]
        row = Row(int(step), int(epoch), str(data["split"]), math.nan if ppl is None else float(ppl))
        return row if 0 <= row.step < MOST and 0 <= row.epoch < MOST else None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


class MissingArray(ValueError):
    """A file that lacks one array."""


def posterior(path: Path) -> Posterior:
    """γ after the last update, of posterior.npz."""
    found = _arrays(path, ("gamma", "pruned", "edges", "ops"))
    if not len(found[0]) or not len(found[1]):
        raise ValueError("has no update")
    gamma, pruned, edges, ops = found[0][-1], found[1][-1], *found[2:]
    return _checked("γ", gamma, pruned, edges, ops)._replace(labels=_labels(path, len(edges)))


def probabilities(path: Path) -> Posterior | None:
    """The probabilities in architecture.npz; None where the strategy has none."""
    if not path.is_file():
        return None
    try:
        values, edges, ops = _arrays(path, ("probabilities", "edges", "ops"))
    except MissingArray:
        return None
    found = _checked("probability", values, np.zeros(np.shape(values), bool), edges, ops)
    return found._replace(pruned=np.isnan(found.values), labels=_labels(path, len(edges)))


def _labels(path: Path, count: int) -> tuple[str, ...]:
    """What the rows are called; empty where the file does not say it, or not of all."""
    try:
        (found,) = _arrays(path, ("labels",))
    except MissingArray:
        return ()
    return tuple(map(str, found)) if found.shape == (count,) else ()


def _arrays(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Arrays of a file; `MissingArray` where it lacks one."""
    found = storage.read_arrays(path)
    try:
        return [np.atleast_1d(found[name]) for name in names]
    except KeyError as error:
        raise MissingArray(f"has no array {error}") from None


def _checked(
    name: str, values: np.ndarray, pruned: np.ndarray, edges: np.ndarray, ops: np.ndarray
) -> Posterior:
    """The arrays as what they should be."""
    try:
        found = Posterior(
            name, values.astype(float), pruned.astype(bool), edges.astype(int), tuple(str(op) for op in ops)
        )
    except (ValueError, TypeError):
        raise ValueError("its arrays hold no numbers") from None
    if found.values.shape != (len(edges), len(ops)) or pruned.shape != values.shape:
        raise ValueError(f"{name} is {values.shape} for {len(edges)} edges and {len(ops)} operations")
    if not values.size or not _of_a_cell(found.edges):
        raise ValueError("its edges are not those of a cell")
    return found


def _of_a_cell(edges: np.ndarray) -> bool:
    """Whether (source, target) `[E, 2]` are sites of a space: each once, from lower nodes to higher ones.

    The source of a switch is negative.
    """
    if edges.ndim != 2 or edges.shape[1] != 2 or len(np.unique(edges, axis=0)) < len(edges):
        return False
    sources, targets = edges.T
    in_range = (np.abs(edges) <= MOST_NODES).all() and (targets >= 0).all()
    return bool(in_range and (sources < targets).all() and (sources[targets == 0] < 0).all())
