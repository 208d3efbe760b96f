"""Where each part of a cell's figure lies: computed once, painted as SVG and as pixels.

Time flows down. Every node of the output has a column of its own, so that its line to the mean falls straight
down and meets nothing: a node's column lies between the columns of its successors, which makes the figure
planar for every genotype. The rows are the depths.
"""

import itertools
from typing import Literal, NamedTuple

from bayesnas_tf.space.genotype import Genotype

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
RADIUS = 17.0
INPUT_SHIFT = 52.0  # of x_t and h_{t-1} from node 0
INPUT_WIDTH = 56.0
LABEL_SIZE = 13.0
LABEL_HEIGHT = 18.0
ARROW_ROOM = 13.0  # between a label and the node it points to
MARGIN = 36.0
HEADER = 62.0  # title and provenance
PROVENANCE = ("corpus", "lambda_w", "seed", "score", "estimator")
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
    """A cubic curve followed by a straight line to `tip`, where the arrow head lies."""

    curve: tuple[Point, Point, Point, Point]
    tip: Point
    colour: Colour
    width: float
    kind: str  # "input", "edge", "output": what the line means


class Layout(NamedTuple):
    """A figure: arrows lie below boxes and discs, and these below texts."""

    width: float
    height: float
    arrows: tuple[Arrow, ...]
    boxes: tuple[Box, ...]
    discs: tuple[Disc, ...]
    texts: tuple[Text, ...]


class _Tree(NamedTuple):
    """Positions of the nodes 0..n."""

    x: list[float]
    y: list[float]


def op_colour(op: str) -> Colour:
    """The colour of an operation; ink for one that has none."""
    return OP_COLOURS.get(op, INK)


def text_width(text: str, size: float = LABEL_SIZE) -> float:
    """An upper estimate of a text's width in pixels, for any sans-serif font."""
    return CHARACTER * size * len(text)


def arrow_head(arrow: Arrow) -> tuple[Point, Point, Point]:
    """The triangle at the tip of an arrow, in the direction of its straight end."""
    (x1, y1), (x2, y2) = arrow.curve[3], arrow.tip
    length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1e-6)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    long, wide = 4.5 + 2.0 * arrow.width, 1.5 + 1.4 * arrow.width
    base_x, base_y = x2 - long * ux, y2 - long * uy
    return (x2, y2), (base_x - wide * uy, base_y + wide * ux), (base_x + wide * uy, base_y - wide * ux)


def provenance_line(genotype: Genotype) -> str:
    """Where the cell comes from, as far as its provenance says."""
    known = genotype.provenance
    parts = [(name, known[name]) for name in PROVENANCE if name in known]
    return "  ·  ".join(f"{name} {v:.4g}" if isinstance(v, float) else f"{name} {v}" for name, v in parts)


def lay_out(genotype: Genotype) -> Layout:
    """The figure of a genotype, in pixels with the origin at the top left."""
    tree = _place(genotype)
    title = Text(MARGIN, 30, genotype.name, 20, INK, "start", bold=True)
    origin = Text(MARGIN, 54, provenance_line(genotype) or str(genotype), 12, MUTED, "start")
    left, right = _extent(tree)
    width = max([right - left, 300.0, *(text_width(t.text, t.size) for t in (title, origin))]) + 2 * MARGIN
    shift = (width - left - right) / 2
    tree = tree._replace(x=[x + shift for x in tree.x])
    parts = [_inputs(tree), _edges(genotype, tree), _nodes(genotype, tree), _output(genotype, tree)]
    arrows, boxes, discs, texts = (tuple(itertools.chain(*kind)) for kind in zip(*parts, strict=True))
    height = max(box.y + box.height / 2 for box in boxes) + MARGIN * 0.75
    return Layout(width, height, arrows, boxes, discs, (title, origin, *texts))


def _successors(genotype: Genotype) -> list[list[int]]:
    """For each node 0..n the nodes that it feeds."""
    found: list[list[int]] = [[] for _ in range(len(genotype.nodes) + 1)]
    for number, node in enumerate(genotype.nodes, start=1):
        found[node.source].append(number)
    return found


def _sizes(genotype: Genotype, successors: list[list[int]]) -> list[int]:
    """Columns that each node and all that hangs on it take."""
    sizes = [0] * len(successors)
    for node in reversed(range(len(successors))):
        below = sum(sizes[k] for k in successors[node])
        sizes[node] = below + (node in genotype.output or not below)
    return sizes


def _place(genotype: Genotype) -> _Tree:
    """Columns in order, each output node between its successors; rows by depth."""
    successors = _successors(genotype)
    sizes = _sizes(genotype, successors)
    x = [0.0] * len(successors)
    first = [0] * len(successors)  # leftmost column of each node's part
    for node, nexts in enumerate(successors):  # sources come before their successors
        split = _split([sizes[k] for k in nexts])
        column, own = first[node], node in genotype.output or not nexts
        for position, k in enumerate(nexts):
            column += own and position == split
            first[k] = column
            column += sizes[k]
        if own:
            x[node] = COLUMN * (first[node] + sum(sizes[k] for k in nexts[:split]))
    for node in reversed(range(len(successors))):
        if successors[node] and node not in genotype.output:
            x[node] = sum(x[k] for k in successors[node]) / len(successors[node])
    depths = [0, *genotype.depths()]
    return _Tree(x, _rows(genotype, x, depths))


