"""The content of summary.json in a few lines for the terminal."""

import math
import textwrap
from typing import Any

from bayesnas_tf.space.genotype import Genotype

LABEL = 11
WIDTH = 100
UNITS = ("unigram_nats", "train_nats", "valid_nats")  # have a line of their own
SWITCHES = "switches"
REMOVALS = "discretisation"
APART = (SWITCHES, REMOVALS)  # of the health report: on lines of their own
SHARES = ("gain", "stability", "star_share", "identity_share")


def duration(seconds: float) -> str:
    """5:12, or 1:05:12 from an hour on; ? while unknown."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Result, then health, then its warnings; what a summary does not hold is left out."""
    rows = [
        _strategy(summary),
        _cell(summary),
        _size(summary),
        _perplexity(summary),
        _training(summary),
        _time(summary),
    ]
    health = summary.get("health", {})
    rows += [_losses(health), _numbers(health), _switches(health), _discretisation(health)]
    rows += [("warning", sentence) for sentence in health.get("warnings", [])]
    return [line for row in rows if row is not None and row[1] for line in _row(*row)]


def _row(label: str, text: str) -> list[str]:
    """A label and its text, wrapped beside it."""
    lines = textwrap.wrap(text, WIDTH - LABEL, break_long_words=False)
    return [f"{label if k == 0 else '':{LABEL}}{line}" for k, line in enumerate(lines)]


def _strategy(summary: dict[str, Any]) -> tuple[str, str]:
    """What chose the cell, where it was not BayesNAS."""
    name = summary.get("strategy", "bayesnas")
    return "strategy", "" if name == "bayesnas" else name


def _cell(summary: dict[str, Any]) -> tuple[str, str] | None:
    """The genotype, or the name of a baseline."""
    if summary.get("genotype"):
        return "cell", str(Genotype.from_dict(summary["genotype"]))
    return ("cell", str(summary["baseline"])) if "baseline" in summary else None


def _size(summary: dict[str, Any]) -> tuple[str, str]:
    """How many nodes live, how much was pruned, how many parameters."""
    parts = []
    if "live_nodes" in summary:
        parts.append(f"{summary['live_nodes']} live nodes")
    if summary.get("pruned_fraction") is not None:
        parts.append(f"{summary['pruned_fraction']:.1%} of the edge operations pruned")
    if "parameters" in summary:
        at = f" at {summary['units_of_parameters']} units" if "units_of_parameters" in summary else ""
        parts.append(f"{summary['parameters']:,} parameters{at}")
    return "size", ", ".join(parts)


def _perplexity(summary: dict[str, Any]) -> tuple[str, str]:
    """Perplexities; those of a search are the supernet's, not the cell's."""
    parts = _splits(summary, "") + _splits(summary.get("dynamic", {}), " dynamic")
    owner = " (of the supernet)" if parts and summary.get("kind") == "search" else ""
    return "perplexity", ", ".join(parts) + owner


def _splits(measured: dict[str, Any], kind: str) -> list[str]:
    """`valid 60.00` and `test 58.25`; null is what a summary has for a number that is not finite."""
    found = {split: measured[f"{split}_ppl"] for split in ("valid", "test") if f"{split}_ppl" in measured}
    return [f"{split} {'not finite' if ppl is None else f'{ppl:.2f}'}{kind}" for split, ppl in found.items()]


def _training(summary: dict[str, Any]) -> tuple[str, str]:
    """What became of a training's epochs; a search has no such row."""
    if summary.get("kind") != "evaluate":
        return "training", ""
    parts = ["1 epoch" if summary.get("epochs") == 1 else f"{summary.get('epochs')} epochs"]
    if summary.get("asgd_epoch"):
        parts.append(f"averaged from epoch {summary['asgd_epoch']} on")
    if summary.get("rollbacks"):
        parts.append(f"returned to an earlier state {summary['rollbacks']} times")
    return "training", ", ".join(parts)


def _time(summary: dict[str, Any]) -> tuple[str, str]:
    """Seconds per phase and speed."""
    parts = [f"{phase} {duration(seconds)}" for phase, seconds in summary.get("seconds", {}).items()]
    if "tokens_per_second" in summary:
        parts.append(f"{summary['tokens_per_second']:,.0f} tokens/s")
    return "time", ", ".join(parts)


def _losses(health: dict[str, Any]) -> tuple[str, str]:
    """The supernet beside word frequencies."""
    names = [name for name in UNITS if health.get(name) is not None]
    text = ", ".join(f"{name.removesuffix('_nats')} {health[name]:.3f}" for name in names)
    return "nats", text


def _numbers(health: dict[str, Any]) -> tuple[str, str]:
    """All other numbers of the report; lists and what was not measured are left to summary.json."""
    parts = []
    for name, value in health.items():
        label = name.replace("_", " ")
        if name in APART:
            continue
        if isinstance(value, dict):
            parts += [f"{label} {key} {item:.3g}" for key, item in value.items() if item is not None]
        elif name in SHARES and value is not None:
            parts.append(f"{label} {value:.1%}")
        elif isinstance(value, (int, float)) and name not in UNITS:
            parts.append(f"{label} {value:.3g}")
    return "health", ", ".join(parts)


def _discretisation(health: dict[str, Any]) -> tuple[str, str]:
    """What each removal of a gradual search cost; the last one leaves the cell alone."""
    told = health.get(REMOVALS, {})
    rows = zip(told.get("left", ()), told.get("before", ()), told.get("after", ()), strict=True)
    parts = [f"{before:.3f} nats, with {left:.0f} scalars left {after:.3f}" for left, before, after in rows]
    if told.get("cell") is not None:
        parts.append(f"as a cell with switches on or off {told['cell']:.3f}")
    return "removal", "; ".join(parts)


def _switches(health: dict[str, Any]) -> tuple[str, str]:
    """Of each switch its value, and whether it is kept."""
    parts = [
        f"{name} {numbers['w']:.3g}{'' if numbers['kept'] else ' (removed)'}"
        for name, numbers in health.get(SWITCHES, {}).items()
    ]
    return "switches", ", ".join(parts)
