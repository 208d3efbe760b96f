"""Where each part of a cell's figure lies: computed once, painted as SVG and as pixels.

Time flows down. The columns are those of `layers`; the rows are farther apart where lines have far to go.
"""

import itertools
from typing import Literal, NamedTuple

from bayesnas_tf.reporting import layers
from bayesnas_tf.space.graph import Edge, Graph, Node

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (31, 41, 55)
MUTED: Colour = (107, 114, 128)
RULE: Colour = (156, 163, 175)
PALE: Colour = (243, 244, 246)
OP_COLOURS: dict[str, Colour] = {  # told apart by colour-blind readers, all at least 5:1 on white
    "tanh": (0, 98, 158),
    "relu": (184, 74, 0),
    "sigmoid": (0, 121, 90),
    "identity": (122, 79, 163),
}

COLUMN = 78.0  # pixels between columns: the widest label and a line on either side of it
ROW = 92.0  # pixels between depths, where edges go to the next column
PLAIN_ROW = 68.0  # where no edge has an operation
RADIUS = 17.0
PILL = (56.0, 28.0)  # an input or an output
LABEL_SIZE = 13.0
LABEL_HEIGHT = 18.0
ARROW_ROOM = 13.0  # between a label and the node it points to
MARGIN = 36.0
HEADER = 62.0  # title and provenance
CHARACTER = 0.58  # mean width of a character, in font sizes


class Text(NamedTuple):
    """One line of text; (x, y) is the middle of its height, at its start or its centre."""

    x: float
    y: float
    text: str
    size: float = LABEL_SIZE
    colour: Colour = INK
    anchor: Literal["start", "middle"] = "middle"
    subscript: str = ""
    bold: bool = False


class Box(NamedTuple):
    """A rounded rectangle around (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: Colour
    stroke: Colour | None
    radius: float = 6.0


class Disc(NamedTuple):
    """A node."""

    x: float
    y: float
    radius: float
    fill: Colour
    stroke: Colour


class Arrow(NamedTuple):
    """Cubic curves (a point, and three more for each) and a straight line to `tip`, where the head lies."""

    curve: tuple[Point, ...]
    tip: Point
    colour: Colour
    width: float
    kind: str  # "input", "edge", "output": what the line means


Parts = tuple[list[Arrow], list[Box], list[Disc], list[Text]]


class Layout(NamedTuple):
    """A figure: arrows lie below boxes and discs, and these below texts."""

    width: float
    height: float
    arrows: tuple[Arrow, ...]
    boxes: tuple[Box, ...]
    discs: tuple[Disc, ...]
    texts: tuple[Text, ...]


def op_colour(op: str) -> Colour:
    """The colour of an operation; ink for one that has none."""
    return OP_COLOURS.get(op, INK)


def text_width(text: str, size: float = LABEL_SIZE) -> float:
    """An upper estimate of a text's width in pixels, for any sans-serif font."""
    return CHARACTER * size * len(text)


def arrow_head(arrow: Arrow) -> tuple[Point, Point, Point]:
    """The triangle at the tip of an arrow, in the direction of its straight end."""
    (x1, y1), (x2, y2) = arrow.curve[-1], arrow.tip
    length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1e-6)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    long, wide = 4.5 + 2.0 * arrow.width, 1.5 + 1.4 * arrow.width
    base_x, base_y = x2 - long * ux, y2 - long * uy
    return (x2, y2), (base_x - wide * uy, base_y + wide * ux), (base_x + wide * uy, base_y - wide * ux)


class Caption(NamedTuple):
    """What stands above a figure."""

    name: str
    line: str  # smaller, below it


class _Places(NamedTuple):
    """Pixels of nodes, inputs and outputs, and of each edge at each layer that it meets."""

    at: dict[str, Point]
    ways: tuple[tuple[Point, ...], ...]
    bar: str


def lay_out(graph: Graph, caption: Caption) -> Layout:
    """The figure of a graph, in pixels with the origin at the top left."""
    layered = layers.place(graph)
    title = Text(MARGIN, 30, caption.name, 20, INK, "start", bold=True)
    line = Text(MARGIN, 54, caption.line, 12, MUTED, "start")
    column = max([COLUMN, *(text_width(edge.operation) + 12 for edge in graph.edges)])
    columns = [x for way in layered.ways for x, _ in way] + list(layered.column.values())
    half = max(PILL[0], column - MARGIN) / 2
    left, right = min(columns) * column - half, max(columns) * column + half
    width = max([right - left, 300.0, *(text_width(t.text, t.size) for t in (title, line))]) + 2 * MARGIN
    places = _pixels(graph, layered, column, (width - left - right) / 2)
    parts = [_edges(graph, places), *(_node(node, graph, places) for node in graph.nodes)]
    parts += [_pill(name, places.at[name]) for name in (*graph.inputs, *graph.outputs)]
    arrows, boxes, discs, texts = (tuple(itertools.chain(*kind)) for kind in zip(*parts, strict=True))
    height = max(y for _, y in places.at.values()) + PILL[1] / 2 + MARGIN * 0.75
    return Layout(width, height, arrows, boxes, discs, (title, line, *texts))


def _pixels(graph: Graph, layered: layers.Layered, column: float, shift: float) -> _Places:
    """Columns and layers as pixels."""
    y = _rows(graph, layered, column)
    at = {name: (shift + column * x, y[layered.layer[name]]) for name, x in layered.column.items()}
    ways = tuple(tuple((shift + column * x, y[layer]) for x, layer in way) for way in layered.ways)
    return _Places(at, ways, layered.bar)


