"""An [E, O] array as an image: a row per edge, a column per operation, the value written in each cell."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnas_tf.space.base import Sites

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

INK, MUTED = "#1f2937", "#6b7280"
MISSING = "#d1d5db"  # no colour of the scale: not finite, or not positive on a log scale
CROSS = "#dc2626"

CELL = (66, 18)  # pixels, as all below
GAP, LINE = 4, 1  # white between the edges of two target nodes, and between others
TOP, LEFT, RIGHT, BOTTOM = 76, 136, 104, 20
BAR_WIDTH, LEGEND, TICKS = 16, 220, 5


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
    from PIL import Image, ImageDraw  # Pillow: of so many short texts, matplotlib takes longer

    values = np.asarray(values, dtype=np.float64)
    if values.shape != sites.exists.shape:
        edges, ops = sites.exists.shape
        raise ValueError(f"heatmap {title!r}: {values.shape} values for {edges} edges, {ops} operations")
    if pruned is not None and np.shape(pruned) != values.shape:
        raise ValueError(f"heatmap {title!r}: the mask is {np.shape(pruned)}, the values {values.shape}")
    crossed = np.zeros(values.shape, bool) if pruned is None else np.asarray(pruned, bool)
    there, scale = ~(np.isnan(values) & crossed), scale_of(values, log)
    high, wide = np.multiply(values.shape, CELL[::-1])
    size = max(LEFT + wide + RIGHT, 9 * len(title) + 40), max(high, LEGEND // 2) + TOP + BOTTOM
    image = Image.new("RGB", size, "white")
    paper = ImageDraw.Draw(image)
    paper.text((20, 28), title, INK, _font(16), "ls")
    paper.text((20, 48), _subtitle(crossed[there], log), MUTED, _font(11), "ls")
    _cells(paper, values, there, crossed, scale)
    _crosses(image, there & crossed)
    _labels(paper, sites)
    _legend(image, scale, LEFT + wide + 24)
    return np.array(image)


@functools.cache
def _font(size: float) -> Any:
    """The letters of matplotlib, which has those of most languages, `size` pixels high."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _middle(row: float, column: float) -> tuple[float, float]:
    """Its place on the paper."""
    return LEFT + (column + 0.5) * CELL[0], TOP + (row + 0.5) * CELL[1]


def _cells(
    paper: "ImageDraw", values: np.ndarray, there: np.ndarray, crossed: np.ndarray, scale: Any
) -> None:
    """Colours, and on those that are not crossed out their value, with which its text keeps contrast."""
    colours = scale.to_rgba(np.ma.masked_invalid(values), bytes=True)[..., :3]
    bright = colours @ (0.299, 0.587, 0.114) > 120
    for row, column in np.argwhere(there):
        x, y = LEFT + column * CELL[0], TOP + row * CELL[1]
        paper.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), tuple(colours[row, column].tolist()))
        if not crossed[row, column]:
            ink, text = INK if bright[row, column] else "white", f"{values[row, column]:.3g}"
            paper.text(_middle(row, column), text, ink, _font(10), "mm")


def _crosses(image: "Image", crossed: np.ndarray) -> None:
    """A cross in place of each that is pruned."""
    from PIL import Image, ImageDraw

    big = 8  # drawn so much larger, and made small: its lines get smooth
    stamp, side = Image.new("RGBA", (CELL[1] * big,) * 2), CELL[1] * big
    for colour, width in (("white", 3.5), (CROSS, 1.5)):
        for ends in ((0.25, 0.25, 0.75, 0.75), (0.25, 0.75, 0.75, 0.25)):
            place = tuple(end * side for end in ends)
            ImageDraw.Draw(stamp).line(place, colour, round(width * big))
    stamp = stamp.resize((CELL[1],) * 2, Image.Resampling.LANCZOS)
    for row, column in np.argwhere(crossed):
        x, y = _middle(row, column)
        image.paste(stamp, (round(x) - CELL[1] // 2, round(y) - CELL[1] // 2), stamp)


def _labels(paper: "ImageDraw", sites: Sites) -> None:
    """Names of options, and the sites grouped by the node that they belong to."""
    rows, columns = sites.exists.shape
    right, bottom = LEFT + columns * CELL[0], TOP + rows * CELL[1]
    for column, option in enumerate(sites.options):
        paper.text((_middle(0, column)[0], TOP - 4), option, INK, _font(12), "ms")
    for row in range(rows):
        paper.text((LEFT - 4, _middle(row, 0)[1]), sites.label(row), MUTED, _font(11), "rm")
    for row in range(1, rows):
        width = GAP if sites.target[row] != sites.target[row - 1] else LINE
        y = TOP + row * CELL[1] - width // 2
        paper.rectangle((LEFT, y, right, y + width - 1), "white")
    for column in range(1, columns):
        x = LEFT + column * CELL[0]
        paper.line((x, TOP, x, bottom), "white", LINE)
    for node in np.unique(sites.target):
        middle = np.flatnonzero(sites.target == node).mean()
        paper.text((20, _middle(middle, 0)[1]), f"node {node}", INK, _font(12), "lm")


def _legend(image: "Image", scale: Any, left: int) -> None:
    """The colours from the smallest value, below, to the largest."""
    from PIL import Image, ImageDraw

    length = min(image.height - TOP - BOTTOM, LEGEND)
    colours = scale.cmap(np.linspace(1.0, 0.0, length), bytes=True)[:, np.newaxis, :3]
    image.paste(Image.fromarray(colours.repeat(BAR_WIDTH, axis=1)), (left, TOP))
    for place in np.linspace(0.0, 1.0, TICKS):
        where, value = (left + BAR_WIDTH + 6, TOP + (1.0 - place) * length), scale.norm.inverse(place)
        ImageDraw.Draw(image).text(where, f"{value:.3g}", INK, _font(10), "lm")


def _subtitle(crossed: np.ndarray, log: bool) -> str:
    """How to read the image."""
    scale = "logarithmic colours" if log else "linear colours"
    return f"{scale}, {crossed.sum()} of {crossed.size} pruned (crossed out)" if crossed.any() else scale
