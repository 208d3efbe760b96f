"""Means, intervals and tests over few seeds, on the t distribution; NumPy and scipy.special alone.

A permutation test would need no normality, but its smallest p over n seeds is 2^(1 - n): with the two to five
seeds of a language model it could never call a difference significant.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95


class Sample(NamedTuple):
    """Mean and standard deviation (of a sample, n - 1) of the `n` finite values; sd is NaN for n < 2."""

    mean: float
    sd: float
    n: int
    not_finite: int = 0


def standing(one: Sample) -> tuple[bool, float]:
    """What cells are ordered by: those that lack a result last, for results are not lost at random.

    The rule of sweeps and of reports.
    """
    return one.not_finite > 0, one.mean if math.isfinite(one.mean) else math.inf


class Difference(NamedTuple):
    """A mean difference, its 95 % interval and two-sided p, from `n` pairs or the two numbers of values."""

    mean: float
    low: float
    high: float
    p: float
    n: tuple[int, ...]


def sample(values: Sequence[float]) -> Sample:
    """Summary of values; those that are not finite are counted, not averaged."""
    finite = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    mean = float(finite.mean()) if finite.size else math.nan
    sd = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    return Sample(mean, sd, int(finite.size), len(values) - int(finite.size))


def paired(differences: Sequence[float]) -> Difference | None:
    """Paired t test that the mean difference is 0; None for fewer than two pairs or pairs without spread."""
    one = sample(differences)
    if one.n < 2 or not one.sd > 0.0:
        return None
    return _from_t(one.mean, one.sd / math.sqrt(one.n), one.n - 1, (one.n,))


def welch(a: Sequence[float], b: Sequence[float]) -> Difference | None:
    """Welch's test that mean(a) = mean(b); None where a side has fewer than two values, or both no spread."""
    one, other = sample(a), sample(b)
    if min(one.n, other.n) < 2 or not one.sd + other.sd > 0.0:
        return None
    va, vb = one.sd**2 / one.n, other.sd**2 / other.n
    freedom = (va + vb) ** 2 / (va**2 / (one.n - 1) + vb**2 / (other.n - 1))
    return _from_t(one.mean - other.mean, math.sqrt(va + vb), freedom, (one.n, other.n))


def _from_t(mean: float, error: float, freedom: float, n: tuple[int, ...]) -> Difference:
    """Interval and p of a mean with its standard error."""
    reach = float(special.stdtrit(freedom, (1.0 + LEVEL) / 2.0)) * error
    return Difference(
        mean, mean - reach, mean + reach, 2.0 * float(special.stdtr(freedom, -abs(mean) / error)), n
    )


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the order given."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted
