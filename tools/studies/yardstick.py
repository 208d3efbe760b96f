"""Choose the cells of NAS-Bench-NLP for studies/yardstick_small.gin, and print them as two gin macros.

Example: python -m tools.studies.yardstick --data_dir=~/.cache/bayesnas_tf

It sorts the cells of ptb.jsonl whose trainings all ended by their published loss, cuts them into twenty equal
parts and draws two cells of each: the first helps to choose a protocol, the second measures its ranking.
"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.config.flags import default_data_dir
from bayesnas_tf.data import nasbench_nlp as tables
from bayesnas_tf.errors import UserError, expanded
from tools import cli

PARTS, PER_LINE = 20, 4


class Rated(NamedTuple):
    """A cell and its published loss."""

    nats: float
    name: str


class Halves(NamedTuple):
    """The names of the two halves, the best published loss first."""

    choosing: list[str]
    reporting: list[str]


def candidates(data_dir: Path) -> list[Rated]:
    """The distinct cells whose trainings all ended, the best first."""
    path = tables.table(data_dir, tables.TABLES[0])
    if not path.is_file():
        raise tables.lacking(f"table {path.name}", data_dir)
    found: dict[str, Rated] = {}
    for number, row in sorted(tables.read(path).items()):
        if row["diverged"] or row["test_nats"] is None:
            continue
        try:
            cell = tables.find(f"nasbench-{number}", data_dir)
        except UserError:
            continue  # it does not read its input
        found.setdefault(str(cell), Rated(row["test_nats"], cell.name))
    return sorted(found.values())


def halves(rated: Sequence[Rated], seed: int) -> Halves:
    """One cell for each half from each of `PARTS` equal parts; the same seed gives the same cells."""
    draw, chosen = np.random.PCG64(seed).random_raw, Halves([], [])
    bounds = [len(rated) * k // PARTS for k in range(PARTS + 1)]
    for first, end in itertools.pairwise(bounds):
        part = list(rated[first:end])
        for half in chosen:
            half.append(part.pop(int(draw() % len(part))).name)
    return chosen


def macros(chosen: Halves) -> str:
    """Both halves, as a gin file has them."""
    parts = []
    for name, half in zip(("CHOOSING", "REPORTING"), chosen, strict=True):
        rows = [half[k : k + PER_LINE] for k in range(0, len(half), PER_LINE)]
        lines = [f"    {', '.join(map(repr, row))}," for row in rows]
        parts.append("\n".join([f"{name} = (", *lines, ")"]))
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the macros."""
    parser = cli.Parser("tools.studies.yardstick", __doc__)
    parser.add_argument(
        "--data_dir",
        type=expanded,
        help="folder that contains nasbench_nlp/ (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    given = parser.parse_args(arguments)
    print(macros(halves(candidates(given.data_dir or default_data_dir()), given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
