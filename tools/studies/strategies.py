"""Which strategy wins, and by more than the noise? Print tables of the sweep of studies/strategies.gin.

Example: python -m tools.studies.strategies --sweep=runs/strategies_small-seed0
It prints Markdown. A table compares the validation perplexity of each strategy's cells with the random
controls of the same depth (paired) and with the uniform random cells. Below it shows how well the ranking
after each epoch agrees with that of the last one, and which strategy wins, if any does.
"""

import argparse
import itertools
import json
import math
import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.numerics.ranks import spearman
from bayesnas_tf.report.statistics import Sample, sample
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.highway import published
from tools import cli

STRATEGY = "STRATEGY"  # the macro that the study varies
ERRORS = 2  # standard errors beyond which a difference exceeds the noise
LEVEL = 0.05  # and p up to which one to controls does


class Distance(NamedTuple):
    """A difference of two means and its standard error, NaN where a side has fewer than two cells."""

    mean: float
    error: float


class Row(NamedTuple):
    """One strategy, in validation perplexity."""

    strategy: str
    cells: int  # distinct ones: a cell that several searches found was trained once
    own: Sample  # its searches, each with the mean of its cell
    to_controls: Sample  # each of them minus the mean of its controls
    p: float  # of as large a mean if each pair's sign were a coin's
    to_random: Distance  # its mean minus that of the uniform random cells


class Answer(NamedTuple):
    """Whether the first strategy is better than another, by more than the noise."""

    other: str
    better: bool
    text: str


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.studies.strategies", __doc__)
    parser.add_argument("--sweep", type=Path, required=True, help="directory of the sweep")
    return parser.parse_args(arguments)


def home(run: dict) -> str:
    """The candidate in whose folder a run lies: candidates with one cell share its trainings."""
    return run["run"].split("/")[1]


def ended(run: dict) -> bool:
    """Whether a training has a result, and did not diverge."""
    return bool(run["summary"]) and run["summary"]["valid_ppl"] is not None


def scores(sweep: dict) -> dict[str, float]:
    """Home -> mean validation perplexity of its trainings that ended."""
    values: dict[str, dict[str, float]] = {}
    for run in sweep["runs"]:
        if run["stage"] == "rank" and ended(run):
            values.setdefault(home(run), {})[run["run"]] = run["summary"]["valid_ppl"]
    return {name: statistics.fmean(found.values()) for name, found in values.items()}


def controls(sweep: dict) -> dict[str, list[str]]:
    """Home -> its random controls."""
    beside: dict[str, list[str]] = {}
    for entry in sweep["selected"]:
        if entry["control"]:
            beside.setdefault(entry["beside"], []).append(entry["candidate"])
    return beside


