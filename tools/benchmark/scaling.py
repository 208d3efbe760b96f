"""How the seconds and the memory of a search step grow with T, B, U, n, V and the sharing of weights.

Example: python -m tools.benchmark.scaling --gin_file=ptb.gin
It prints Markdown. It halves and doubles one size of the configuration at a time, on random token ids, and
measures each point in its own process. "relative" is the time over that of the unchanged configuration.

--flat N instead trains N steps and prints the resident memory after each tenth of them.
"""

import argparse
import statistics
import sys
from typing import NamedTuple, get_args

from bayesnas_tf import config
from bayesnas_tf.cells.search_cell import Sharing
from bayesnas_tf.config.failures import one_line
from bayesnas_tf.errors import UserError
from tools import cli, machine
from tools.benchmark.steps import train_timer
from tools.benchmark.subject import Recipe, build, configured_search, vocabulary_of

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
    for sharing in get_args(Sharing):
        if sharing != settings.cell.weight_sharing:
            found.append(of("weight sharing", sharing, tokens, f"CellOptions.weight_sharing = {sharing!r}"))
    return found


def cost(recipe: Recipe, rounds: int) -> Cost:
    """Take steps in this process, which does nothing else."""
    step = train_timer(build(recipe, rounds))
    step()
    return Cost(statistics.median(step() for _ in range(rounds)), machine.peak_mb())


def memory_over(recipe: Recipe, steps: int) -> list[tuple[int, float | None]]:
    """Resident memory of this process after every tenth of so many steps."""
    step, found = train_timer(build(recipe, steps)), []
    for number in range(1, steps + 1):
        step()
        if number % max(1, steps // 10) == 0:
            found.append((number, machine.resident_mb()))
    return found


def curves(options: argparse.Namespace) -> None:
    """Measure all points, and print each as soon as it is known."""
    base = None
    print("| size | value | seconds per step | relative | peak memory, MB |\n|---|---|---|---|---|")
    for point in points(options.gin_file, options.gin_param, options.vocabulary):
        found = machine.alone(cost, point.recipe, options.steps)
        base = base or found.seconds
        numbers = (f"{found.seconds:.3f}", f"{found.seconds / base:.2f}", _megabytes(found.peak_mb))
        print(f"| {' | '.join((point.size, point.value, *numbers))} |", flush=True)


def flat(options: argparse.Namespace) -> None:
    """Train in a process of its own, and print its memory."""
    unchanged = points(options.gin_file, options.gin_param, options.vocabulary)[0]
    print("| steps | resident memory, MB |\n|---|---|")
    for number, memory in machine.alone(memory_over, unchanged.recipe, options.flat):
        print(f"| {number} | {_megabytes(memory)} |")


def _megabytes(memory: float | None) -> str:
    return "not known" if memory is None else f"{memory:,.0f}"


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.benchmark.scaling", __doc__)
    parser.add_argument(
        "--gin_file", **cli.REPEATABLE, help="file of a search, repeatable (default: ptb.gin)"
    )
    parser.add_argument("--gin_param", **cli.REPEATABLE, help="NAME=VALUE, repeatable")
    parser.add_argument(
        "--vocabulary", type=int, default=0, help="number of tokens (default: that of the corpus)"
    )
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each point")
    parser.add_argument("--flat", type=int, metavar="N", help="measure the memory over N steps instead")
    options = parser.parse_args(arguments)
    options.gin_file = options.gin_file or ["ptb.gin"]
    for name, least in (("steps", 1), ("vocabulary", 0), ("flat", 1)):
        if getattr(options, name) is not None and getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 with one line where the configuration is wrong."""
    options = parsed(arguments)
    try:
        (flat if options.flat else curves)(options)
    except (UserError, ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
