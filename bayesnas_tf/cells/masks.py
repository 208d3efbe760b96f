"""Variational dropout masks: drawn once per window from stateless seeds, reused at every time step."""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.numerics import seeds


class CellMasks(NamedTuple):
    """Inverted-dropout masks of a cell; None means no dropout."""

    inputs: tf.Tensor | None  # [B, U], on x_t
    hidden: tf.Tensor | None  # [B, U], on h_{t-1} and every predecessor

    def of_rows(self, rows) -> "CellMasks":
        """Those of the rows that `rows` takes of a tensor."""
        return CellMasks(*(part if part is None else rows(part) for part in self))


NO_MASKS = CellMasks(None, None)


def dropout_mask(seed, shape, rate: float, dtype=tf.float32):
    """0 with probability `rate`, else 1 / (1 - rate); None for rate 0, so that nothing is multiplied.

    Drawn as integers: XLA draws the same ones as a graph does, but makes other fractions of them.
    """
    if rate == 0.0:
        return None
    drawn = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=seeds.ALGORITHM)
    keep = drawn >= tf.constant(int(rate * 2**32), tf.uint32)
    return tf.cast(keep, dtype) / (1.0 - rate)


def apply(mask, x):
    """x masked; a mask `[B, U]` broadcasts over leading axes of x."""
    return x if mask is None else x * mask


def draw_cell_masks(seed, shape, rates, dtype) -> CellMasks:
    """The masks of a cell's inputs and hidden values, each of `shape`, from a seed and two rates."""
    drawn = [
        dropout_mask(seeds.fold(seed, slot), shape, rate, dtype)
        for slot, rate in zip((3, 4), rates, strict=True)
    ]
    return CellMasks(*drawn)
