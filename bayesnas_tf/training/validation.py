"""Total nats of a model over a stream of ids."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.reading import PLAIN, Purpose
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import row_groups
from bayesnas_tf.numerics.blocks import KernelBlocks
from bayesnas_tf.numerics.sums import ordered_sum


class StreamNats(NamedTuple):
    """Sums over all predicted tokens; the mean is a quotient, not stored."""

    nats: float
    tokens: int
    rows: int

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def darts_mean(self) -> float:
        """What DARTS and AWD-LSTM take for it: they also divide by the first token of each row."""
        return self.nats / (self.tokens + self.rows)


def window_nats(model: LanguageModel, groups: int = 1, kernel_blocks: KernelBlocks | None = None) -> Callable:
    """A function of x, y `[B, P]`, length, state: total nats of the first `length` steps, the next state.

    `groups` of rows are computed side by side. With `kernel_blocks`, where rows are few enough for them, the
    cell's kernels are those of their last `refresh`.
    """

    def run(x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        fitting = kernel_blocks if kernel_blocks is not None and kernel_blocks.serve(x.shape[0]) else None
        purpose = PLAIN if fitting is None else Purpose(blocks=fitting.read())

        def of_rows(rows: row_groups.Rows) -> tuple[tf.Tensor, tf.Tensor]:
            hidden, after = model.window(rows(x), rows(state), length, purpose=purpose)
            nats = model.token_nats(hidden, rows(y))
            valid = losses.valid_tokens(length, tf.shape(nats)[1], nats.dtype)
            return tf.reduce_sum(tf.cast(nats * valid, tf.float64)), after

        totals, after = zip(*row_groups.side_by_side(of_rows, groups), strict=True)
        return ordered_sum(totals), tf.concat(after, axis=0)

    return run


def stream_nats(run: Callable, model: LanguageModel, windows: Iterable, batch: int) -> StreamNats:
    """Sum `run` (a compiled `window_nats`) over windows, the hidden state carried from zero."""
    state, nats, tokens = model.zero_state(batch), tf.zeros([], tf.float64), 0
    for window in windows:
        window_total, state = run(window.x, window.y, window.length, state)
        nats += window_total
        tokens += batch * int(window.length)
    return StreamNats(float(nats), tokens, batch)
