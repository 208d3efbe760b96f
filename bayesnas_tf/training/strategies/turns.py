"""Validation windows one after the other, for steps that learn the architecture on them."""

import numpy as np
import tensorflow as tf


class Turns(tf.Module):
    """The windows of `rows` in turn, over and over; owns the place and the carried state."""

    def __init__(self, rows: np.ndarray, bptt: int, state: tf.Tensor):
        """`rows` int32 `[B, C]`; `bptt` steps per window, fewer where rows are short; `state` `[B, S]`."""
        super().__init__()
        self.steps = min(bptt, rows.shape[1] - 1)
        self.count = (rows.shape[1] - 1) // self.steps
        self.rows = tf.constant(rows)
        self.done = tf.Variable(0, dtype=tf.int64, trainable=False)  # int32 lies on the CPU
        self.state = tf.Variable(tf.zeros_like(state), trainable=False)

    def window(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """x, y `[B, T]` of the present turn and the state before them, zero where the rows begin again."""
        turn = tf.cast(self.done % self.count, tf.int32)
        # no slice, whose place XLA takes for a constant: each turn would be compiled anew
        columns = turn * self.steps + tf.range(self.steps)
        x, y = (tf.gather(self.rows, columns + ahead, axis=1) for ahead in (0, 1))
        return x, y, tf.where(turn == 0, tf.zeros_like(self.state), self.state)

    def carry(self, state: tf.Tensor) -> None:
        """Go on to the next turn with this state."""
        self.state.assign(state)
        self.done.assign_add(1)

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return self.rows.shape[0] * self.steps
