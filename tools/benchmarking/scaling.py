"""How seconds and memory of a search step grow with its sizes, and how memory stays over many steps."""

import statistics
from typing import NamedTuple, get_args

from bayesnas_tf import config
from bayesnas_tf.cells.search_cell import Sharing
from tools import machine
from tools.benchmarking.steps import train_timer
from tools.benchmarking.subject import Recipe, build, configured_search, vocabulary_of

FACTORS = (0.5, 2.0)


class Point(NamedTuple):
    """One configuration."""

    size: str
    value: str
    recipe: Recipe


class Cost(NamedTuple):
    """What a step of it takes, in a process of its own."""

    seconds: float  # median
    peak_mb: float | None  # libraries included


def points(files: list[str], params: list[str], vocabulary: int) -> list[Point]:
    """The configuration, then others with one size changed; `vocabulary` 0: that of the corpus."""

    def of(size: str, value, tokens: int, *changed: str) -> Point:
        return Point(size, str(value), Recipe(config.parse(files, [*params, *changed]), tokens, None))

    found = [of("unchanged", "", vocabulary)]
    settings = configured_search()
    tokens = vocabulary or vocabulary_of(settings.corpus)
    sizes = (
        ("T, steps of a window", "WindowOptions.bptt", settings.windows.bptt),
        ("B, rows", "WindowOptions.batch_size", settings.windows.batch_size),
        ("U, units", "CellOptions.units", settings.cell.units),
        ("n, nodes", "CellOptions.nodes", settings.cell.nodes),
    )
    for size, name, base in sizes:
        for value in (max(1, round(factor * base)) for factor in FACTORS):
            found.append(of(size, value, tokens, f"{name} = {value}"))
    found += [of("V, vocabulary", value, value) for value in (round(factor * tokens) for factor in FACTORS)]
    for value in get_args(Sharing):
        if value != settings.cell.weight_sharing:
            found.append(of("weight sharing", value, tokens, f"CellOptions.weight_sharing = {value!r}"))
    return found


def cost(recipe: Recipe, rounds: int) -> Cost:
    """Take steps in this process, which does nothing else."""
    step = train_timer(build(recipe, rounds))
    step()
    return Cost(statistics.median(step() for _ in range(rounds)), machine.peak_mb())


def flat(recipe: Recipe, steps: int) -> list[tuple[int, float | None]]:
    """Resident memory of this process after every tenth of so many steps."""
    step, found = train_timer(build(recipe, steps)), []
    for number in range(1, steps + 1):
        step()
        if number % max(1, steps // 10) == 0:
            found.append((number, machine.resident_mb()))
    return found
