import numpy as np
import pytest

from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import published, topology
from bayesnas_tf.space.highway.operations import OP_NAMES
from bayesnas_tf.space.highway.space import Highway

SPACE = Highway(4)


def test_the_space_has_its_name():
    assert base.named("highway") is Highway
    assert published.named("ENAS").space == "highway"


@pytest.mark.parametrize("nodes", [1, 2, 8])
def test_sites_are_the_edges(nodes):
    sites = Highway(nodes).sites
    np.testing.assert_array_equal(sites.pairs(), topology.edges(nodes))
    assert sites.options == OP_NAMES
    assert sites.exists.all()
    assert sites.exists.shape == (topology.edge_count(nodes), len(OP_NAMES))
    assert sites.targets() == list(range(1, nodes + 1))
    for node in range(1, nodes + 1):
        np.testing.assert_array_equal(sites.into(node), np.r_[topology.incoming(node)])
        np.testing.assert_array_equal(sites.out_of(node - 1), topology.outgoing(node - 1, nodes))


def test_the_parents_of_an_edge_are_the_edges_into_its_source():
    sites = SPACE.sites
    for row, (source, _) in enumerate(sites.pairs()):
        assert SPACE.parents(row).tolist() == [k for k, into in enumerate(sites.target) if into == source]


@pytest.mark.parametrize("name", ["DARTS_V2", "GDAS", "random-3"])
def test_a_cell_survives_its_choice(name):
    cell = published.named(name)
    assert Highway(len(cell.nodes)).of_choice(Highway.choice(cell)) == cell


def test_a_choice_that_is_no_cell_is_refused():
    with pytest.raises(ValueError, match="node 1 .* takes its input from node 1"):
        SPACE.of_choice(np.array([[1, 0]]))


def test_every_choice_within_the_slots_is_a_cell():
    draw = np.random.default_rng(0)
    for _ in range(20):
        cell = SPACE.of_choice(draw.integers(0, SPACE.slots))
        assert isinstance(cell, Genotype)
    last = SPACE.of_choice(SPACE.slots - 1)
    assert [(node.source, node.op) for node in last.nodes] == [(k, "identity") for k in range(4)]


def test_shares_count_each_edge_op_once_per_cell():
    drawn = np.array([Highway.choice(published.random_cell(seed, 4)) for seed in range(10)])
    shares = SPACE.shares(drawn)
    for node in range(1, 5):
        assert shares[topology.incoming(node)].sum() == pytest.approx(1.0)
        for source in range(node):
            for op in range(4):
                counted = sum(tuple(cell[node - 1]) == (source, op) for cell in drawn)
                assert shares[topology.edge_index(source, node), op] == pytest.approx(counted / 10)
