"""The learned cell as SVG, as pixels and as Graphviz text. No external program draws."""

import textwrap
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from bayesnas_tf.reporting import cell_layout as layout
from bayesnas_tf.reporting import raster
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.graph import Graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
ANCHORS = {"start": "left", "middle": "center"}
WIDE = 80  # characters of a recipe below its name
PROVENANCE = ("corpus", "lambda_w", "seed", "score", "estimator")


def svg(genotype: Genotype) -> str:
    """A self-contained SVG file of the cell, on white."""
    return graph_svg(genotype.graph(), caption(genotype), str(genotype))


def pixels(genotype: Genotype, scale: float = 1.0) -> np.ndarray:
    """The same figure, uint8 [H, W, 3]; `scale` pixels per pixel of the SVG."""
    return graph_pixels(genotype.graph(), caption(genotype), scale)


def dot(genotype: Genotype) -> str:
    """The cell for Graphviz: `dot -Tpdf cell.dot`."""
    return graph_dot(genotype.graph(), genotype.name)


def caption(genotype: Genotype) -> layout.Caption:
    """Its name, and where it comes from, as far as its provenance says; else its short form.

    Of a recipe that has no room: it begins there.
    """
    known = genotype.provenance
    parts = [(name, known[name]) for name in PROVENANCE if name in known]
    told = "  ·  ".join(f"{name} {v:.4g}" if isinstance(v, float) else f"{name} {v}" for name, v in parts)
    form = textwrap.shorten(str(genotype), WIDE, placeholder=" ...") if genotype.recipe else str(genotype)
    return layout.Caption(genotype.name, told or form)


def graph_svg(graph: Graph, caption: layout.Caption, description: str) -> str:
    """The same of any graph; `description` is for readers that do not see."""
    figure = layout.lay_out(graph, caption)
    title = f"{caption.name}: recurrent cell of {len(graph.learned()) or len(graph.nodes)} nodes"
    parts = [
        *(_svg_arrow(arrow) for arrow in figure.arrows),
        *(_svg_box(box) for box in figure.boxes),
        *(_svg_disc(disc) for disc in figure.discs),
        *(_svg_text(text) for text in figure.texts),
    ]
    return "\n".join([_svg_start(figure, title, description), *parts, "</svg>", ""])


@raster.settings()
def graph_pixels(graph: Graph, caption: layout.Caption, scale: float = 1.0) -> np.ndarray:
    """The same of any graph."""
    from matplotlib import patches
    from matplotlib.path import Path

    figure = layout.lay_out(graph, caption)
    paper = raster.paper(figure.width, figure.height, scale)
    axes = paper.add_axes((0, 0, 1, 1), xlim=(0, figure.width), ylim=(figure.height, 0))
    axes.set_axis_off()
    for arrow in figure.arrows:
        head, colour = layout.arrow_head(arrow), _hex(arrow.colour)
        codes = [Path.MOVETO, *[Path.CURVE4] * (len(arrow.curve) - 1), Path.LINETO]
        line = Path([*arrow.curve, _stem_end(head)], codes)
        axes.add_patch(patches.PathPatch(line, fill=False, edgecolor=colour, linewidth=arrow.width))
        axes.add_patch(patches.Polygon(head, color=colour, linewidth=0))
    for box in figure.boxes:
        corner, rim = (box.x - box.width / 2, box.y - box.height / 2), _hex(box.stroke or box.fill)
        shape = patches.BoxStyle.Round(pad=0, rounding_size=box.radius)
        axes.add_patch(
            patches.FancyBboxPatch(corner, box.width, box.height, shape, fc=_hex(box.fill), ec=rim)
        )
    for disc in figure.discs:
        style = {"facecolor": _hex(disc.fill), "edgecolor": _hex(disc.stroke), "linewidth": 2}
        axes.add_patch(patches.Circle((disc.x, disc.y), disc.radius, **style))
    for text in figure.texts:
        _draw_text(axes, text)
    return raster.pixels(paper)


