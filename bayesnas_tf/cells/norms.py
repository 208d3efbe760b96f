"""Normalisation of a node's value: four settings of one function."""

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from bayesnas_tf.numerics import across

Norm = Literal["batch", "layer", "none", "mean"]
EPSILON = 1e-5  # as PyTorch's, which DARTS and the thesis use


def standardise(x: tf.Tensor, axis: int, mean: Callable = tf.reduce_mean) -> tuple[tf.Tensor, tf.Tensor]:
    """y = (x - mean) / sqrt(variance + epsilon) over one axis (2.5, biased variance), and 1 / that root.

    y has the shape of x `[..., B, U]`, the root 1 for that axis. `mean` takes the means, as `tf.reduce_mean`.
    """
    centred = x - mean(x, axis=axis, keepdims=True)
    variance = mean(tf.square(centred), axis=axis, keepdims=True)
    inverse = tf.math.rsqrt(variance + EPSILON)
    return centred * inverse, inverse


def batch_mean(x: tf.Tensor, axis: int, keepdims: bool) -> tf.Tensor:
    """`tf.reduce_mean` of x `[..., B, U]` over the rows of all replicas; each has as many of the batch."""
    mean, replicas = tf.reduce_mean(x, axis=axis, keepdims=keepdims), across.replicas()
    return mean if replicas == 1 else across.total(mean) / replicas


def normalise(x: tf.Tensor, norm: Norm, terms: int) -> tf.Tensor:
    """Norm of (M3) on x `[..., B, U]`, a sum of `terms` terms.

    `batch` uses the statistics of this batch at this time step (axis B), always; `layer` those of each
    example (axis U); `mean` divides by the number of terms, so that w = 1 is their plain mean; `none`
    returns x.
    """
    if norm == "batch":
        return standardise(x, axis=-2, mean=batch_mean)[0]
    if norm == "layer":
        return standardise(x, axis=-1)[0]
    return x / terms if norm == "mean" else x
