"""Does a search's own score rank cells as training does? Kendall's tau on cells that it did not choose.

Example: python -m tools.studies.agreement --sweep=runs/truth-bayesnas --cells=docs/evidence/cells.csv

The score of a cell is the sum of the saliencies, in nats per token, of all that it takes from the supernet of
one search of BayesNAS: what that supernet would lose without. It is compared with the test nats of the random
cells in --cells, which tools.studies.evidence wrote. With --out it also writes a row per search and cell.
"""

import csv
import operator
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from bayesnas_tf.data import storage
from bayesnas_tf.report import statistics
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space import base, known
from bayesnas_tf.space.genotype import Genotype
from tools import cli
from tools.studies import evidence


class Scored(NamedTuple):
    """One cell by one search."""

    search: str
    cell: str
    score: float  # nats per token, as all below
    of_switches: float
    of_edges: float
    test_nats: float


PARTS = ("score", "of_switches", "of_edges")


def space_of(cell: Genotype) -> base.Space:
    """The space in which a cell was drawn, of as many nodes."""
    return base.searched(cell.space)(len(cell.nodes))


def saliencies(posterior: Path) -> np.ndarray:
    """w²h/2 of each entry after the last update, nats per token, `[E, O]`; 0 where there is none."""
    arrays = storage.read_arrays(posterior)
    return np.nan_to_num(0.5 * np.square(arrays["w"][-1]) * np.maximum(arrays["h"][-1], 0.0))


def scores(search: str, posterior: Path, cells: dict[str, float]) -> list[Scored]:
    """The cells, by name with their test nats, as one search scores them.

    Raises:
      ValueError: a name is no cell, or a cell is of another space or size than the search.
    """
    values, found = saliencies(posterior), []
    for name, nats in cells.items():
        cell = known.named(name)
        if cell is None:
            raise ValueError(f"{name} is no known cell")
        space = space_of(cell)
        if space.sites.exists.shape != values.shape:
            raise ValueError(f"{name} has {len(cell.nodes)} nodes of the space {cell.space}, {search} others")
        kept = np.where(space.shares(space.choice(cell)[np.newaxis]) > 0.0, values, 0.0).sum(axis=1)
        edges = space.sites.edges
        found.append(Scored(search, name, kept.sum(), kept[~edges].sum(), kept[edges].sum(), nats))
    return found


def taus(rows: Sequence[Scored]) -> dict[str, float]:
    """Kendall's tau (b) of each part of one search's score with the nats; 1: a high score trains well."""
    nats = [-row.test_nats for row in rows]
    return {part: float(stats.kendalltau([getattr(row, part) for row in rows], nats)[0]) for part in PARTS}


def table(rows: Sequence[Scored]) -> str:
    """Of each part the mean of tau over searches, its standard deviation, the smallest and the largest."""
    searches = {row.search: [other for other in rows if other.search == row.search] for row in rows}
    found = [taus(of_one) for of_one in searches.values()]
    lines = [f"{'tau of':<12} {'searches':>8} {'mean':>6} {'sd':>6} {'least':>6} {'most':>6}"]
    for part in PARTS:
        values = [tau[part] for tau in found]
        one = statistics.sample(values)
        lines.append(
            f"{part:<12} {one.n:>8} {one.mean:>6.2f} {one.sd:>6.2f} {min(values):>6.2f} {max(values):>6.2f}"
        )
    return "\n".join(lines)


def write(rows: Sequence[Scored], path: Path) -> None:
    """As CSV, of each search the best score first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Scored._fields)
        for search in sorted({row.search for row in rows}):
            of_one = [row for row in rows if row.search == search]
            writer.writerows(sorted(of_one, key=operator.attrgetter("score"), reverse=True))


def main() -> int:
    """Print the table; write the rows where asked."""
    parser = cli.Parser("tools.studies.agreement", __doc__)
    parser.add_argument("--sweep", type=Path, required=True, help="directory of a sweep with searches")
    parser.add_argument("--cells", type=Path, required=True, help="CSV file with trained random cells")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    options = parser.parse_args()
    trained = [row for row in evidence.read(options.cells) if row.group == evidence.RANDOM]
    cells = {row.candidate: row.test_nats for row in trained}
    posteriors = sorted(options.sweep.glob(f"search/*/{RunFiles.posterior}"))
    if not cells or not posteriors:
        parser.error("no random cell in --cells" if not cells else "no search with a posterior in --sweep")
    rows = [row for path in posteriors for row in scores(path.parent.name, path, cells)]
    print(table(rows))
    if options.out:
        write(rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
