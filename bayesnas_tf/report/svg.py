"""Charts of matplotlib as inline SVG: static, and in the font and the colours of the page, light or dark.

Text comes from files: nothing in it is read as a formula.
"""

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup

from bayesnas_tf.reporting import raster

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WIDTH, HEIGHT, LEGEND_ROW = 460.0, 270.0, 20.0  # units: a chart is scaled to its column
LONGEST, MOST = 27, 56  # characters of a label with which two, or one, have room below a chart
MARKED = 8  # a longer line carries a mark at its end alone
LARGEST = 1e250  # an axis has no room for more
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), ":", (0, (5, 1.4, 1, 1.4)), (0, (2.3, 1)), "-.", (0, (2, 2)))
MARKS = "os^DvPX"
STYLES = len(MARKS)  # colours, dashes and marks
# Stand-ins, in whose place come the colours that the style sheet has by these names.
COLOURS = {name: f"#00010{k}" for k, name in enumerate([*(f"s{k}" for k in range(STYLES)), "paper", "rule"])}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text, not outlines
    "text.parse_math": False,
    "font.size": 12.0,
    "axes.grid": True,
    "axes.labelpad": 6.0,
    "axes.xmargin": 0.06,
    "axes.ymargin": 0.06,
    "grid.color": COLOURS["rule"],
    "lines.linewidth": 2.2,
    "lines.markersize": 8.0,
    "lines.markeredgecolor": COLOURS["paper"],
    "legend.frameon": False,
}
Point = tuple[float, float]


class Series(NamedTuple):
    """A named line through `points`, or marks with `titles`, with an optional band of (low, high) at each."""

    label: str
    style: int
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    titles: tuple[str, ...] = ()


def chart(
    title: str,
    labels: tuple[str, str],
    series: Sequence[Series],
    log: bool = False,
    whole: bool = False,
    **limits: Point,
) -> Markup:
    """A whole chart; `title` is what readers that do not see are told, `labels` those of x and y.

    `log` is of y; the x of `whole` counts; `limits` are those of matplotlib's `Axes.set`.
    """
    from matplotlib.figure import Figure

    columns = 2 if all(len(one.label) <= LONGEST for one in series) else 1
    height, file = HEIGHT + LEGEND_ROW * math.ceil(len(series) / columns), io.StringIO()
    settings = SETTINGS | {"svg.hashsalt": repr(series)}  # names of parts, which differ from chart to chart
    with raster.settings(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the browser may know a letter that matplotlib's font lacks
        figure = Figure((WIDTH / 72.0, height / 72.0), layout="constrained", frameon=False)
        axes = figure.add_subplot(xlabel=labels[0], ylabel=labels[1], yscale="log" if log else "linear")
        lines = [_draw(axes, one) for one in series]
        axes.set(frame_on=False, **limits)
        _ticks(axes, log, whole)
        names = [_printable(one.label)[:MOST] for one in series]
        figure.legend(lines, names, loc="outside lower left", ncols=columns)
        figure.savefig(file, format="svg")
    head = Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">')
    return head.format(WIDTH, height, title) + Markup(_inline(file.getvalue()))


def _inline(text: str) -> str:
    """The inside of a drawing and its end, without what no page needs or what would reach beyond it."""
    text = text[text.index('<g id="figure_1">') :].replace("xlink:href", "href")
    text = re.sub(r"""<g id=(["'])title (.*?)\1>""", r"<g><title>\2</title>", text)
    text = re.sub(r' id="[\w.]+_\d+"| font-family:[^;]*;', "", text)
    text = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", text)  # as matplotlib 3.9 writes it
    text = re.sub(r' d="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+|\n", r"\1", found[0]), text)
    return re.sub(r' style="[^"]*"', lambda found: _of_the_page(found[0]), text)


def _of_the_page(style: str) -> str:
    """A style with the colours of the page in place of their stand-ins."""
    return re.sub("#00010(.)", lambda found: f"var(--{[*COLOURS][int(found[1])]})", style)


def _draw(axes: "Axes", one: Series) -> "Artist":
    """Band, line and marks of one series, with titles for those who point at them; returns line or mark."""
    least = 0.0 if (log := axes.get_yscale() == "log") else -math.inf  # what has no logarithm has no place
    kept = [k for k, (x, y) in enumerate(one.points) if math.isfinite(x) and least < y < math.inf]
    x, y = np.clip([one.points[k] for k in kept], -LARGEST, LARGEST).reshape(-1, 2).T
    colour = COLOURS[f"s{(style := one.style % STYLES)}"]
    if one.band and kept:
        low, high = np.clip([one.band[k] for k in kept], -LARGEST, LARGEST).T
        if log:
            low = np.maximum(low, min(1.0, *y))  # no perplexity is lower
        if one.titles or len(kept) == 1:
            axes.vlines(x, low, high, alpha=0.7, linewidth=1.5, color=colour)
        else:
            axes.fill_between(x, low, high, alpha=0.15, linewidth=0, color=colour)
    look: dict[str, Any] = {"color": colour, "marker": MARKS[style], "clip_on": False}
    if one.titles:
        for k, *at in zip(kept, x, y, strict=True):
            axes.plot(*at, gid=f"title {_printable(one.titles[k])}", **look)
        return axes.plot([], [], linestyle="none", in_layout=False, **look)[0]
    look |= {"linestyle": DASHES[style], "markevery": [-1] if len(kept) > MARKED else None}
    return axes.plot(x, y, gid=f"title {_printable(one.label)}", **look)[0]


def _ticks(axes: "Axes", log: bool, whole: bool) -> None:
    """About five round values; on a longer logarithmic axis 1, 2, 5 of each decade, then decades alone."""
    from matplotlib import ticker

    low, high = axes.get_ylim()
    for axis, counts in ((axes.xaxis, whole), (axes.yaxis, False)):
        axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10], integer=counts))
        axis.set_major_formatter(lambda value, _: number(value))
    if log and high >= 8.0 * low:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high <= 1000.0 * low else (1,)))
    axes.minorticks_off()
    axes.tick_params(bottom=False, left=False)


def number(value: float) -> str:
    """A tick in few characters."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _printable(text: str) -> str:
    """A text without the characters that XML forbids."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
