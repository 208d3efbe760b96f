"""The graph of a cell."""

import pytest

from bayesnas_tf.bayes import health
from bayesnas_tf.space.graph import Edge, Graph, Node
from bayesnas_tf.space.highway import published


def test_the_graph_of_a_cell_of_the_highway_space():
    cell = published.parse("tanh0 relu1 identity0", (1, 3), "a cell", "here")
    graph = cell.graph()
    assert graph.inputs == ("x_t", "h_{t-1}")
    assert graph.outputs == ("h_t",)
    assert [node.name for node in graph.nodes] == ["0", "1", "2", "3", "mean"]
    assert graph.learned() == ["1", "2", "3"]
    assert graph.operations() == [("0", "1", "tanh"), ("1", "2", "relu"), ("0", "3", "identity")]
    assert [edge.source for edge in graph.into("mean")] == ["1", "3"]
    assert [edge.target for edge in graph.out_of("0")] == ["1", "3"]


@pytest.mark.parametrize("name", [*published.NAMES, "random-3"])
def test_depth_counts_the_steps_from_node_0(name):
    cell = published.named(name)
    depth = [0]
    for node in cell.nodes:
        depth.append(depth[node.source] + 1)
    assert cell.depths() == cell.graph().depths() == depth[1:]


def test_depth_is_the_longest_way_in_operations():
    nodes = (Node("1", "1", "learned"), Node("p", "×", "product"), Node("2", "2", "learned"))
    edges = (
        Edge("x_t", "1", "tanh"),
        Edge("x_t", "p"),
        Edge("1", "p"),
        Edge("p", "2", "tanh"),
        Edge("2", "h_t"),
    )
    assert Graph(nodes, edges, ("x_t", "h_{t-1}"), ("h_t",)).depths() == [1, 2]


def test_shares_of_a_cell_without_learned_nodes_are_not_measured(monkeypatch):
    cell = published.named("ENAS")
    empty = cell.graph()._replace(nodes=(), edges=())
    monkeypatch.setattr(type(cell), "graph", lambda self: empty)
    assert all(value != value for value in health.structure(cell))