def _split(sizes: list[int]) -> int:
    """How many successors stand left of their source, for the best balance."""
    return min(range(len(sizes) + 1), key=lambda k: abs(sum(sizes[:k]) - sum(sizes[k:])))


def _rows(genotype: Genotype, x: list[float], depths: list[int]) -> list[float]:
    """The y of each node: rows are farther apart where edges have far to go."""
    reach = [0.0] * (max(depths) + 1)
    for number, node in enumerate(genotype.nodes, start=1):
        reach[depths[number]] = max(reach[depths[number]], abs(x[number] - x[node.source]))
    rows = [HEADER + 88.0]
    for level in range(1, len(reach)):
        rows.append(rows[-1] + ROW + min(48.0, 0.16 * max(0.0, reach[level] - COLUMN)))
    return [rows[depth] for depth in depths]


def _extent(tree: _Tree) -> Point:
    """The leftmost and the rightmost x of nodes and inputs."""
    inputs = INPUT_SHIFT + INPUT_WIDTH / 2
    return (
        min(*tree.x, tree.x[0] - inputs + RADIUS) - RADIUS,
        max(*tree.x, tree.x[0] + inputs - RADIUS) + RADIUS,
    )


def _line(start: Point, tip: Point, colour: Colour, width: float, kind: str) -> Arrow:
    """A straight arrow."""
    (x1, y1), (x2, y2) = start, tip
    end = (x1 + 0.9 * (x2 - x1), y1 + 0.9 * (y2 - y1))
    return Arrow((start, start, end, end), tip, colour, width, kind)


def _inputs(tree: _Tree) -> tuple[list, list, list, list]:
    """x_t and h_{t-1}, and their arrows into node 0."""
    arrows, boxes, texts = [], [], []
    for side, name, subscript in ((-1, "x", "t"), (1, "h", "t-1")):
        x, y = tree.x[0] + side * INPUT_SHIFT, HEADER + 28.0
        boxes.append(Box(x, y, INPUT_WIDTH, 28, PALE, RULE, 14))
        texts.append(Text(x, y, name, 15, INK, "middle", subscript))
        start, lean = (x, y + 14), 0.62 * RADIUS
        tip = (tree.x[0] + side * lean, tree.y[0] - 0.80 * RADIUS)
        arrows.append(_line(start, tip, MUTED, 1.4, "input"))
    return arrows, boxes, [], texts


def _edges(genotype: Genotype, tree: _Tree) -> tuple[list, list, list, list]:
    """One arrow per learned node, with its operation written on the straight part."""
    arrows, boxes, texts = [], [], []
    for number, node in enumerate(genotype.nodes, start=1):
        x, y, colour = tree.x[number], tree.y[number] - RADIUS, op_colour(node.op)
        start = (tree.x[node.source], tree.y[node.source])
        bend_y = y - ARROW_ROOM - LABEL_HEIGHT
        fall = bend_y - start[1]
        lean = (start[0] + 0.55 * (x - start[0]), start[1] + 0.30 * fall)
        curve = (start, lean, (x, bend_y - 0.50 * fall), (x, bend_y))
        arrows.append(Arrow(curve, (x, y - 1), colour, 2.0, "edge"))
        label_y = y - ARROW_ROOM - LABEL_HEIGHT / 2
        boxes.append(Box(x, label_y, text_width(node.op) + 6, LABEL_HEIGHT, (255, 255, 255), None, 3))
        texts.append(Text(x, label_y, node.op, LABEL_SIZE, colour))
    return arrows, boxes, [], texts


def _nodes(genotype: Genotype, tree: _Tree) -> tuple[list, list, list, list]:
    """The discs, with their numbers; node 0 is dark, as it is no choice of the search."""
    discs = [Disc(tree.x[0], tree.y[0], RADIUS, INK, INK)]
    texts = [Text(tree.x[0], tree.y[0], "0", 14, (255, 255, 255), bold=True)]
    for number, node in enumerate(genotype.nodes, start=1):
        colour = op_colour(node.op)
        tint = (colour[0] // 8 + 223, colour[1] // 8 + 223, colour[2] // 8 + 223)
        discs.append(Disc(tree.x[number], tree.y[number], RADIUS, tint, colour))
        texts.append(Text(tree.x[number], tree.y[number], str(number), 14, INK, bold=True))
    return [], [], discs, texts


def _output(genotype: Genotype, tree: _Tree) -> tuple[list, list, list, list]:
    """The mean of the output nodes, and h_t below it."""
    xs = [tree.x[k] for k in sorted(set(genotype.output))]
    y = max(tree.y) + 76.0
    centre, half = (min(xs) + max(xs)) / 2, max((max(xs) - min(xs)) / 2 + 28.0, 34.0)
    boxes = [Box(centre, y, 2 * half, 28, PALE, RULE), Box(centre, y + 66, INPUT_WIDTH, 28, PALE, RULE, 14)]
    texts = [Text(centre, y, "mean", 13, INK), Text(centre, y + 66, "h", 15, INK, "middle", "t")]
    arrows = [_line((tree.x[k], tree.y[k]), (tree.x[k], y - 15), RULE, 1.2, "output")
              for k in sorted(set(genotype.output))]  # fmt: skip
    arrows.append(_line((centre, y + 14), (centre, y + 51), MUTED, 1.4, "output"))
    return arrows, boxes, [], texts
