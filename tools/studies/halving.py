"""Tell what successive halving would have trained and chosen, from a sweep that ranked without it.

Example: python -m tools.studies.halving --sweep=runs/sweep_ptb-seed0 --rungs=50,200
An extended training equals an unbroken one: the curve of a whole training contains every shorter one.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.config.failures import told
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping.selection import Candidate, Selection
from bayesnas_tf.sweeping.settings import RankOptions
from tools import cli


class Training(NamedTuple):
    """The training of a cell: the cell as JSON, and the validation perplexity after each epoch."""

    genotype: dict
    curve: list[float]


Trainings = dict[str, dict[int, Training]]  # cell -> seed -> its training


class Outcome(NamedTuple):
    """What one schedule comes to."""

    epochs: int
    chosen: list[str]


def trainings(sweep: Path) -> Trainings:
    """The trainings of the ranking, random cells left out."""
    view = json.loads(RunFiles(sweep).sweep.read_text())
    if any(run["stage"].startswith("rung-") for run in view["runs"]):
        raise ValueError(f"{sweep} was ranked with rungs, so that not every cell has a whole curve")
    found: Trainings = {}
    for run in view["runs"]:
        if run["stage"] != "rank" or run["state"] != "done" or run["candidate"].startswith("random-"):
            continue
        cell, lines = (
            run["run"].split("/")[1],
            RunFiles(sweep / run["run"]).metrics.read_text().splitlines(),
        )
        if cell == run["candidate"]:  # candidates with the same cell share its trainings
            rows = [row for row in map(json.loads, lines) if row["split"] == "valid"]
            curve = [row["ppl"] or math.inf for row in rows]
            found.setdefault(cell, {})[run["seed"]] = Training(run["summary"]["genotype"], curve)
    return found


def select(found: Trainings, rungs: list[int], keep: float, best: int) -> Outcome:
    """The selection of a sweep with such rungs, its trainings read from the curves."""

    def summary(job):
        """What a training of so many epochs reports: its best state so far."""
        curve = found[job.candidate][job.seed].curve[: job.params["evaluate.epochs"]]
        return {"valid_ppl": min(curve), "test_ppl": None, "epochs": len(curve)}

    whole = max(len(one.curve) for seeds in found.values() for one in seeds.values())
    options = RankOptions(gin_files=("",), epochs=whole, best=best, rungs=tuple(rungs), keep=keep)
    candidates = [
        Candidate(name, Genotype.from_dict(next(iter(seeds.values())).genotype), "", name, {}, tuple(seeds))
        for name, seeds in found.items()
    ]
    selected, budget = Selection(options, lambda jobs: None, summary).select(candidates)
    return Outcome(budget["epochs"], [entry["candidate"] for entry in selected])


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.studies.halving", __doc__)
    parser.add_argument(
        "--sweep", type=Path, required=True, help="directory of a sweep that ranked without rungs"
    )
    parser.add_argument("--rungs", required=True, help="epochs of the rungs, such as 50,200")
    parser.add_argument("--keep", type=float, default=0.5, help="share of the cells that each rung keeps")
    parser.add_argument("--best", type=int, default=2, help="number of cells to select")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Print both outcomes."""
    options = parsed(arguments)
    try:
        found = trainings(options.sweep)
        if not found:
            raise ValueError(f"no ranked cell in {options.sweep}")
        whole = select(found, [], options.keep, options.best)
        halved = select(found, [int(n) for n in options.rungs.split(",")], options.keep, options.best)
    except (OSError, ValueError, KeyError) as error:
        what = (
            told(error) if isinstance(error, OSError) else f"{error}. Give a finished sweep and --rungs=N,N"
        )
        print(f"error: {what}", file=sys.stderr)
        return 1
    for name, outcome in (("whole", whole), ("halving", halved)):
        share = f"{outcome.epochs / whole.epochs:.0%}"
        print(f"{name:<8} {outcome.epochs:>8,} epochs ({share}), chosen: {', '.join(outcome.chosen)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
