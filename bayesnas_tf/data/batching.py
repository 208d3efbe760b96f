"""A stream of ids becomes B parallel rows, and the rows become windows of consecutive time steps.

Window k of row b is followed, in the text, by window k + 1 of row b: a model carries its state over. The
target of a token is the token after it, so each token but the first of every row is predicted exactly once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.errors import UserError
from bayesnas_tf.options import Count, checked

FULL_SHARE = 0.95  # the rest of the windows is drawn around half the length (AWD-LSTM, DARTS)
LENGTH_DEVIATION = 5.0  # steps
MIN_LENGTH = 5  # steps
MAX_EXCESS = 20  # steps beyond bptt, so that memory is bounded


class WindowPlan(NamedTuple):
    """Where each window of an epoch starts in the rows, and how many steps it predicts; both int32 [K]."""

    starts: np.ndarray
    lengths: np.ndarray


class Window(NamedTuple):
    """Inputs and targets, int32 [B, P]; only the first `length` of the P steps are real, the rest is 0."""

    x: tf.Tensor
    y: tf.Tensor
    length: tf.Tensor


def rows(stream: np.ndarray, batch: int, corpus: str = "the corpus", bptt: int | None = None) -> np.ndarray:
    """Cut a stream into `batch` contiguous rows, int32 [B, N // B]; what does not fill a column is left out.

    `UserError`, naming `corpus`, when a row would have fewer than two tokens, one to read and one to predict,
    or fewer than one window of `bptt` steps needs where that is given.
    """
    checked("batch", batch, Count)
    columns, least = len(stream) // batch, (bptt or 1) + 1
    if columns < least:
        windows_of = f" in windows of {bptt} steps" if bptt else ""
        raise UserError(
            f"{corpus} is too short: {len(stream)} tokens for a batch of {batch} rows{windows_of}, and each "
            f"row needs at least {least}. {_cure(len(stream), columns, least)}"
        )
    return np.ascontiguousarray(stream[: batch * columns].reshape(batch, columns), dtype=np.int32)


def _cure(tokens: int, columns: int, least: int) -> str:
    """What to change so that `columns` of each row are at least `least`."""
    cures = ["a longer text"]
    if tokens >= least:
        cures.append(f"a batch of at most {tokens // least}")
    if 1 < columns < least:
        cures.append(f"a bptt of at most {columns - 1}")
    return f"Use {', '.join(cures[:-1])} or {cures[-1]}" if len(cures) > 1 else f"Use {cures[0]}"


def plan(columns: int, bptt: int, seed: int | Sequence[int], jitter: bool = True) -> WindowPlan:
    """The windows of one epoch over rows of `columns` tokens; together they predict `columns` - 1 steps.

    With `jitter` the lengths are drawn as in DARTS: normal around `bptt`, or around half of it for every
    twentieth window, with deviation 5, at least 5 and at most `bptt` + 20 steps. Without it each is `bptt`
    and the seed is not used. The last window takes what is left. The same seed, such as (run seed, epoch),
    gives the same plan.
    """
    if columns < 2 or bptt < 1:
        raise ValueError(
            f"a window of {bptt} steps needs rows of 2 tokens and 1 step, not of {columns} tokens"
        )
    steps = columns - 1
    if jitter:
        lengths = _jittered(-(-steps // MIN_LENGTH), bptt, np.random.default_rng(np.random.PCG64(seed)))
    else:
        lengths = np.full(-(-steps // bptt), bptt, np.int64)
    ends = np.minimum(np.cumsum(lengths), steps)
    ends = ends[: np.searchsorted(ends, steps) + 1]
    starts = np.concatenate([[0], ends[:-1]])
    return WindowPlan(starts.astype(np.int32), (ends - starts).astype(np.int32))


def _jittered(count: int, bptt: int, generator: np.random.Generator) -> np.ndarray:
    """`count` lengths by DARTS' rule, int64; a normal draw is cut to an integer towards zero."""
    middle = np.where(generator.random(count) < FULL_SHARE, bptt, bptt / 2)
    lengths = generator.normal(middle, LENGTH_DEVIATION).astype(np.int64)
    return np.clip(lengths, MIN_LENGTH, bptt + MAX_EXCESS)


def windows(rows: np.ndarray, plan: WindowPlan, bucket: int, first: int = 0) -> tf.data.Dataset:
    """The windows of `plan` over int32 `rows` [B, C], from window number `first` on, as `Window` tuples.

    P is the length rounded up to a multiple of `bucket` steps, so that a compiled step sees few shapes. The
    rows are one constant that is sliced in the graph: no Python runs per window.
    """
    checked("bucket", bucket, Count)
    batch = len(rows)
    with tf.device("CPU"):  # where tf.data runs
        ids = tf.constant(rows, tf.int32)

    def cut(start, length):
        padding = [[0, 0], [0, -length % bucket]]
        x = tf.pad(tf.slice(ids, [0, start], [batch, length]), padding)
        y = tf.pad(tf.slice(ids, [0, start + 1], [batch, length]), padding)
        return Window(tf.ensure_shape(x, [batch, None]), tf.ensure_shape(y, [batch, None]), length)

    dataset = tf.data.Dataset.from_tensor_slices((plan.starts[first:], plan.lengths[first:]))
    # AutoGraph would look for what it may convert, and there is nothing
    dataset = dataset.map(tf.autograph.experimental.do_not_convert(cut)).prefetch(8)
    options = tf.data.Options()
    # nothing here is tuned, and an iterator that ends waits for the next round of the tuner: 36 s were seen
    options.autotune.enabled = False
    return dataset.with_options(options)