def _rows(graph: Graph, layered: layers.Layered, column: float) -> list[float]:
    """The y of each layer: there is more room where lines go far to the side."""
    depth = max(layered.layer.values()) + 1
    reach, base = [0.0] * depth, [PLAIN_ROW] * depth
    for edge, way in zip(graph.edges, layered.ways, strict=True):
        for (x, _), (to, layer) in itertools.pairwise(way):
            reach[layer] = max(reach[layer], column * abs(to - x))
        if edge.operation:
            base[way[-1][1]] = ROW
    rows = [HEADER + 28.0]
    for layer in range(2, depth, 2):
        lean = min(48.0, 0.16 * max(0.0, reach[layer - 1] - COLUMN))
        room = min(60.0, 0.4 * reach[layer])
        y = rows[-1] + base[layer] + lean + room
        rows += [y - RADIUS - ARROW_ROOM - LABEL_HEIGHT / 2 - room, y]
    return rows


def _edges(graph: Graph, places: _Places) -> Parts:
    """One arrow per edge, with its operation written on the straight part."""
    arrows, boxes, texts = [], [], []
    for edge, way in zip(graph.edges, places.ways, strict=True):
        colour, width, kind = _style(edge, graph, places.bar)
        box = edge.target == places.bar or edge.target in graph.outputs
        line = _line(way, _spread(way, places), PILL[1] / 2 if box else RADIUS)
        arrows.append(Arrow(*line, colour, width, kind))
        if edge.operation:
            (x, y), wide = way[-2], text_width(edge.operation) + 6
            boxes.append(Box(x, y, wide, LABEL_HEIGHT, (255, 255, 255), None, 3))
            texts.append(Text(x, y, edge.operation, LABEL_SIZE, colour))
    return arrows, boxes, [], texts


def _style(edge: Edge, graph: Graph, bar: str) -> tuple[Colour, float, str]:
    """Colour, width and meaning of a line."""
    if edge.operation:
        return op_colour(edge.operation), 2.0, "edge"
    if edge.target == bar:
        return RULE, 1.2, "output"
    kind = "input" if edge.source in graph.inputs else "output" if edge.target in graph.outputs else "edge"
    return MUTED, 1.4, kind


def _spread(way: tuple[Point, ...], places: _Places) -> Point:
    """How far across and down a line aims at first: to the side at once, if it passes above no other node."""
    (start, y), (to, _) = way[:2]
    beside = (x for x, of_node in places.at.values() if of_node == y)
    return (0.0, 0.5) if any(min(start, to) < x < max(start, to) for x in beside) else (0.55, 0.30)


def _line(way: tuple[Point, ...], first: Point, radius: float) -> tuple[tuple[Point, ...], Point]:
    """Curve and tip of an arrow: straight down at each place that it passes, then to its end."""
    curve = [way[0]]
    for number, (x, y) in enumerate(way[1:-1], start=1):
        (from_x, from_y), top, bottom = curve[-1], y - LABEL_HEIGHT / 2, y + LABEL_HEIGHT / 2
        if from_x == x == way[number + 1][0]:
            continue  # nothing bends here
        fall = top - from_y
        across, down = first if number == 1 else (0.0, 0.5)
        lean = (from_x + across * (x - from_x), from_y + down * fall)
        curve += [lean, (x, top - 0.5 * fall), (x, top), (x, top), (x, bottom), (x, bottom)]
    (x, y), (end_x, end_y) = curve[-1], way[-1]
    knee = (x, y + 0.4 * (end_y - y))
    ux, uy = end_x - knee[0], end_y - knee[1]
    length = (ux**2 + uy**2) ** 0.5
    tip, bend = ((end_x - far * ux / length, end_y - far * uy / length) for far in (radius + 1, radius + 9))
    return (*curve, knee, bend, bend), tip


def _node(node: Node, graph: Graph, places: _Places) -> Parts:
    """A disc with its label: dark where a search has no choice, grey where values are only joined."""
    x, y = places.at[node.name]
    if node.name == places.bar:
        pairs = zip(places.ways, graph.edges, strict=True)
        ends = [way[-1][0] for way, edge in pairs if edge.target == node.name]
        wide = max(max(ends) - min(ends) + 56.0, 68.0)
        return [], [Box(x, y, wide, PILL[1], PALE, RULE)], [], [Text(x, y, node.label, 13, INK)]
    operations = {edge.operation for edge in graph.into(node.name)}
    colour = op_colour(*operations) if len(operations) == 1 else INK
    tint = (colour[0] // 8 + 223, colour[1] // 8 + 223, colour[2] // 8 + 223)
    paints = {"fixed": (INK, INK), "learned": (tint, colour)}
    size = min(14.0, 1.7 * RADIUS / text_width(node.label, 1.0))
    ink: Colour = (255, 255, 255) if node.kind == "fixed" else INK
    disc = Disc(x, y, RADIUS, *paints.get(node.kind, (PALE, MUTED)))
    return [], [], [disc], [Text(x, y, node.label, size, ink, bold=True)]


def _pill(name: str, at: Point) -> Parts:
    """An input or an output; what stands behind its underscore is written below the line."""
    letter, _, subscript = name.partition("_")
    text = Text(*at, letter, 15, INK, "middle", subscript.strip("{}"))
    return [], [Box(*at, *PILL, PALE, RULE, 14)], [], [text]
