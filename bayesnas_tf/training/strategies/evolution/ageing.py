"""Who lives and who is a parent in regularised evolution (Real et al. 2019, algorithm 1)."""

from collections.abc import Callable

import numpy as np

STREAM = 0x65766F6C  # beside the seed: a child shares no draw with any other use of it


def stream(seed: int, number: int) -> Callable[[], int]:
    """The draws for a child, whole numbers of 64 bits: the same on every machine and with every NumPy."""
    return np.random.PCG64([seed, STREAM, number]).random_raw


def alive(number: int, population: int) -> range:
    """The cells that live when cell `number` is made: each birth ends the oldest life."""
    return range(max(number - population, 0), number)


def parent(living: range, nats: np.ndarray, sample: int, draw: Callable[[], int]) -> int:
    """The best of `sample` cells that are drawn from the living, with replacement.

    Args:
      living: cells by number.
      nats: of every cell, `[>= living.stop]`; less is better, and of equal ones the one drawn first.
      sample: how many are drawn.
      draw: see `stream`.
    """
    drawn = [living[int(draw() % len(living))] for _ in range(sample)]
    return min(drawn, key=lambda number: nats[number])
