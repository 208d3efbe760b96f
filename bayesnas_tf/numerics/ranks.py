"""Ranks, and the correlation of two rankings; NumPy."""

import math

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1..N of the flattened values; equal values share the average of their ranks."""
    _, inverse, counts = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse.ravel()]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one size; NaN where one is constant or holds a NaN."""
    if np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0.0 else math.nan
