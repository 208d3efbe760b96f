"""Plant a signal: a search should keep the memory where a text needs it, and drop it elsewhere.

Example: python -m tools.studies.planted --folder=texts
then
  python -m bayesnas_tf.sweep --gin_file=studies/planted.gin --data_dir=texts --run_dir=runs/planted
  python -m tools.studies.planted --sweep=runs/planted

The first command writes two texts. Each line shows a symbol, then dots, a question mark and the symbol again.
In the first text a symbol comes back behind one word, the mark; in the second behind 1 to 20, each as likely,
so that a network learns to bridge a few before it bridges many. The last command counts how often each switch
was kept; with --out=planted.csv it also writes a row for each search and switch.
"""

import collections
import csv
import json
import math
import random
import sys
from pathlib import Path
from typing import Any

from bayesnas_tf.run_files import RunFiles
from tools import cli

DELAYS = (1, 20)  # the most words between a symbol and its return
SYMBOLS = 8
TOKENS = {"train": 400_000, "valid": 10_000, "test": 2_000}
FILE = "delay-{delay}-{split}.txt"  # as studies/planted.gin names them


def text(delay: int, tokens: int, seed: int) -> str:
    """Lines of a symbol, 1 to `delay` words and the symbol again; with their ends at least so many tokens."""
    draw, lines, count = random.Random(seed), [], 0
    while count < tokens:
        symbol, words = f"s{draw.randrange(SYMBOLS)}", draw.randint(1, delay)
        lines.append(" ".join([symbol, *["."] * (words - 1), "?", symbol]))
        count += words + 3
    return "\n".join(lines) + "\n"


def least_nats(delay: int, recalled: bool) -> float:
    """Entropy of such a text in nats per token, if the symbol is recalled; else its return is a surprise."""
    symbols = (1 if recalled else 2) * math.log(SYMBOLS)
    return (symbols + math.log(delay)) / ((1 + delay) / 2 + 3)


def write(folder: Path) -> None:
    """The texts of every delay and split."""
    folder.mkdir(parents=True, exist_ok=True)
    for delay in DELAYS:
        for seed, (split, tokens) in enumerate(TOKENS.items()):
            (folder / FILE.format(delay=delay, split=split)).write_text(text(delay, tokens, seed))


def searches(sweep: Path) -> dict[int, list[dict[str, Any]]]:
    """delay -> its searches by seed: `seed`, `valid_nats` and the health of each."""
    view, found = json.loads(RunFiles(sweep).sweep.read_text()), collections.defaultdict(list)
    for run in sorted(view["runs"], key=lambda run: run["seed"]):
        if run["state"] == "done":
            delay = next(d for d in DELAYS if FILE.format(delay=d, split="train") in run["run"])
            summary = json.loads(RunFiles(sweep / run["run"]).summary.read_text())
            found[delay].append(
                {"seed": run["seed"], "valid_nats": summary["valid_nats"], **summary["health"]}
            )
    return dict(found)


def table(found: dict[int, list[dict[str, Any]]]) -> str:
    """How often each switch was kept, and its values; and whether the supernets know the symbols."""
    lines = [f"{'delay':>5} {'switch':<10} {'kept':>8}  values"]
    for delay, reports in sorted(found.items()):
        least = " or ".join(f"{least_nats(delay, recalled):.3f}" for recalled in (True, False))
        nats = " ".join(f"{report['valid_nats']:.3f}" for report in reports)
        lines.append(f"{delay:>5} nats: {least} at best, with the symbols or without; found {nats}")
        for name in reports[0]["switches"]:
            switches = [report["switches"][name] for report in reports]
            kept = f"{sum(switch['kept'] for switch in switches)} of {len(switches)}"
            values = " ".join(f"{switch['w']:.2f}" for switch in switches)
            lines.append(f"{delay:>5} {name:<10} {kept:>8}  {values}")
    return "\n".join(lines)


def rows(found: dict[int, list[dict[str, Any]]], path: Path) -> None:
    """Write what the table counts, and the losses."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["delay", "seed", "valid_nats", "switch", "w", "gamma", "saliency", "kept"])
        for delay, reports in sorted(found.items()):
            for report in reports:
                for name, switch in report["switches"].items():
                    numbers = [switch[key] for key in ("w", "gamma", "saliency", "kept")]
                    writer.writerow([delay, report["seed"], report["valid_nats"], name, *numbers])


def main() -> int:
    """Write the texts, or print the table."""
    parser = cli.Parser("tools.studies.planted", __doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="folder to which the texts are written")
    what.add_argument("--sweep", type=Path, help="directory of a finished sweep whose table is printed")
    parser.add_argument("--out", type=Path, help="CSV file for the rows of --sweep")
    options = parser.parse_args()
    if options.folder:
        write(options.folder)
        return 0
    found = searches(options.sweep)
    print(table(found))
    if options.out:
        rows(found, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
