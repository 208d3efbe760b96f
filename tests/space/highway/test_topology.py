"""The flat edge index is a bijection, destination-major."""

import numpy as np
import pytest

from bayesnas_tf.space.highway import topology


@pytest.mark.parametrize("nodes", range(1, 13))
def test_edge_index_is_a_bijection(nodes):
    pairs = [(i, j) for j in range(nodes + 1) for i in range(j)]
    indices = [topology.edge_index(i, j) for i, j in pairs]
    assert sorted(indices) == list(range(topology.edge_count(nodes)))
    assert topology.edges(nodes)[indices].tolist() == [list(pair) for pair in pairs]


@pytest.mark.parametrize("nodes", [1, 5, 8])
def test_incoming_and_outgoing_partition_the_edges(nodes):
    edges = topology.edges(nodes)
    for node in range(1, nodes + 1):
        assert edges[topology.incoming(node)].tolist() == [[i, node] for i in range(node)]
    for node in range(nodes + 1):
        leaving = topology.outgoing(node, nodes)
        assert edges[leaving].tolist() == [[node, j] for j in range(node + 1, nodes + 1)]
    every = np.concatenate([topology.outgoing(node, nodes) for node in range(nodes + 1)])
    assert sorted(every) == list(range(topology.edge_count(nodes)))


def test_no_nodes_have_no_edges():
    assert topology.edge_count(0) == 0
    assert topology.edges(0).shape == (0, 2)


@pytest.mark.parametrize("pair", [(1, 1), (2, 1), (-1, 1)])
def test_an_edge_goes_forward(pair):
    with pytest.raises(ValueError, match="no edge"):
        topology.edge_index(*pair)


def test_node_count_inverts_edge_count():
    assert [topology.node_count(topology.edge_count(n)) for n in range(100)] == list(range(100))
    with pytest.raises(ValueError, match="no number of nodes has 35 edges"):
        topology.node_count(35)
