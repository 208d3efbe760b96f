"""Where a run stands: every number a resumed run needs beside weights and carried state."""

import tensorflow as tf


class Progress(tf.Module):
    """Counters and sums of a training run, as variables so that a checkpoint holds them."""

    def __init__(self):
        """Nothing done."""
        super().__init__()
        self.step = _count()  # steps done, over all epochs
        self.epoch = _count()  # epochs ended, their update included
        self.window = _count()  # windows done in the epoch under way
        self.nats = _sum()  # training nats of the epoch under way
        self.tokens = _count()
        self.squared_gradient = _sum()  # of w, mean over the scalars, summed over the epoch's steps
        self.train_seconds = _sum()
        self.total_tokens = _count()
        self.hessian_seconds = _sum()
        self.best_nats = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)

    def begin_epoch(self) -> None:
        """Forget the sums of the epoch that ended."""
        for variable in (self.nats, self.tokens, self.squared_gradient, self.window):
            variable.assign(tf.zeros_like(variable))


def _count():
    return tf.Variable(0, dtype=tf.int64, trainable=False)


def _sum():
    return tf.Variable(0.0, dtype=tf.float64, trainable=False)
