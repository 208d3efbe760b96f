"""γ of a search as inline SVG: for each operation a square per site, its source across, its target down.

There is one for every cell of a report: written by hand it takes 10 ms, drawn by matplotlib 400.
"""

import math
from typing import Any

import numpy as np
from markupsafe import Markup

from bayesnas_tf.report import svg
from bayesnas_tf.report.records import Posterior
from bayesnas_tf.reporting import heatmap
from bayesnas_tf.space import graph
from bayesnas_tf.space.genotype import Genotype

SIDE, LEFT, TOP, ROOM = 15.0, 26.0, 34.0, 14.0
ACROSS = 2  # panels beside each other: four operations stay legible on a phone
BAR, STEPS, BELOW = 10.0, 24, 36.0
HEX = "#{:02x}{:02x}{:02x}"
NOTHING = Markup("")


def figure(posterior: Posterior, genotype: Genotype | None) -> Markup:
    """Colours by the logarithm of the values; pruned edges are crossed out, the chosen ones framed."""
    edges = posterior.edges[:, 0] >= 0
    sources, targets = (np.unique(ends).tolist() for ends in posterior.edges[edges].T)
    there = ~(np.isnan(posterior.values) & posterior.pruned)
    panels = [column for column in range(len(posterior.ops)) if there[edges, column].any()]
    across, down = min(ACROSS, len(panels)), math.ceil(len(panels) / ACROSS)
    panel, high = len(sources) * SIDE, len(targets) * SIDE
    width, bottom = across * (LEFT + panel + ROOM), down * (TOP + high)
    scale = heatmap.scale_of(posterior.values[there], log=True)
    fills = scale.to_rgba(np.ma.masked_invalid(posterior.values), bytes=True)
    chosen = _chosen(genotype, targets)
    parts = []
    for place, column in enumerate(panels):
        x = LEFT + (place % ACROSS) * (LEFT + panel + ROOM)
        y = TOP + (place // ACROSS) * (TOP + high)
        op = posterior.ops[column]
        parts += [_text(x + panel / 2, y - 20, op), _numbers((x, y), sources, targets)]
        for row in np.flatnonzero(there[:, column] & edges).tolist():
            source, target = posterior.edges[row].tolist()
            corner = (x + sources.index(source) * SIDE, y + targets.index(target) * SIDE)
            name, kept = f"{op}, {source} to {target}", (str(source), str(target), op) in chosen
            parts.append(_square(posterior, (row, column), name, corner, fills[row, column], kept))
    switches = _switches(posterior, there, fills, bottom)
    bottom += SIDE * len(switches)
    parts += [*switches, _legend(scale, bottom + 12, width - LEFT - ROOM)]
    told = f"{posterior.name} of {there.sum()} edge operations, {posterior.pruned[there].sum()} pruned"
    return Markup(
        '<svg class="gamma" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>'
    ).format(width, bottom + 12 + BELOW, told, NOTHING.join(parts))


def _switches(posterior: Posterior, there: np.ndarray, fills: np.ndarray, top: float) -> list[Markup]:
    """A line for each switch: its square and its name."""
    lines: list[Markup] = []
    for row in np.flatnonzero(posterior.edges[:, 0] < 0).tolist():
        y = top + SIDE * len(lines)
        name = posterior.labels[row] if posterior.labels else f"switch of node {posterior.edges[row, 1]}"
        index = row, int(np.argmax(there[row]))
        square = _square(posterior, index, name, (LEFT, y), fills[index], not posterior.pruned[index])
        text = _text(LEFT + SIDE + 6, y + 0.75 * SIDE, f"{name} {posterior.values[index]:.3g}", "start")
        lines.append(Markup('<g class="small">{}</g>').format(square + text))
    return lines


def _chosen(genotype: Genotype | None, targets: list[int]) -> set[graph.Edge]:
    """The edges of the cell; none where nodes were dropped, which renumbers the others."""
    drawn = genotype.graph() if genotype else None
    return set(drawn.operations()) if drawn and len(drawn.learned()) == len(targets) else set()


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Markup:
    """One line of text."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _numbers(corner: svg.Point, sources: list[int], targets: list[int]) -> Markup:
    """Sources above, targets on the left."""
    x, y = corner
    above = [_text(x + (k + 0.5) * SIDE, y - 5, str(node)) for k, node in enumerate(sources)]
    left = [_text(x - 4, y + (k + 0.75) * SIDE, str(node), "end") for k, node in enumerate(targets)]
    return Markup('<g class="small">{}</g>').format(NOTHING.join([*above, *left]))


def _square(
    posterior: Posterior, index: tuple[int, int], name: str, corner: svg.Point, colour: np.ndarray, kept: bool
) -> Markup:
    """One edge operation."""
    (x, y), size, crossed = corner, SIDE - 1, posterior.pruned[index]
    title = f"{name}: {posterior.name} {posterior.values[index]:.3g}{', pruned' if crossed else ''}"
    box = Markup('<rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" fill="{}"><title>{}</title></rect>')
    drawn = box.format(x, y, size, size, HEX.format(*colour), title)
    if crossed:
        line = Markup('<path class="{}" d="M{:.1f} {:.1f}l8 8m0-8l-8 8"/>')
        drawn += line.format("under", x + 3, y + 3) + line.format("cross", x + 3, y + 3)
    if kept:
        frame = Markup('<rect class="kept" x="{:.1f}" y="{:.1f}" width="{}" height="{}"/>')
        drawn += frame.format(x - 0.5, y - 0.5, size + 1, size + 1)
    return drawn


def _legend(scale: Any, y: float, length: float) -> Markup:
    """The colour bar with the values at its ends and its middle."""
    bar, wide = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" fill="{}"/>'), length / STEPS
    colours = scale.cmap(np.linspace(0.0, 1.0, STEPS), bytes=True)
    parts = [bar.format(LEFT + k * wide, y, wide + 0.4, BAR, HEX.format(*c)) for k, c in enumerate(colours)]
    for place, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        parts.append(_text(LEFT + place * length, y + BAR + 14, f"{scale.norm.inverse(place):.3g}", anchor))
    return NOTHING.join(parts)
