"""The cells of the literature against the table they were copied from, written here a second time."""

import numpy as np
import pytest

from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import published
from bayesnas_tf.space.highway.operations import OP_NAMES
from tests.support.sizes import parameter_count

# (op, source) of each node as the systems' own code prints its genotypes, and the nodes in the mean
PRINTED = {
    "DARTS_V1": ("relu relu tanh relu relu identity relu relu", (0, 1, 2, 3, 4, 1, 5, 1), range(1, 9)),
    "DARTS_V2": ("sigmoid relu relu identity tanh sigmoid tanh relu", (0, 1, 1, 1, 2, 5, 3, 5), range(1, 9)),
    "ENAS": (
        "tanh tanh relu tanh tanh relu relu relu relu relu relu",
        (0, 1, 1, 3, 3, 3, 4, 7, 8, 8, 8),
        (2, 5, 6, 9, 10, 11),
    ),
    "ENAS_LM": (
        "sigmoid tanh relu sigmoid tanh tanh sigmoid sigmoid",
        (0, 1, 2, 2, 4, 5, 3, 6),
        range(1, 9),
    ),
    "NAO": (
        "relu relu relu tanh relu relu relu relu relu relu identity",
        (0, 0, 1, 3, 4, 4, 5, 1, 7, 1, 1),
        range(1, 12),
    ),
    "NAO_WS": (
        "relu relu sigmoid sigmoid relu relu relu relu sigmoid tanh relu",
        (0, 1, 2, 1, 4, 4, 4, 7, 8, 1, 4),
        range(1, 12),
    ),
    "GDAS": ("relu relu identity relu tanh relu identity identity", (0, 0, 1, 1, 0, 2, 4, 2), range(1, 9)),
    "SDARTS_RS": (
        "sigmoid sigmoid identity sigmoid tanh tanh sigmoid sigmoid",
        (0, 1, 2, 1, 2, 2, 0, 3),
        range(1, 9),
    ),
    "SDARTS_ADV": (
        "relu relu tanh relu identity relu tanh relu",
        (0, 1, 2, 3, 2, 1, 2, 7),
        range(1, 9),
    ),
}


def test_every_known_cell_is_checked_here():
    assert set(PRINTED) == set(published.NAMES)


@pytest.mark.parametrize("name", published.NAMES)
def test_a_known_cell_is_the_printed_one(name):
    ops, sources, output = PRINTED[name]
    cell = published.named(name)
    assert cell.nodes == tuple(map(Node, sources, ops.split()))
    assert cell.output == tuple(output)
    assert cell.name == name
    assert Genotype.from_dict(cell.to_dict()) == cell


@pytest.mark.parametrize(("name", "units", "millions"), [("DARTS_V2", 850, 22.96), ("NAO", 850, 27.30)])
def test_their_sizes_are_those_of_the_tables(name, units, millions):
    count = parameter_count(10_000, units, len(published.named(name).nodes))
    assert count == pytest.approx(millions * 1e6, rel=1e-3)


def test_a_random_cell_follows_from_its_seed_alone():
    assert published.named("random-3") == published.random_cell(3) == published.named("random", seed=3)
    assert published.random_cell(3) != published.random_cell(4)
    assert published.named("random-3").name == "random-3"
    # the recipe: raw draws of PCG64(seed); per node a source, then an operation, each by the remainder
    assert str(published.random_cell(1)).startswith(GOLDEN)


GOLDEN = "sigmoid0 sigmoid1 tanh2 "


def test_sources_and_operations_are_uniform():
    cells = [published.random_cell(seed) for seed in range(2000)]
    last = np.array([cell.nodes[-1].source for cell in cells])
    ops = [node.op for cell in cells for node in cell.nodes]
    counts = np.bincount(last, minlength=8)
    assert len(counts) == 8
    assert abs(counts - 250).max() < 5 * np.sqrt(250)
    for op in set(ops):
        assert abs(ops.count(op) - len(ops) / 4) < 5 * np.sqrt(len(ops) / 4)
    assert len(set(ops)) == 4


def test_a_matched_random_cell_has_the_size_and_depth_of_its_name():
    searched = published.named("DARTS_V2")
    cells = [published.named(published.matched_name(seed, searched)) for seed in range(20)]
    assert {sum(cell.depths()) for cell in cells} == {sum(searched.depths())}
    assert {len(cell.nodes) for cell in cells} == {8}
    assert len({str(cell) for cell in cells}) == 20
    assert cells[3] == published.named(cells[3].name)
    assert {node.op for cell in cells for node in cell.nodes} == set(OP_NAMES)


def test_matched_cells_share_no_draw_with_the_random_cells_of_their_number():
    for seed in range(1, 33):
        cell = published.random_cell(seed)
        assert published.named(published.matched_name(seed, cell)) != cell
    # the recipe: raw draws of PCG64([seed, 0x6D617463]), 2n for each cell, the first with that sum of depths
    assert str(published.named("random-1-nodes8-depth20")) == MATCHED


MATCHED = "tanh0 identity1 sigmoid2 tanh1 tanh1 relu4 relu6 relu4 -> mean 1 2 3 4 5 6 7 8"


def test_a_depth_too_rare_to_be_drawn_gives_the_nearest_and_says_so():
    chain = published.named("random-1-nodes11-depth66")
    assert 45 < sum(chain.depths()) == chain.provenance["depth"] < 66


@pytest.mark.parametrize(
    "name", ["random-1-nodes8-depth7", "random-1-nodes8-depth37", "random-1-nodes0-depth0"]
)
def test_no_cell_has_an_impossible_depth(name):
    assert published.named(name) is None


@pytest.mark.parametrize(
    "name", ["darts_v2", "random-", "random-x", "random--1", "", "NAO ", "random-1234567890"]
)
def test_other_names_are_no_cell(name):
    assert published.named(name) is None
