"""Searches, trainings and floors written in a line each, and what a report makes of them."""

import dataclasses
import json

from bayesnas_tf.commands import report as command
from bayesnas_tf.report import cards, discovery
from bayesnas_tf.space.highway import published
from tests.report import builder


def examined(folder):
    return command.examine(discovery.collect([folder]))


def train(folder, cell, values, name=None, **more):
    """Trainings of a cell, one for each test perplexity; `values` maps seeds to them."""
    for seed, value in values.items():
        builder.evaluate(
            folder / f"{name or cell.name}-{seed}", cell, seed, [200.0, value + 6], value, **more
        )


def searched(folder, seed, cell=None, strategy="bayesnas", **more):
    """An ended search; returns its cell under the name and provenance of the search."""
    cell = cell or builder.found_cell(seed)
    origin = {"config": "ptb", "seed": seed, "corpus": "ptb", "strategy": strategy}
    found = dataclasses.replace(cell, name=f"ptb-seed{seed}", provenance=origin)
    builder.search(folder / f"{strategy}-{seed}", seed, genotype=found, **more)
    path = folder / f"{strategy}-{seed}" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "strategy": strategy}))
    return found


def floor(folder, count=5, level=121.0):
    """Uniform random cells with one training each."""
    for number in range(1, count + 1):
        train(folder, published.random_cell(number), {0: level + 0.3 * number})


def of_strategy(content, name="bayesnas"):
    (one,) = [c for c in content.comparisons if c.kind == "strategy" and c.first.endswith(name)]
    return one


def content_cards(content):
    return cards.build(content.collection, content.protocols)