def graph_dot(graph: Graph, name: str) -> str:
    """The same of any graph."""
    styles = {
        "fixed": ', style=filled, fillcolor="#1f2937", fontcolor="white"',
        "mean": ", shape=box, width=0.7",
    }
    lines = [
        f"digraph {_dot_id(name)} {{",
        '  graph [rankdir=LR, fontname="Helvetica", bgcolor="white"];',
        '  node [fontname="Helvetica", shape=circle, width=0.4, fixedsize=true];',
        '  edge [fontname="Helvetica", fontsize=11];',
        *(f"  {_dot_id(end)} [shape=plaintext, fixedsize=false];" for end in (*graph.inputs, *graph.outputs)),
        *(f"  {_dot_id(n.name)} [label={_dot_id(n.label)}{styles.get(n.kind, '')}];" for n in graph.nodes),
    ]
    for edge in graph.edges:
        colour = _hex(layout.op_colour(edge.operation) if edge.operation else layout.RULE)
        label = f'label={_dot_id(edge.operation)}, color="{colour}", fontcolor="{colour}"'
        style = label if edge.operation else f'color="{colour}"'
        lines.append(f"  {_dot_id(edge.source)} -> {_dot_id(edge.target)} [{style}];")
    return "\n".join([*lines, "}", ""])


def _dot_id(name: str) -> str:
    """A quoted Graphviz identifier."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hex(colour: layout.Colour) -> str:
    """#rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _stem_end(head: tuple[layout.Point, ...]) -> layout.Point:
    """The middle of an arrow head's base: a line that went to the tip would blunt it."""
    (_, (x1, y1), (x2, y2)) = head
    return (x1 + x2) / 2, (y1 + y2) / 2


def _draw_text(axes: "Axes", text: layout.Text) -> None:
    """Text; a variable with a subscript is in italics."""
    style: dict[str, Any] = {"color": _hex(text.colour), "parse_math": False}
    style |= {"weight": "bold" if text.bold else "normal", "style": "italic" if text.subscript else "normal"}
    x, y = text.x - 0.2 * text.size * len(text.subscript), text.y + 0.35 * text.size
    drawn = axes.text(x, y, text.text, size=text.size, ha=ANCHORS[text.anchor], **style)
    axes.annotate(text.subscript, (1, 0.1), xycoords=drawn, size=0.72 * text.size, va="center", **style)


def _svg_start(figure: layout.Layout, title: str, description: str) -> str:
    """The opening tag, title and description for readers that do not see, and the paper."""
    width, height = f"{figure.width:.0f}", f"{figure.height:.0f}"
    size = f'width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="title desc" font-family={quoteattr(FONT)}>\n'
        f'<title id="title">{escape(title)}</title>\n'
        f'<desc id="desc">{escape(description)}</desc>\n<rect {size} fill="#fff"/>'
    )


def _svg_arrow(arrow: layout.Arrow) -> str:
    """The line up to the arrow head, and the head."""
    head = layout.arrow_head(arrow)
    start, *curve = map(_xy, arrow.curve)
    path = f"M{start} C{' '.join(curve)} L{_xy(_stem_end(head))}"
    corners, colour = " ".join(_xy(point) for point in head), _hex(arrow.colour)
    return (
        f'<g class="{arrow.kind}"><path d="{path}" fill="none" stroke="{colour}" '
        f'stroke-width="{arrow.width:g}"/><polygon points="{corners}" fill="{colour}"/></g>'
    )


def _xy(point: layout.Point) -> str:
    """Coordinates to a tenth of a pixel."""
    return f"{point[0]:.1f},{point[1]:.1f}"


def _svg_box(box: layout.Box) -> str:
    """A rounded rectangle."""
    stroke = f' stroke="{_hex(box.stroke)}"' if box.stroke else ""
    return (
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{box.radius:g}" fill="{_hex(box.fill)}"{stroke}/>'
    )


def _svg_disc(disc: layout.Disc) -> str:
    """A node."""
    return (
        f'<circle cx="{disc.x:.1f}" cy="{disc.y:.1f}" r="{disc.radius:g}" fill="{_hex(disc.fill)}" '
        f'stroke="{_hex(disc.stroke)}" stroke-width="2"/>'
    )


def _svg_text(text: layout.Text) -> str:
    """A line of text; a variable with a subscript is in italics."""
    style = ' font-weight="600"' if text.bold else ""
    style += ' font-style="italic"' if text.subscript else ""
    small = f"{0.72 * text.size:.1f}"
    below = f'<tspan dy="{0.3 * text.size:.1f}" font-size="{small}">{escape(text.subscript)}</tspan>'
    return (
        f'<text x="{text.x:.1f}" y="{text.y + 0.35 * text.size:.1f}" font-size="{text.size:g}" '
        f'text-anchor="{text.anchor}" fill="{_hex(text.colour)}"{style}>'
        f"{escape(text.text)}{below if text.subscript else ''}</text>"
    )
