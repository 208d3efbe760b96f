"""The rungs of successive halving: how many cells each has, which they are, and how long they are trained."""

import math
from collections.abc import Sequence

import numpy as np


def sizes(cells: int, eta: int) -> tuple[int, ...]:
    """Cells on each rung: all, then one of `eta` of those before, while there are two to choose from."""
    found = [cells]
    while found[-1] // eta > 1:
        found.append(found[-1] // eta)
    return tuple(found)


def parts(on_rungs: Sequence[int], shares: Sequence[int]) -> tuple[int, ...]:
    """The length of each training in whole numbers, rung after rung.

    A rung has its share of the tokens, and the cells on it (`on_rungs` of them) have equal parts of that.
    """
    unit = math.lcm(*on_rungs)
    return tuple(
        share * unit // count for count, share in zip(on_rungs, shares, strict=True) for _ in range(count)
    )


def best(nats: np.ndarray, count: int) -> np.ndarray:
    """The rows of the `count` best mean scores of `[K, W]`, ascending; of equal ones the first."""
    return np.sort(np.argsort(nats.mean(axis=1), kind="stable")[:count])
