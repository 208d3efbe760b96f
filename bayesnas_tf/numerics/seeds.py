"""Stateless seeds, int32 [2]: a resumed run draws what an unbroken run does."""

import tensorflow as tf

ALGORITHM = "philox"  # the default is another one under XLA, and so would be every draw


def fold(seed: tf.Tensor, *data: int | tf.Tensor) -> tf.Tensor:
    """A new stateless seed from `seed` (int32 `[2]`) and integers such as (step, slot)."""
    for value in data:
        seed = tf.random.experimental.stateless_fold_in(seed, value, alg=ALGORITHM)
    return seed


def run_seed(seed: int) -> tf.Tensor:
    """The stateless seed (int32 `[2]`) of a run's integer seed."""
    return tf.constant([seed & 0x7FFFFFFF, 0x5EED], tf.int32)
