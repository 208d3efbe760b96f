"""What is measured: how fast and in how much memory each part of a search or a training runs.

Each function in `MEASURES` measures one entry of the result, (bench, plan, entries so far) -> a NamedTuple of
numbers. Seconds are wall-clock medians; memory is resident memory on the host, in megabytes of 10^6 bytes;
compile time is what the first call takes beyond a later one.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from tools import machine
from tools.benchmark.curvature import hessian, one_pass
from tools.benchmark.serving import generate, score
from tools.benchmark.steps import evaluate, search_step, train_step
from tools.benchmark.subject import Bench, Entries, Plan, Recipe, build, describe

# In order: an entry may use those before it.
OF_SEARCH = {"search_step": search_step, "hessian": hessian, "one_pass": one_pass}
OF_TRAINING = {"train_step": train_step, "evaluate": evaluate, "score": score, "generate": generate}
MEASURES: dict[str, Callable[[Bench, Plan, Entries], Any]] = {**OF_SEARCH, **OF_TRAINING}

PARTS = ("split", "peer")  # of an entry: NamedTuples themselves


def entries_of(recipe: Recipe) -> tuple[str, ...]:
    """What can be measured of a search, or of the training of a cell."""
    return tuple(OF_TRAINING if recipe.genotype else OF_SEARCH)


def numbers(entry) -> dict[str, Any]:
    """The numbers of an entry as one dictionary; a part that was not measured is left out."""
    found: dict[str, Any] = {}
    for key, value in entry._asdict().items():
        if key in PARTS:
            found |= value._asdict() if value else {}
        else:
            found[key] = value
    return found


class Measured(NamedTuple):
    """One entry, and the sizes of what was measured."""

    description: str
    numbers: dict[str, Any]


def measured(recipe: Recipe, plan: Plan, name: str, entries: Entries) -> Measured:
    """An entry; to be called in a new process, for the command that it measures decides about threads."""
    bench = build(recipe, plan.rounds)
    return Measured(describe(bench), numbers(MEASURES[name](bench, plan, entries)))


def measure(recipe: Recipe, plan: Plan, only: Collection[str] = ()) -> Iterator[tuple[str, Measured]]:
    """The name of each entry and what is found, as soon as it is measured; `only` names those wanted."""
    entries: Entries = {}
    for name in entries_of(recipe):
        if not only or name in only:
            found = machine.alone(measured, recipe, plan, name, entries)
            entries[name] = found.numbers
            yield name, found
