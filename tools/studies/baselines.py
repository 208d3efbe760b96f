"""Train every baseline, and the given cells, on one text, one after the other, and print a table.

Example: python -m tools.studies.baselines --gin_file=base/small_baseline.gin DARTS_V2 random-1
Without --gin_file each system has its published configuration. A second run resumes the first one.
"""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

from bayesnas_tf.run_files import RunFiles
from tools import cli

SYSTEMS = ("rhn", "awd_lstm", "lstm_skip", "mos", "nas")
HEAD = (
    "system",
    "parameters",
    "steps",
    "tokens",
    "tokens/s",
    "train nats per quarter",
    "valid / test perplexity",
)


def folder(system: str) -> str:
    """The name of a system's run directory: of a search's cell that of the search."""
    path = Path(system)
    return path.resolve().parent.name if path.name == RunFiles.genotype else path.stem


def command(system: str, arguments: argparse.Namespace) -> list[str]:
    """The command line of one row: a baseline's own file, or the protocol of cells for a genotype."""
    own = (
        [f"--gin_file=baselines/{system}.gin"]
        if system in SYSTEMS
        else ["--gin_file=ptb_eval.gin", f"--genotype={system}"]
    )
    shared = [f"--gin_file={file}" for file in arguments.gin_file]
    shared += [f"--gin_param={param}" for param in arguments.gin_param]
    where = [f"--run_dir={arguments.out / folder(system)}", f"--seed={arguments.seed}"]
    where += [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    return [sys.executable, "-m", "bayesnas_tf.evaluate", *own, *shared, *where]


def quarters(nats: list[float]) -> list[float]:
    """Means of the training loss over the four quarters of a run, or of as many parts as it has reports."""
    parts = min(4, len(nats))
    bounds = [round(k * len(nats) / parts) for k in range(parts + 1)]
    return [sum(nats[a:b]) / (b - a) for a, b in itertools.pairwise(bounds)]


def row(directory: Path) -> str:
    """One line of the table from a run that has ended."""
    summary = json.loads(RunFiles(directory).summary.read_text())
    lines = [json.loads(line) for line in RunFiles(directory).metrics.read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    tokens = round(summary["tokens_per_second"] * summary["seconds"]["train"])
    cells = (
        directory.name,
        f"{summary['parameters']:,}",
        f"{train[-1]['step']:,}",
        f"{tokens:,}",
        f"{summary['tokens_per_second']:,.0f}",
        " ".join(f"{value:.2f}" for value in quarters([line["nats"] for line in train])),
        f"{summary['valid_ppl']:.1f} / {summary['test_ppl']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    """Train what has not ended, then print the table; the exit code of the first failure, which ends it."""
    parser = cli.Parser("tools.studies.baselines", __doc__)
    parser.add_argument(
        "genotypes", nargs="*", help="cells to train too: names or files, like --genotype of evaluate"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/baselines"), help="folder of the run directories"
    )
    parser.add_argument(
        "--data_dir",
        default="",
        help="folder of the texts (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all trainings")
    parser.add_argument(
        "--gin_file", **cli.REPEATABLE, help="file that is read after each system's own file, repeatable"
    )
    parser.add_argument("--gin_param", **cli.REPEATABLE, help="NAME=VALUE for all systems, repeatable")
    arguments = parser.parse_args(argv)
    systems = [*SYSTEMS, *arguments.genotypes]
    names = [folder(system) for system in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        parser.error(
            f"several systems would share the run directory {min(twice)!r}. Rename one genotype file"
        )
    code, rows = 0, []
    for system, name in zip(systems, names, strict=True):
        if code := subprocess.run(command(system, arguments)).returncode:
            break
        rows.append(row(arguments.out / name))
    print("\n".join([f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *rows]))
    return code


if __name__ == "__main__":
    sys.exit(main())
