"""Axes, lines, marks and legends as inline SVG: static, escaped, coloured by the page's style sheet.

A plotting library would bring tens of megabytes, its own fonts and colours that do not follow dark mode, for
two kinds of charts. Text comes from files: every piece is a `Markup`, whose `format` escapes its arguments.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = (
    460.0,
    280.0,
)  # units of the plot without legend: scaled to its column, text stays legible on a phone
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 12.0, 46.0
LEGEND_ROW, LEGEND_COLUMNS = 20.0, 2
LONGEST = 29  # characters of a legend entry
MARKED = 8  # a longer line carries a mark at its end alone
STYLES = 7  # colours, dashes and marks that the style sheet has
NOTHING = Markup("")

Point = tuple[float, float]


class Axis(NamedTuple):
    """A range of values, linear or logarithmic; `whole` for counts, whose ticks are whole numbers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0..1."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values on the axis: 1, 2, 5 per decade of a long logarithmic axis, else about five steps."""
        if self.log and self.high / self.low >= 8.0:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
        else:
            rough = max((self.high - self.low) / 4.0, 1.0 if self.whole else 0.0)
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit >= rough * 0.999)
            values = [
                step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)
            ]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


class Series(NamedTuple):
    """A named line (or only marks) through `points`, with an optional band of (low, high) at each."""

    label: str
    style: int
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    line: bool = True
    titles: tuple[str, ...] = ()


def axis(values: Sequence[float], log: bool = False, whole: bool = False) -> Axis:
    """An axis that holds all finite values with a little room; never of length 0."""
    shown = [value for value in values if math.isfinite(value) and (value > 0.0 or not log)] or [1.0]
    low, high = min(shown), max(shown)
    if log:
        room = max((high / low) ** 0.06, 1.02)
        return Axis(low / room, high * room, True)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Axis(low - room, high + room, whole=whole)


def number(value: float) -> str:
    """A tick or a value in few characters."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def join(parts: Sequence[Markup]) -> Markup:
    """The parts one after the other."""
    return NOTHING.join(parts)


def chart(title: str, labels: tuple[str, str], axes: tuple[Axis, Axis], series: Sequence[Series]) -> Markup:
    """A whole chart; `title` is what readers that do not see are told, `labels` those of x and y."""
    rows = math.ceil(len(series) / LEGEND_COLUMNS)
    height = HEIGHT + rows * LEGEND_ROW
    parts = [_grid(axes), _labels(labels), *(_drawn(one, axes) for one in series), _legend(series)]
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        f"{WIDTH:g}", f"{height:g}", title, join(parts)
    )


def _x(place: float) -> float:
    """Units of a place on the x axis."""
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float) -> float:
    """Units of a place on the y axis, which points up."""
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _at(point: Point, axes: tuple[Axis, Axis]) -> Point:
    """A point of the data in units."""
    return _x(axes[0].place(point[0])), _y(axes[1].place(point[1]))


def _grid(axes: tuple[Axis, Axis]) -> Markup:
    """Grid lines with their values."""
    parts = []
    for value in axes[1].ticks():
        y = _y(axes[1].place(value))
        line = Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(LEFT, y, WIDTH - RIGHT)
        parts += [line, _text(LEFT - 7, y + 4, number(value), "end")]
    for value in axes[0].ticks():
        x = _x(axes[0].place(value))
        line = Markup('<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>').format(x, TOP, HEIGHT - BOTTOM)
        parts += [line, _text(x, HEIGHT - BOTTOM + 17, number(value), "middle")]
    return join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    """One line of text."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _labels(labels: tuple[str, str]) -> Markup:
    """What the axes show."""
    x = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, labels[0], "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = Markup('<text transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>')
    return x + turned.format(middle, labels[1])


def _drawn(series: Series, axes: tuple[Axis, Axis]) -> Markup:
    """Band, line and marks of one series."""
    kept = [k for k, (x, y) in enumerate(series.points) if math.isfinite(x) and math.isfinite(y)]
    points = [_at(series.points[k], axes) for k in kept]
    parts = [_band(series, kept, axes)]
    if series.line and len(points) > 1:
        parts.append(Markup('<path class="line" d="M{}"/>').format(_path(points)))
    titles = [series.titles[k] if series.titles else series.label for k in kept]
    marked = points if not series.line or len(points) <= MARKED else points[-1:]
    parts += [
        mark(series.style, point, title) for point, title in zip(marked, titles[-len(marked) :], strict=True)
    ]
    return Markup('<g class="s{}">{}</g>').format(series.style % STYLES, join(parts))


def _band(series: Series, kept: Sequence[int], axes: tuple[Axis, Axis]) -> Markup:
    """The spread: a band round a line, bars round marks."""
    if not series.band:
        return NOTHING
    xs = [_at(series.points[k], axes)[0] for k in kept]
    lows, highs = (
        [_y(min(max(axes[1].place(max(series.band[k][end], 1e-9)), 0), 1)) for k in kept] for end in (0, 1)
    )
    if series.line and len(kept) > 1:
        outline = [*zip(xs, highs, strict=True), *reversed(list(zip(xs, lows, strict=True)))]
        return Markup('<path class="band" d="M{}Z"/>').format(_path(outline))
    bars = zip(xs, lows, highs, strict=True)
    return join([Markup('<path class="bar" d="M{:.1f} {:.1f}V{:.1f}"/>').format(*bar) for bar in bars])


def _path(points: Sequence[Point]) -> str:
    """Points as the inside of a path."""
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",  # disc
    "M-3.6-3.6h7.2v7.2h-7.2Z",  # square
    "M0-4.8L4.6 3.6H-4.6Z",  # triangle
    "M0-5.2L5.2 0L0 5.2L-5.2 0Z",  # diamond
    "M0 4.8L4.6-3.6H-4.6Z",  # triangle, point down
    "M-1.5-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5Z",  # plus
    "M-4.5-1.6h9v3.2h-9Z",  # bar
)


def mark(style: int, point: Point, title: str) -> Markup:
    """The mark of a style, with a title for those who point at it."""
    drawing = Markup(
        '<path class="mark" d="{}" transform="translate({:.1f} {:.1f})"><title>{}</title></path>'
    )
    return drawing.format(MARKS[style % STYLES], *point, title)


def _legend(series: Sequence[Series]) -> Markup:
    """A sample and the name of every series, below the plot."""
    parts = []
    for k, one in enumerate(series):
        x = 24.0 + (k % LEGEND_COLUMNS) * (WIDTH - 24.0) / LEGEND_COLUMNS
        y = HEIGHT + LEGEND_ROW * (k // LEGEND_COLUMNS) + 9
        line = Markup('<path class="line" d="M{:.1f} {:.1f}h26"/>').format(x, y) if one.line else NOTHING
        label = one.label if len(one.label) <= LONGEST else one.label[: LONGEST - 1] + "…"
        sample = line + mark(one.style, (x + 13, y), one.label)
        parts += [
            Markup('<g class="s{}">{}</g>').format(one.style % STYLES, sample),
            _text(x + 33, y + 4, label, "start"),
        ]
    return join(parts)