def sign_flip(differences: list[float]) -> float:
    """Share of the 2^n choices of signs whose mean is at least as far from 0, exactly."""
    observed = abs(math.fsum(differences))
    flipped = [
        abs(math.fsum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(value >= observed * (1.0 - 1e-12) for value in flipped) / len(flipped)


def distance(one: Sample, other: Sample) -> Distance:
    """Of two groups of cells."""
    error = math.hypot(*(side.sd / math.sqrt(max(side.n, 1)) for side in (one, other)))
    return Distance(one.mean - other.mean, error)


def uniform(sweep: dict) -> set[str]:
    """Homes of the uniform random cells, by name; that of a cell which a search found too is the search's."""
    ranked = [run for run in sweep["runs"] if run["stage"] == "rank"]
    return {home(run) for run in ranked if re.fullmatch(rf"{published.RANDOM}-\d+", run["candidate"])}


def rows(sweep: dict) -> list[Row]:
    """The strategies, best mean first."""
    ppl, beside = scores(sweep), controls(sweep)
    of: dict[str, dict[str, str]] = {}  # strategy -> candidate -> home
    for run in sweep["runs"]:
        if run["stage"] == "rank" and home(run) in ppl and STRATEGY in run["bindings"]:
            of.setdefault(run["bindings"][STRATEGY], {})[run["candidate"]] = home(run)
    floor = sample([ppl[name] for name in uniform(sweep) if name in ppl])
    found = []
    for strategy, homes in of.items():
        names = sorted(set(homes.values()))
        own = sample([ppl[name] for name in homes.values()])
        pairs = [
            ppl[name] - statistics.fmean(ppl[control] for control in beside[name])
            for name in names
            if name in beside and all(control in ppl for control in beside[name])
        ]
        p = sign_flip(pairs) if pairs else math.nan
        found.append(Row(strategy, len(names), own, sample(pairs), p, distance(own, floor)))
    return sorted(found, key=lambda row: row.own.mean)


def stability(directory: Path, sweep: dict) -> list[tuple[int, float]]:
    """(epoch, rank correlation of all trainings' validation nats then with those of their last epoch)."""
    curves = []
    for run in sorted({run["run"] for run in sweep["runs"] if run["stage"] == "rank" and ended(run)}):
        lines = RunFiles(directory / run).metrics.read_text(encoding="utf-8").splitlines()
        curves.append([row["nats"] for row in map(json.loads, lines) if row["split"] == "valid"])
    epochs = min(map(len, curves), default=0)
    at = [np.array([curve[epoch] for curve in curves]) for epoch in range(epochs)]
    return [(epoch + 1, spearman(nats, at[-1])) for epoch, nats in enumerate(at)]


def table(found: list[Row]) -> str:
    """The rows as Markdown."""
    heads = ["strategy", "searches", "distinct cells", "valid ppl", "sd"]
    heads += ["minus its controls", "p", "minus random", "standard error"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in found:
        numbers = (row.own.mean, row.own.sd, row.to_controls.mean, row.p, *row.to_random)
        counts = f"{row.strategy} | {row.own.n} | {row.cells}"
        lines.append(f"| {counts} | {' | '.join(f'{number:.2f}' for number in numbers)} |")
    return "\n".join(lines)


def by_error(other: str, found: Distance) -> Answer:
    """By the standard error."""
    if math.isnan(found.error):
        return Answer(other, False, "cannot be told, a side has fewer than two cells")
    clear = abs(found.mean) > ERRORS * found.error
    return answer(other, found.mean, clear, f"standard error {found.error:.2f}")


def by_sign(row: Row) -> Answer:
    """By the signs of the pairs with the controls."""
    other, pairs = "its own controls", row.to_controls.n
    if not pairs:
        return Answer(other, False, "cannot be told, there are no pairs")
    measure = f"{pairs} pairs, p = {row.p:.3f}"
    if 2.0 ** (1 - pairs) > LEVEL:
        measure += f", and so few cannot bring it below {2.0 ** (1 - pairs):.3f}"
    return answer(other, row.to_controls.mean, row.p <= LEVEL, measure)


def answer(other: str, difference: float, clear: bool, measure: str) -> Answer:
    """The answer in words."""
    word = "better" if difference < 0 else "worse"
    told = f"{word} by more than the noise" if clear else "within the noise"
    return Answer(other, clear and difference < 0, f"{difference:+.2f}, {told} ({measure})")


def verdict(found: list[Row]) -> list[str]:
    """Who is first, and whether by more than the noise: lines."""
    if not found:
        return ["No training of a searched cell has ended."]
    first = found[0]
    answers = [by_error("uniform random cells", first.to_random), by_sign(first)]
    if len(found) > 1:
        second = found[1]
        answers.insert(0, by_error(f"{second.strategy}, the second", distance(first.own, second.own)))
    lines = [
        f"First is {first.strategy}, {first.own.mean:.2f} in the mean. A difference exceeds the noise if it "
        f"is more than {ERRORS} standard errors, one to controls if p of the sign flip is at most {LEVEL}.",
        *(f"- against {one.other}: {one.text}" for one in answers),
    ]
    better, not_better = ([one.other for one in answers if one.better is side] for side in (True, False))
    if not better:
        return [*lines, "Nothing speaks for it beyond the noise: no strategy wins at this budget."]
    if not_better:
        end = f"Not beyond the noise against {' and '.join(not_better)}: no strategy wins at this budget."
        return [*lines, end]
    return [*lines, f"{first.strategy} wins at this budget."]


def unfinished(sweep: dict) -> int:
    """Trainings that have no result."""
    return len({run["run"] for run in sweep["runs"] if run["stage"] == "rank" and not ended(run)})


def main(arguments: list[str] | None = None) -> int:
    """Read the sweep and print."""
    directory = parsed(arguments).sweep
    sweep = json.loads(RunFiles(directory).sweep.read_text(encoding="utf-8"))
    found = rows(sweep)
    print(table(found))
    print()
    for epoch, correlation in stability(directory, sweep):
        print(f"epoch {epoch}: rank correlation with the last epoch {correlation:.2f}")
    print()
    if left := unfinished(sweep):
        print(f"Trainings without a result: {left}. They are not lost at random: no strategy can be judged.")
    else:
        print("\n".join(verdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
