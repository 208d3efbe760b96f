"""Does a search beat chance? Print the numbers of docs/evidence.md, from runs or from their CSV file.

Example: python -m tools.studies.evidence --sweep=runs/truth-bayesnas --out=docs/evidence/cells.csv

It writes one row per trained cell. With --csv=FILE it computes every number from such rows.
"""

import csv
import json
import math
import operator
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.report import statistics
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping.jobs import RANK
from tools import cli

RANDOM, DRAWN = "random cells", "drawn cells"  # drawn from a posterior, beside the cell of a search
RESAMPLES = 10_000
COLUMNS = {"n": 3, "nats": 7, "sd": 6, "best": 7, "RI %": 6, "interval": 15, "P": 5, "Holm": 8}
FAILED = math.inf  # nats of a training without a result: the worst of all


class Row(NamedTuple):
    """One trained cell."""

    group: str  # the strategy that found it, `RANDOM`, or the name of a known cell
    candidate: str
    seed: int  # of the training
    cell: str
    parameters: int
    units: int
    epochs: int
    valid_nats: float
    test_nats: float
    train_seconds: float
    search_tokens: int  # read by the search that found it, of training and of choosing
    commit: str


def group_of(candidate: str, search: dict | None, provenance: dict, name: str = "") -> str:
    """Where a candidate comes from; `name`: of searches, instead of their strategy."""
    if search is not None:
        return name or str(search["strategy"])
    if provenance.get("draw"):
        return DRAWN
    return RANDOM if known.is_uniform(candidate) else candidate


def rows_of(sweep: Path, name: str = "") -> list[Row]:
    """The trainings of a sweep that went through one ranking; `name` replaces the strategy of searches."""
    view = json.loads(RunFiles(sweep).sweep.read_text())
    rows: list[Row] = []
    searches = {run["candidate"]: run for run in view["runs"] if run["stage"] == "search"}
    for run in view["runs"]:
        if run["stage"] != RANK or run["state"] not in ("done", "failed"):
            continue
        found, search = run.get("summary"), searches.get(run["candidate"], {}).get("summary")
        tokens = sum(search["tokens"].values()) if search else 0
        summary = found or {"genotype": (search or {}).get("genotype"), "seconds": {"train": 0.0}}
        rows.append(
            Row(
                group_of(run["candidate"], search, (summary["genotype"] or {}).get("provenance", {}), name),
                run["candidate"],
                run["seed"],
                str(Genotype.from_dict(summary["genotype"])) if summary["genotype"] else "",
                summary.get("parameters", 0),
                summary.get("units", 0),
                summary.get("epochs", 0),
                _nats(summary.get("valid_nats")),
                _nats(summary.get("test_nats")),
                round(summary["seconds"]["train"], 1),
                tokens,
                summary.get("made_by", {}).get("commit") or "",
            )
        )
    return rows


def _nats(value: float | None) -> float:
    return FAILED if value is None or not math.isfinite(value) else value


