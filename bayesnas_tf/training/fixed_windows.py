"""The same few windows each time: for curvature, the oracle, and the score of a cell."""

import numpy as np
import tensorflow as tf


def fixed_windows(rows: np.ndarray, bptt: int, count: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The first `count` windows of `bptt` steps as (x, y) pairs, fewer where the rows are short."""
    bptt = min(bptt, rows.shape[1] - 1)
    count = max(1, min(count, (rows.shape[1] - 1) // bptt))
    starts = [k * bptt for k in range(count)]
    return [
        (tf.constant(rows[:, start : start + bptt]), tf.constant(rows[:, start + 1 : start + 1 + bptt]))
        for start in starts
    ]
