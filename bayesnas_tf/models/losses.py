"""The terms of the loss (M5), in nats."""

import numpy as np
import tensorflow as tf


def token_nats(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Negative log-likelihood of each target in nats, `[B, T]`, from logits `[B, T, V]`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def valid_tokens(length: tf.Tensor, padded: tf.Tensor | int, dtype: tf.DType) -> tf.Tensor:
    """`[P]`: 1 for the first `length` time steps of a window padded to P, then 0."""
    return tf.cast(tf.range(padded) < length, dtype)


def mean_nats(nats: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Mean nats per token over the first `length` time steps of `[B, P]`."""
    valid = valid_tokens(length, tf.shape(nats)[1], nats.dtype)
    count = tf.cast(tf.shape(nats)[0] * length, nats.dtype)
    return tf.reduce_sum(nats * valid) / count


def temporal_activation(hidden: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Mean of (h_t - h_{t-1})² over the first `length` steps of `[B, P, U]`, before dropout (as DARTS)."""
    steps = valid_tokens(length, tf.shape(hidden)[1], hidden.dtype)[1:]
    change = tf.reduce_mean(tf.square(hidden[:, 1:] - hidden[:, :-1]), axis=[0, 2])
    return tf.reduce_sum(change * steps) / tf.cast(tf.maximum(length - 1, 1), hidden.dtype)


def activation(dropped: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Mean of h_t² over the first `length` steps of `[B, P, U]`, after dropout (as AWD-LSTM)."""
    steps = valid_tokens(length, tf.shape(dropped)[1], dropped.dtype)
    size = tf.reduce_mean(tf.square(dropped), axis=[0, 2])
    return tf.reduce_sum(size * steps) / tf.cast(length, dropped.dtype)


def perplexity(nats: float) -> float:
    """exp of the mean nats per token; infinity where it overflows, NaN for NaN."""
    return float("inf") if nats >= 700 else float(np.exp(nats))
