"""Tables as data: what the page prints and how a number is written."""

import math
from typing import NamedTuple

from bayesnas_tf.report.statistics import Sample

NOT_COMPARABLE = (
    "†"  # behind every number of a budget below the printed one, so that it is marked wherever it is copied
)
NONE = "–"


class Column(NamedTuple):
    """A heading with its unit; numbers are aligned to the right."""

    label: str
    unit: str = ""
    number: bool = True


class Group(NamedTuple):
    """Rows under one banner; `kind` is "printed", "comparable", "smaller" or "plain"."""

    kind: str
    banner: str
    rows: tuple[tuple[str, ...], ...]


class Table(NamedTuple):
    """A caption, columns, groups of rows, and notes below."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def spread(sample: Sample, digits: int = 2, mark: str = "") -> str:
    """mean ± sd (n), what is not finite said; a dash where nothing was measured."""
    lost = f"{sample.not_finite} not finite" if sample.not_finite else ""
    if not sample.n:
        return lost or NONE
    sd = f" ± {sample.sd:.{digits}f}" if math.isfinite(sample.sd) else ""
    told = f" ({lost})" if lost else ""
    return f"{sample.mean:,.{digits}f}{sd}{mark}{told}"


def value(number: float | None, form: str = ",.2f") -> str:
    """A number, or a dash where there is none."""
    return NONE if number is None or not math.isfinite(number) else f"{number:{form}}"


def signed(number: float, form: str = ".2f") -> str:
    """A number that may be negative, with a true minus."""
    return f"{number:{form}}".replace("-", "−")


def counted(count: int, one: str, several: str = "") -> str:
    """1 seed, 2 seeds; `several` where a word does not only take an s."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def millions(parameters: float | None) -> str:
    """Parameters in millions."""
    return value(parameters / 1e6 if parameters is not None else None, ".2f")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as 0:10:42."""
    if not math.isfinite(seconds):
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
