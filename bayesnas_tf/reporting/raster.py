"""A small canvas on Pillow: drawn enlarged and scaled down, so that every line is smooth."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]
OVERSAMPLING = 3  # drawn pixels per final pixel, each way


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: no font file of the machine is needed."""
    return ImageFont.load_default(size=size)


class Canvas:
    """White paper of `width` x `height` units; `scale` final pixels per unit."""

    def __init__(self, width: float, height: float, scale: float = 1.0):
        self._size = (round(width * scale), round(height * scale))
        self._zoom = scale * OVERSAMPLING
        enlarged = (self._size[0] * OVERSAMPLING, self._size[1] * OVERSAMPLING)
        self._image = Image.new("RGB", enlarged, "white")
        self._draw = ImageDraw.Draw(self._image)

    def _points(self, points: Sequence[Point]) -> list[Point]:
        """Units to drawn pixels."""
        return [(x * self._zoom, y * self._zoom) for x, y in points]

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """A line through all the points."""
        thick = max(1, round(width * self._zoom))
        self._draw.line(self._points(points), fill=colour, width=thick, joint="curve")

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon(self._points(points), fill=colour)

    def disc(self, centre: Point, radius: float, fill: Colour, stroke: Colour, width: float = 2.0) -> None:
        """A filled circle with a rim."""
        (x, y), edge = centre, radius + width / 2
        box = self._points([(x - edge, y - edge), (x + edge, y + edge)])
        self._draw.ellipse([*box[0], *box[1]], fill=fill, outline=stroke, width=round(width * self._zoom))

    def box(
        self, corner: Point, size: Point, fill: Colour, stroke: Colour | None = None, radius: float = 0.0
    ) -> None:
        """A filled rectangle, given by its top left corner and its size."""
        (x, y), (width, height) = corner, size
        (left, top), (right, bottom) = self._points([(x, y), (x + width, y + height)])
        self._draw.rounded_rectangle(
            # Pillow includes the last row and column
            [left, top, max(left, right - 1), max(top, bottom - 1)],
            radius=radius * self._zoom,
            fill=fill,
            outline=stroke,
            width=round(self._zoom) if stroke else 0,
        )

    def text(self, place: Point, text: str, size: float, colour: Colour, anchor: str = "start") -> float:
        """Text with its middle height at `place`; anchor "start", "middle" or "end". Returns its width."""
        (x, y), font = place, _font(round(size * self._zoom))
        ((x, y),) = self._points([(x, y + 0.35 * size)])
        self._draw.text(
            (x, y), text, fill=colour, font=font, anchor={"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        )
        return font.getlength(text) / self._zoom

    def pixels(self) -> np.ndarray:
        """What was drawn, uint8 [height, width, 3]."""
        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX))


def text_width(text: str, size: float) -> float:
    """The width of a text on a canvas, in units."""
    return _font(100).getlength(text) * size / 100.0
