"""An [E, O] array as an image: a row per edge, a column per operation, the value written in each cell."""

from typing import NamedTuple

import numpy as np

from bayesnas_tf.reporting.raster import Canvas, Colour, text_width
from bayesnas_tf.space.base import Sites

INK: Colour = (31, 41, 55)
MUTED: Colour = (107, 114, 128)
WHITE: Colour = (255, 255, 255)
MISSING: Colour = (209, 213, 219)  # no colour of the scale: not finite, or not positive on a log scale
CROSS: Colour = (220, 38, 38)

VIRIDIS = np.array(  # every 16th part of matplotlib's map (CC0): equal steps look equally large
    [
        (68, 1, 84), (72, 21, 103), (72, 38, 119), (69, 55, 129), (64, 71, 136), (57, 86, 140),
        (51, 99, 141), (45, 112, 142), (40, 125, 142), (35, 138, 141), (31, 150, 139), (32, 163, 135),
        (60, 187, 117), (94, 201, 98), (149, 216, 64), (192, 223, 37), (253, 231, 37),
    ],
    dtype=np.float64,
)  # fmt: skip

CELL = (66.0, 18.0)
GAP = 5.0  # between the edges of two target nodes
TOP, LEFT, RIGHT, BOTTOM = 76.0, 126.0, 104.0, 20.0
BAR_WIDTH, LEGEND = 16.0, 220.0
TICKS = 5


class Scale(NamedTuple):
    """Maps values to 0..1 between `low` and `high`, of the values or of their logarithms."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Where a value lies on the scale; NaN when it has no place."""
        if not np.isfinite(value) or (self.log and value <= 0.0):
            return float("nan")
        low, high, at = (np.log10(v) if self.log else v for v in (self.low, self.high, value))
        return float(np.clip((at - low) / (high - low), 0.0, 1.0)) if high > low else 0.5

    def value(self, place: float) -> float:
        """The value at a place 0..1 of the scale."""
        if self.log:
            return float(10.0 ** (np.log10(self.low) * (1 - place) + np.log10(self.high) * place))
        return self.low * (1 - place) + self.high * place


def scale_of(values: np.ndarray, log: bool) -> Scale:
    """The scale from the smallest to the largest value that has a place on it."""
    shown = values[np.isfinite(values) & ((values > 0.0) | (not log))]
    if not shown.size:
        return Scale(1.0, 1.0, log)
    return Scale(float(shown.min()), float(shown.max()), log)


def colour(place: float) -> Colour:
    """The colour at a place 0..1; grey for NaN."""
    if np.isnan(place):
        return MISSING
    at = place * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    mixed = VIRIDIS[low] + (at - low) * (VIRIDIS[low + 1] - VIRIDIS[low])
    return round(mixed[0]), round(mixed[1]), round(mixed[2])


def edge_heatmap(
    values: np.ndarray,
    title: str,
    sites: Sites,
    pruned: np.ndarray | None = None,
    log: bool = False,
) -> np.ndarray:
    """Values [E, O] of the sites of a search as uint8 [H, W, 3].

    Cells where `pruned` (bool [E, O]) is true are crossed out, and left empty where they are NaN besides: a
    site without that option. `log` colours by the logarithm; values that then have no colour, as zeros,
    are grey. `ValueError` when the shapes do not fit.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != sites.exists.shape:
        edges, ops = sites.exists.shape
        raise ValueError(f"heatmap {title!r}: {values.shape} values for {edges} edges, {ops} operations")
    if pruned is not None and np.shape(pruned) != values.shape:
        raise ValueError(f"heatmap {title!r}: the mask is {np.shape(pruned)}, the values {values.shape}")
    tops = _row_tops(sites.target)
    width = max(LEFT + CELL[0] * len(sites.options) + RIGHT, text_width(title, 16) + 40)
    height = max(tops[-1] + CELL[1], TOP + LEGEND / 2) + BOTTOM
    canvas = Canvas(width, height)
    scale = scale_of(values, log)
    crossed = np.zeros(values.shape, bool) if pruned is None else np.asarray(pruned, bool)
    there = ~(np.isnan(values) & crossed)
    _axes(canvas, title, _subtitle(crossed[there], log), sites, tops)
    for row, column in np.argwhere(there):
        corner = (LEFT + column * CELL[0], tops[row])
        _cell(canvas, corner, float(values[row, column]), scale, bool(crossed[row, column]))
    _legend(canvas, LEFT + CELL[0] * len(sites.options) + 24.0, height, scale)
    return canvas.pixels()


def _row_tops(targets: np.ndarray) -> list[float]:
    """The upper end of each row, with a gap wherever the target changes."""
    tops, top = [], TOP
    for row in range(len(targets)):
        if row:
            top += CELL[1] + (GAP if targets[row] != targets[row - 1] else 0.0)
        tops.append(top)
    return tops


def _subtitle(crossed: np.ndarray, log: bool) -> str:
    """How to read the image."""
    scale = "logarithmic colours" if log else "linear colours"
    return f"{scale}, {crossed.sum()} of {crossed.size} pruned (crossed out)" if crossed.any() else scale


def _axes(canvas: Canvas, title: str, subtitle: str, sites: Sites, tops: list) -> None:
    """Title, names of options, and the sites grouped by the node that they belong to."""
    canvas.text((20, 22), title, 16, INK)
    canvas.text((20, 42), subtitle, 11, MUTED)
    for column, op in enumerate(sites.options):
        canvas.text((LEFT + (column + 0.5) * CELL[0], TOP - 12), op, 12, INK, "middle")
    for row, (target, top) in enumerate(zip(sites.target, tops, strict=True)):
        canvas.text((LEFT - 8, top + CELL[1] / 2), sites.label(row), 11, MUTED, "end")
        if row == 0 or sites.target[row - 1] != target:
            last = np.flatnonzero(sites.target == target)[-1]
            canvas.text((20, (top + tops[last] + CELL[1]) / 2), f"node {target}", 12, INK)


def _cell(canvas: Canvas, corner: tuple[float, float], value: float, scale: Scale, crossed: bool) -> None:
    """One value; its text keeps contrast with the colour below."""
    (x, y), (width, height) = corner, CELL
    fill = colour(scale.place(value))
    canvas.box((x + 0.5, y + 0.5), (width - 1, height - 1), fill)
    if crossed:
        for ends in (((x + 3, y + 2), (x + width - 3, y + height - 2)),
                     ((x + 3, y + height - 2), (x + width - 3, y + 2))):  # fmt: skip
            canvas.line(ends, WHITE, 2.6)
            canvas.line(ends, CROSS, 1.2)
        return
    bright = 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 120
    canvas.text((x + width / 2, y + height / 2), f"{value:.3g}", 10.5, INK if bright else WHITE, "middle")


def _legend(canvas: Canvas, x: float, height: float, scale: Scale) -> None:
    """The colour bar with its values."""
    length = min(height - TOP - BOTTOM, LEGEND)
    steps = 64
    for step in range(steps):
        top = TOP + length * (1 - (step + 1) / steps)
        canvas.box((x, top), (BAR_WIDTH, length / steps + 0.4), colour(step / (steps - 1)))
    ticks = np.linspace(0.0, 1.0, TICKS) if scale.high > scale.low else [0.5]
    for place in ticks:
        y = TOP + length * (1 - place)
        canvas.line([(x + BAR_WIDTH, y), (x + BAR_WIDTH + 4, y)], MUTED)
        canvas.text((x + BAR_WIDTH + 8, y), f"{scale.value(float(place)):.3g}", 11, INK)
