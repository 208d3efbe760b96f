"""The drawn cell: well-formed, complete, and without a text that covers another."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from bayesnas_tf.reporting import cell_drawing, cell_layout
from bayesnas_tf.space.genotype import Genotype, Node
from tests.support import figures

SVG = "{http://www.w3.org/2000/svg}"


def genotype(cell, output=None, **provenance):
    pairs = [re.fullmatch(r"([a-z]+)(\d+)", word).groups() for word in cell.split()]
    nodes = tuple(Node(int(source), op) for op, source in pairs)
    return Genotype(nodes, tuple(output or range(1, len(nodes) + 1)), "a <cell> & more", provenance)


def random_cell(seed):
    generator = np.random.default_rng(seed)
    nodes = int(generator.integers(1, 12))
    ops = ("tanh", "relu", "sigmoid", "identity")
    cell = " ".join(f"{ops[generator.integers(4)]}{generator.integers(k)}" for k in range(1, nodes + 1))
    outputs = [k for k in range(nodes + 1) if generator.random() < 0.6] or [nodes]
    return genotype(cell, outputs)


CELLS = {
    "darts": genotype("sigmoid0 relu1 relu1 identity1 tanh2 sigmoid5 tanh3 relu5"),
    "star": genotype(" ".join(["tanh0"] * 8), corpus="ptb", lambda_w=0.17, seed=3),
    "chain": genotype("tanh0 relu1 sigmoid2 identity3 tanh4 relu5 sigmoid6 identity7"),
    "nao": genotype("relu0 relu0 relu1 tanh3 relu4 relu4 relu5 relu1 relu7 relu1 identity1"),
    "enas": genotype(
        "tanh0 tanh1 relu1 tanh3 tanh3 relu3 relu4 relu7 relu8 relu8 relu8", [2, 5, 6, 9, 10, 11]
    ),
    "one": genotype("identity0"),
    "node 0 in the output, node 1 unused": genotype("relu0 tanh0 identity2", [0, 2, 3]),
    **{f"random {seed}": random_cell(seed) for seed in range(30)},
}


@pytest.fixture(params=CELLS, scope="module")
def cell(request):
    return CELLS[request.param]


def lay_out(cell):
    return cell_layout.lay_out(cell.graph(), cell_drawing.caption(cell))


def test_svg_is_xml_with_an_arrow_and_labels_for_each_node(cell):
    root = ElementTree.fromstring(cell_drawing.svg(cell))
    groups = [group.get("class") for group in root.iter(f"{SVG}g")]
    assert groups.count("edge") == len(cell.nodes)
    assert groups.count("input") == 2
    assert groups.count("output") == len(cell.output) + 1
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for number, node in enumerate(cell.nodes, start=1):
        assert str(number) in texts
        assert node.op in texts
    assert root.find(f"{SVG}title").text == f"a <cell> & more: recurrent cell of {len(cell.nodes)} nodes"
    assert root.find(f"{SVG}desc").text == str(cell)


def test_svg_depends_on_nothing_outside(cell):
    text = cell_drawing.svg(cell)
    assert "href" not in text
    assert text.count("http") == 1  # the namespace


def test_texts_and_nodes_do_not_overlap_and_lie_inside(cell):
    figures.assert_nothing_overlaps_and_all_lies_inside(lay_out(cell))


def test_no_line_crosses_another_or_runs_through_a_foreign_label(cell):
    figure = lay_out(cell)
    lines = [figures.curve_points(arrow) for arrow in figure.arrows if arrow.kind != "input"]
    for a, b in itertools.combinations(lines, 2):
        assert figures.crossings(a, b) == 0
    figures.assert_no_edge_runs_through_a_foreign_label(figure)


def test_output_nodes_fall_straight_to_the_mean(cell):
    for arrow in lay_out(cell).arrows:
        if arrow.kind == "output":
            assert {x for x, _ in (*arrow.curve, arrow.tip)} == {arrow.tip[0]}


def test_a_layered_cell_has_one_row_per_depth():
    figure = lay_out(CELLS["darts"])
    rows = sorted({disc.y for disc in figure.discs})
    depths = [0, *CELLS["darts"].depths()]
    assert [rows.index(disc.y) for disc in figure.discs] == depths


def test_edges_carry_the_colour_of_their_operation():
    figure = lay_out(CELLS["darts"])
    colours = [arrow.colour for arrow in figure.arrows if arrow.kind == "edge"]
    assert colours == [cell_layout.op_colour(node.op) for node in CELLS["darts"].nodes]


def test_provenance_is_printed_below_the_name():
    assert "corpus ptb  ·  lambda_w 0.17  ·  seed 3" in cell_drawing.svg(CELLS["star"])


def test_pixels_have_the_size_of_the_svg(cell):
    figure, image = lay_out(cell), cell_drawing.pixels(cell)
    assert image.dtype == np.uint8
    assert image.shape == (round(figure.height), round(figure.width), 3)
    assert (image[0, 0] == 255).all()


def test_pixels_show_the_nodes_where_the_layout_has_them():
    figure, image = lay_out(CELLS["chain"]), cell_drawing.pixels(CELLS["chain"], scale=2.0)
    for disc in figure.discs[1:]:
        at = image[round(2 * disc.y), round(2 * (disc.x - 0.7 * disc.radius))]
        np.testing.assert_allclose(at, disc.fill, atol=2)


def test_dot_has_an_edge_per_node_and_per_output(cell):
    text = cell_drawing.dot(cell)
    for number, node in enumerate(cell.nodes, start=1):
        assert f'  "{node.source}" -> "{number}" [label="{node.op}"' in text
    assert text.count('-> "mean"') == len(cell.output)
    assert text.count("{") - text.count("h_{t-1}") == text.count("}") - text.count("h_{t-1}") == 1


def test_dot_quotes_names():
    quoted = Genotype((Node(0, "relu"),), (1,), 'a "b" \\c')
    assert cell_drawing.dot(quoted).startswith('digraph "a \\"b\\" \\\\c" {')
