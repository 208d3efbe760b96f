"""Normalisation of a node's value: four settings of one function."""

from typing import Literal

import tensorflow as tf

from bayesnas_tf.numerics import across

Norm = Literal["batch", "layer", "none", "mean"]
EPSILON = 1e-5  # as PyTorch's, which DARTS and the thesis use


def standardise(x, axis, mean=tf.reduce_mean):
    """y = (x - mean) / sqrt(variance + epsilon) over one axis (2.5, biased variance), and 1 / that root.

    `mean` takes the means, as `tf.reduce_mean`.
    """
    centred = x - mean(x, axis=axis, keepdims=True)
    variance = mean(tf.square(centred), axis=axis, keepdims=True)
    inverse = tf.math.rsqrt(variance + EPSILON)
    return centred * inverse, inverse


def batch_mean(x, axis, keepdims):
    """`tf.reduce_mean` over the rows of all replicas that share the batch; each has as many."""
    mean, replicas = tf.reduce_mean(x, axis=axis, keepdims=keepdims), across.replicas()
    return mean if replicas == 1 else across.total(mean) / replicas


def normalise(x, norm: Norm, terms: int):
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
