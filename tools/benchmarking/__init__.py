"""What tools/benchmark measures: how fast and in how much memory each part of a search or a training runs.

Each function in `MEASURES` measures one entry of the result, (bench, plan, entries so far) -> a NamedTuple of
numbers. Seconds are wall-clock medians; memory is resident memory on the host, in megabytes of 10^6 bytes;
compile time is what the first call takes beyond a later one.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from tools.benchmarking.curvature import hessian, one_pass
from tools.benchmarking.serving import generate, score
from tools.benchmarking.steps import evaluate, search_step, train_step
from tools.benchmarking.subject import Bench, Entries, Plan, Recipe, build, describe, prepare

__all__ = ["ENTRIES", "Bench", "Plan", "Recipe", "build", "describe", "entries_of", "measure", "prepare"]

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


def measure(bench: Bench, plan: Plan, only: Collection[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and numbers of each entry, as soon as it is measured; `only` names those that are wanted."""
    entries: Entries = {}
    for name in entries_of(bench.recipe):
        if not only or name in only:
            entries[name] = numbers(MEASURES[name](bench, plan, entries))
            yield name, entries[name]
