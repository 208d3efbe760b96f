"""Drawings of any small graph: several states, products, nodes with several sources."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from bayesnas_tf.reporting import cell_drawing, cell_layout, layers
from bayesnas_tf.space.graph import Edge, Graph, Node
from bayesnas_tf.space.highway import published
from tests.support import figures

SVG = "{http://www.w3.org/2000/svg}"
INPUTS, OUTPUTS = ("x_t", "h_{t-1}", "c_{t-1}"), ("h_t", "c_t")
CAPTION = cell_layout.Caption("a <graph>", "by hand")

TOY = Graph(  # three learned nodes, one of three sources, one product, two states
    (
        Node("0", "0", "fixed"),
        Node("1", "1", "learned"),
        Node("2", "2", "learned"),
        Node("p", "×", "product"),
        Node("3", "3", "learned"),
        Node("mean", "mean", "mean"),
    ),
    (
        Edge("x_t", "0"),
        Edge("h_{t-1}", "0"),
        Edge("0", "1", "relu"),
        Edge("0", "2", "tanh"),
        Edge("1", "2", "tanh"),
        Edge("c_{t-1}", "2", "tanh"),
        Edge("1", "p"),
        Edge("2", "p"),
        Edge("p", "3", "identity"),
        Edge("p", "c_t"),
        Edge("1", "mean"),
        Edge("2", "mean"),
        Edge("3", "mean"),
        Edge("mean", "h_t"),
    ),
    INPUTS,
    OUTPUTS,
)
LSTM = Graph(  # two edges from one node to one product, no learned node, no mean
    (
        Node("z", "z", "fixed"),
        Node("kept", "×", "product"),
        Node("new", "×", "product"),
        Node("c", "+", "sum"),
        Node("h", "×", "product"),
    ),
    (
        Edge("x_t", "z"),
        Edge("h_{t-1}", "z"),
        Edge("z", "new", "sigmoid"),
        Edge("z", "new", "tanh"),
        Edge("z", "kept", "sigmoid"),
        Edge("c_{t-1}", "kept"),
        Edge("kept", "c"),
        Edge("new", "c"),
        Edge("c", "c_t"),
        Edge("c", "h", "tanh"),
        Edge("z", "h", "sigmoid"),
        Edge("h", "h_t"),
    ),
    INPUTS,
    OUTPUTS,
)


def random_graph(seed):
    """Nodes of one to three sources, inputs among them; what no node takes goes to the mean."""
    generator = np.random.default_rng(seed)
    names, nodes, edges = list(INPUTS), [], []
    for number in range(1, int(generator.integers(2, 9))):
        name, kind = str(number), ("learned", "learned", "product", "sum")[generator.integers(4)]
        nodes.append(Node(name, name if kind == "learned" else "×", kind))
        count = min(len(names), int(generator.integers(1, 4)))
        operation = ("tanh", "sigmoid")[generator.integers(2)] if kind == "learned" else ""
        edges += [Edge(names[k], name, operation) for k in generator.choice(len(names), count, replace=False)]
        names.append(name)
    taken = {edge.source for edge in edges}
    edges += [Edge(name, "mean") for name in names[3:] if name not in taken]
    edges += [Edge("mean", "h_t"), Edge("1", "c_t")]
    return Graph((*nodes, Node("mean", "mean", "mean")), tuple(edges), INPUTS, OUTPUTS)


GRAPHS = {"toy": TOY, "lstm": LSTM, **{f"random {seed}": random_graph(seed) for seed in range(20)}}


@pytest.fixture(params=GRAPHS, scope="module")
def graph(request):
    return GRAPHS[request.param]


def test_every_edge_node_and_end_is_drawn(graph):
    root = ElementTree.fromstring(cell_drawing.graph_svg(graph, CAPTION, "a description"))
    assert len(list(root.iter(f"{SVG}g"))) == len(graph.edges)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for operation in {edge.operation for edge in graph.operations()}:
        assert texts.count(operation) == sum(edge.operation == operation for edge in graph.edges)
    assert [texts.count(letter) for letter in ("x", "h", "c")] == [1, 2, 2]
    assert root.find(f"{SVG}desc").text == "a description"


def test_nothing_overlaps_and_all_lies_inside(graph):
    figures.assert_nothing_overlaps_and_all_lies_inside(cell_layout.lay_out(graph, CAPTION))


def test_no_edge_runs_through_a_foreign_label(graph):
    figures.assert_no_edge_runs_through_a_foreign_label(cell_layout.lay_out(graph, CAPTION))


def test_no_line_runs_through_a_foreign_node(graph):
    figure = cell_layout.lay_out(graph, CAPTION)
    at = {node.name: disc for node, disc in zip(discs(graph), figure.discs, strict=True)}
    for edge, arrow in zip(graph.edges, figure.arrows, strict=True):
        points = figures.curve_points(arrow)
        for name, disc in at.items():
            if name not in edge[:2]:
                assert np.hypot(points[:, 0] - disc.x, points[:, 1] - disc.y).min() > disc.radius


def discs(graph):
    return [node for node in graph.nodes if node.name != layers.place(graph).bar]


@pytest.mark.parametrize("name", ["toy", "lstm"])
def test_no_line_of_a_planar_graph_crosses_another(name):
    figure = cell_layout.lay_out(GRAPHS[name], CAPTION)
    lines = [figures.curve_points(arrow) for arrow in figure.arrows]
    assert sum(figures.crossings(a, b) for k, a in enumerate(lines) for b in lines[:k]) == 0


def test_pixels_have_the_size_of_the_svg_and_its_discs(graph):
    figure, image = cell_layout.lay_out(graph, CAPTION), cell_drawing.graph_pixels(graph, CAPTION)
    assert image.shape == (round(figure.height), round(figure.width), 3)
    for disc in figure.discs:
        at = image[round(disc.y), round(disc.x - 0.75 * disc.radius)]
        np.testing.assert_allclose(at, disc.fill, atol=3)


def test_dot_has_a_line_for_each_node_end_and_edge(graph):
    text = cell_drawing.graph_dot(graph, 'a "name"')
    assert text.startswith('digraph "a \\"name\\"" {')
    assert text.count(" -> ") == len(graph.edges)
    statements = len(graph.nodes) + len(graph.inputs) + len(graph.outputs)
    assert len(text.splitlines()) == 5 + statements + len(graph.edges)
    for source, target, operation in graph.operations():
        assert f'  "{source}" -> "{target}" [label="{operation}"' in text


def test_a_ring_has_the_colour_of_the_operation_of_all_edges_into_a_node():
    figure = cell_layout.lay_out(TOY, CAPTION)
    rims = [disc.stroke for disc in figure.discs]
    expected = [cell_layout.op_colour(name) for name in ("relu", "tanh", "identity")]
    assert [rims[1], rims[2], rims[4]] == expected
    assert rims[3] == cell_layout.MUTED


def test_a_mean_that_other_nodes_take_is_no_bar():
    nodes = (Node("mean", "mean", "mean"), Node("1", "1", "learned"))
    edges = (Edge("x_t", "mean"), Edge("h_{t-1}", "mean"), Edge("mean", "1", "tanh"), Edge("1", "h_t"))
    graph = Graph(nodes, edges, INPUTS[:2], OUTPUTS[:1])
    assert layers.place(graph).bar == ""
    assert len(cell_layout.lay_out(graph, CAPTION).discs) == 2


def test_long_names_of_operations_have_room():
    edges = tuple(
        edge._replace(operation=edge.operation and "an_operation_of_many_letters") for edge in TOY.edges
    )
    figures.assert_nothing_overlaps_and_all_lies_inside(
        cell_layout.lay_out(TOY._replace(edges=edges), CAPTION)
    )


PROGRAM = """
import sys
from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.space.highway import published
assert not {"igraph", "matplotlib"} & set(sys.modules)  # what draws nothing does without them
print(cell_drawing.svg(published.named("ENAS")), cell_drawing.svg(published.random_cell(3, 64)))
assert "tensorflow" not in sys.modules
"""


def test_drawings_are_the_same_in_every_process():
    cells = published.named("ENAS"), published.random_cell(3, 64)
    expected = " ".join(map(cell_drawing.svg, cells))
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
        )
        assert told.stdout.strip() == expected.strip(), told.stderr