def write(rows: Sequence[Row], path: Path) -> None:
    """As CSV, best first within a group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        for group in sorted({row.group for row in rows}):
            found = [row for row in rows if row.group == group]
            writer.writerows(sorted(found, key=operator.attrgetter("test_nats", "candidate")))


def read(path: Path) -> list[Row]:
    """The inverse of `write`."""
    with path.open(newline="") as file:
        return [
            Row(**{name: Row.__annotations__[name](text) for name, text in line.items()})
            for line in csv.DictReader(file)
        ]


class Gain(NamedTuple):
    """RI in percent with its 95 % interval: how much lower the perplexity of a search is than chance."""

    value: float
    low: float
    high: float


def relative_improvement(found: Sequence[float], drawn: Sequence[float], seed: int = 0) -> Gain:
    """RI of test nats of searches against random cells (Yang et al. 2020), bootstrapped over both."""
    one, other = (
        np.exp(np.sort(found)),
        np.exp(np.sort(drawn)),
    )  # sorted: of any order the same resamples
    generator = np.random.default_rng(seed)
    means = [
        values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        for values in (one, other)
    ]
    low, high = np.percentile(100.0 * (means[1] - means[0]) / means[1], [2.5, 97.5])
    return Gain(100.0 * (other.mean() - one.mean()) / other.mean(), low, high)


def better(found: Sequence[float], drawn: Sequence[float]) -> float:
    """P(search > random): the share of pairs in which the search is better, a tie counting half."""
    difference = np.subtract.outer(np.asarray(found), np.asarray(drawn))
    return float(np.mean(difference < 0.0) + 0.5 * np.mean(difference == 0.0))


def best_of(valid: Sequence[float], test: Sequence[float], count: int) -> float:
    """Expected test nats of the best by validation among `count` of the cells, drawn without replacement."""
    total, order = len(valid), np.argsort(valid, kind="stable")
    if not 1 <= count <= total:
        raise ValueError(f"the best of {count} needs as many cells, but there are {total}")
    chances = [math.comb(total - rank - 1, count - 1) / math.comb(total, count) for rank in range(total)]
    return float(np.dot(chances, np.asarray(test)[order]))


def judged(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows by group; a training without a result counts as the worst of all."""
    worst = max(row.test_nats for row in rows if math.isfinite(row.test_nats))
    groups: dict[str, list[Row]] = {}
    for row in rows:
        nats = [value if math.isfinite(value) else worst for value in (row.valid_nats, row.test_nats)]
        groups.setdefault(row.group, []).append(row._replace(valid_nats=nats[0], test_nats=nats[1]))
    return groups


def table(rows: Sequence[Row]) -> str:
    """What the page states, a line per group beside the random cells, and what the best of N of them is.

    Means and deviations are of test nats per token over the trainings of a group. `p` is of Welch's test
    against the random cells, adjusted by Holm over all groups that have one; RI is in percent of perplexity.
    """
    groups = judged(rows)
    nats = {name: [row.test_nats for row in found] for name, found in groups.items()}
    drawn = nats.get(RANDOM, [])
    tests = {name: statistics.welch(values, drawn) for name, values in nats.items() if name != RANDOM}
    known_ps = {name: test.p for name, test in tests.items() if test is not None}
    holm = dict(zip(known_ps, statistics.holm(list(known_ps.values())), strict=True))
    lines = [f"{'group':<16}" + "".join(f" {name:>{width}}" for name, width in COLUMNS.items())]
    for name, values in sorted(nats.items()):
        one = statistics.sample(values)
        line = f"{name:<16} {one.n:>3} {one.mean:>7.4f} {one.sd:>6.4f} {min(values):>7.4f}"
        if name in holm:
            gain = relative_improvement(values, drawn)
            line += f" {gain.value:>6.2f} {f'{gain.low:.2f} to {gain.high:.2f}':>15}"
            line += f" {better(values, drawn):>5.2f} {holm[name]:>8.2g}"
        lines.append(line)
    valid = [row.valid_nats for row in groups.get(RANDOM, [])]
    lines += [
        f"best of {count:<8} {best_of(valid, drawn, count):>12.4f} by validation, of {len(drawn)} drawn"
        for count in (2, 4, 8, 16)
        if count <= len(drawn)
    ]
    return "\n".join(lines)


def main() -> int:
    """Write the CSV, or compute from it."""
    parser = cli.Parser("tools.studies.evidence", __doc__)
    parser.add_argument("--sweep", type=Path, **cli.REPEATABLE, help="directory of a sweep, repeatable")
    parser.add_argument("--group", default="", help="name of the group of its searches, not their strategy")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--csv", type=Path, **cli.REPEATABLE, help="CSV file to compute from, repeatable")
    options = parser.parse_args()
    rows = [row for sweep in options.sweep for row in rows_of(sweep, options.group)]
    rows += [row for path in options.csv for row in read(path)]
    if not rows:
        parser.error("no trained cell. Give --sweep or --csv")
    if options.out:
        write(rows, options.out)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
