"""An [E, O] array as an image: a row per edge, a column per operation, the value written in each cell."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnas_tf.reporting import raster
from bayesnas_tf.space.base import Sites

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED = "#1f2937", "#6b7280"
MISSING = "#d1d5db"  # no colour of the scale: not finite, or not positive on a log scale
CROSS = "#dc2626"

CELL = (66.0, 18.0)
GAP, LINE = 4.0, 1.0  # white between the edges of two target nodes, and between others
TOP, LEFT, RIGHT, BOTTOM = 76.0, 136.0, 104.0, 20.0
BAR_WIDTH, LEGEND, TICKS = 16.0, 220.0, 5


def scale_of(values: np.ndarray, log: bool) -> Any:
    """Colours from the smallest to the largest of the values (or of their logarithms) that has one.

    A `ScalarMappable` of matplotlib.
    """
    from matplotlib import colormaps, colors
    from matplotlib.cm import ScalarMappable

    shown = values[np.isfinite(values) & ((values > 0.0) | (not log))]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (1.0, 1.0)
    if low == high:  # the value has the middle
        low, high = np.clip([low / 2.0, high * 2.0], 1e-250, 1e250) if log else (low - 1.0, high + 1.0)
    norm = colors.LogNorm(low, high) if log else colors.Normalize(low, high)
    return ScalarMappable(norm, colormaps["viridis"].with_extremes(bad=MISSING))


@raster.settings()
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
    crossed = np.zeros(values.shape, bool) if pruned is None else np.asarray(pruned, bool)
    there, scale = ~(np.isnan(values) & crossed), scale_of(values, log)
    high, wide = np.multiply(values.shape, CELL[::-1])
    width, height = max(LEFT + wide + RIGHT, 9.0 * len(title) + 40.0), max(high, LEGEND / 2) + TOP + BOTTOM
    figure = raster.paper(width, height)
    axes = figure.add_axes((LEFT / width, 1 - (TOP + high) / height, wide / width, high / height))
    _cells(axes, values, there, crossed, scale)
    _labels(axes, sites)
    figure.text(20 / width, 1 - 28 / height, title, size=16, color=INK, parse_math=False)
    figure.text(20 / width, 1 - 48 / height, _subtitle(crossed[there], log), size=11, color=MUTED)
    length = min(height - TOP - BOTTOM, LEGEND) / height
    place = ((LEFT + wide + 24) / width, 1 - TOP / height - length, BAR_WIDTH / width, length)
    _legend(figure.add_axes(place), scale)
    return raster.pixels(figure)


def _legend(axes: "Axes", scale: Any) -> None:
    """The colours from the smallest value, below, to the largest; a colorbar of matplotlib takes longer."""
    axes.set_axis_off()
    colours = scale.cmap(np.linspace(0.0, 1.0, 256))[:, np.newaxis]
    axes.imshow(colours, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0), origin="lower")
    for place in np.linspace(0.0, 1.0, TICKS):
        value = f"{scale.norm.inverse(place):.3g}"
        axes.text(1.0 + 6.0 / BAR_WIDTH, place, value, size=10, color=INK, va="center")


def _subtitle(crossed: np.ndarray, log: bool) -> str:
    """How to read the image."""
    scale = "logarithmic colours" if log else "linear colours"
    return f"{scale}, {crossed.sum()} of {crossed.size} pruned (crossed out)" if crossed.any() else scale


def _labels(axes: "Axes", sites: Sites) -> None:
    """Names of options, and the sites grouped by the node that they belong to."""
    rows, columns = sites.exists.shape
    axes.set_axis_off()  # names are written here: ticks, with their lines, take longer
    for column, option in enumerate(sites.options):
        axes.text(column, -0.5 - 4.0 / CELL[1], option, size=12, color=INK, ha="center", va="bottom")
    for row in range(rows):
        place, label = -0.5 - 4.0 / CELL[0], sites.label(row)
        axes.text(place, row, label, size=11, color=MUTED, ha="right", va="center_baseline")
    changes = np.diff(sites.target) != 0
    axes.hlines(
        np.arange(1, rows) - 0.5, -0.5, columns - 0.5, "white", linewidth=np.where(changes, GAP, LINE)
    )
    axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, "white", linewidth=LINE)
    for node in np.unique(sites.target):
        middle = np.flatnonzero(sites.target == node).mean()
        axes.text((20 - LEFT) / CELL[0] - 0.5, middle, f"node {node}", size=12, color=INK, va="center")


def _cells(axes: "Axes", values: np.ndarray, there: np.ndarray, crossed: np.ndarray, scale: Any) -> None:
    """Every value on its colour, with which its text keeps contrast; a cross in place of a pruned one."""
    colours = scale.to_rgba(np.ma.masked_invalid(values))
    colours[~there] = 1.0
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    rows, columns = np.nonzero(there & crossed)
    for colour, width in (("white", 3.5), (CROSS, 1.5)):
        axes.plot(columns, rows, "x", color=colour, markersize=9, markeredgewidth=width)
    bright = colours[..., :3] @ (0.299, 0.587, 0.114) > 0.47
    for row, column in np.argwhere(there & ~crossed):
        ink, text = INK if bright[row, column] else "white", f"{values[row, column]:.3g}"
        axes.text(column, row + 0.07, text, size=10, color=ink, ha="center", va="center")
