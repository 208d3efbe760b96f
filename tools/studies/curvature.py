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
COLOURS = ("#2f6f9f", "#b5652a", "#4f8a4f", "#8a8a8a")


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


def figure(rows: list[dict[str, Any]]) -> str:
    """Rank correlation with the exact GGN diagonal: a line per estimator, a dot per setting, as SVG."""
    names = list(dict.fromkeys(map(name_of, rows)))
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    left, width, step, top = 190, 420, 24, 44
    x = lambda value: left + width * max(value, 0.0)  # noqa: E731
    parts = [
        f'<text x="{left + 120 * k}" y="18" fill="{colour}">● {setting}</text>'
        for k, (setting, colour) in enumerate(zip(settings, COLOURS, strict=False))
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{top - 12}" y2="{top + step * len(names)}" '
            'stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{x(tick)}" y="{top + step * len(names) + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for k, name in enumerate(names):
        y = top + step * k + 6
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{name}</text>')
        for row in (row for row in rows if name_of(row) == name):
            colour = COLOURS[settings.index(row["setting"]) % len(COLOURS)]
            parts.append(
                f'<circle cx="{x(row["spearman_ggn"]):.1f}" cy="{y}" r="5" fill="{colour}" '
                'fill-opacity="0.8"/>'
            )
    height = top + step * len(names) + 46
    caption = (
        f'<text x="{left}" y="{height - 8}">Spearman correlation with the exact Gauss-Newton diagonal</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 30}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="#333"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}{caption}</svg>\n"
    )


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
        (options.out / "fidelity.svg").write_text(figure(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
