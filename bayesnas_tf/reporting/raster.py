"""Pictures as pixels, drawn by matplotlib, which is imported with the first of them: it takes a second."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def settings(own: dict[Any, Any] | None = None) -> Iterator[None]:
    """What is drawn inside has these settings and matplotlib's own: no matplotlibrc of a user decides."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(own or {})
        yield


def paper(width: float, height: float, scale: float = 1.0) -> "Figure":
    """White paper of `width` x `height` units, `scale` pixels per unit; a unit is a point."""
    from matplotlib.figure import Figure

    size = [(round(side * scale) + 0.01) / (72.0 * scale) for side in (width, height)]  # never a pixel less
    return Figure((size[0], size[1]), dpi=72.0 * scale)


def pixels(figure: "Figure") -> np.ndarray:
    """What was drawn, uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its font lacks
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
