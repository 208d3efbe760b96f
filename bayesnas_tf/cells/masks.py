"""Variational dropout masks: drawn once per window from stateless seeds, reused at every time step."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.row_groups import Rows

Shape = Sequence[int | tf.Tensor]


class CellMasks(NamedTuple):
    """Inverted-dropout masks of a cell; None means no dropout."""

    inputs: tf.Tensor | None  # [B, U], on x_t
    hidden: tf.Tensor | None  # [B, U], on h_{t-1} and every predecessor

    def of_rows(self, rows: Rows) -> "CellMasks":
        """Those of the rows that `rows` takes of a tensor."""
        return CellMasks(*(part if part is None else rows(part) for part in self))


NO_MASKS = CellMasks(None, None)


def dropout_mask(
    seed: tf.Tensor, shape: Shape, rate: float, dtype: tf.DType = tf.float32
) -> tf.Tensor | None:
    """0 with probability `rate`, else 1 / (1 - rate), of `shape`, from a stateless seed (int32 `[2]`).

    None for rate 0, so that nothing is multiplied.

    Drawn as integers: XLA draws the same ones as a graph does, but makes other fractions of them.
    """
    if rate == 0.0:
        return None
    drawn = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=seeds.ALGORITHM)
    keep = drawn >= tf.constant(int(rate * 2**32), tf.uint32)
    return tf.cast(keep, dtype) / (1.0 - rate)


def apply(mask: tf.Tensor | None, x: tf.Tensor) -> tf.Tensor:
    """x `[..., B, U]` masked; a mask `[B, U]` broadcasts over leading axes of x. None: x itself."""
    return x if mask is None else x * mask


def draw_cell_masks(seed: tf.Tensor, shape: Shape, rates: tuple[float, float], dtype: tf.DType) -> CellMasks:
    """Masks of a cell's inputs and hidden values, each of `shape`, by a seed (int32 `[2]`) and two rates."""
    drawn = [
        dropout_mask(seeds.fold(seed, slot), shape, rate, dtype)
        for slot, rate in zip((3, 4), rates, strict=True)
    ]
    return CellMasks(*drawn)
