"""The scalars' own moves inside the train step: L1 shrinkage and the gauge.

TensorFlow, for tensors of any float dtype; shapes are static, so that it compiles under XLA.
"""

import numpy as np
import tensorflow as tf

from bayesnas_tf.space.base import Sites


def rms(w: tf.Tensor, sites: Sites) -> tf.Tensor:
    """Rescale the scalars [E, O] into each node to root-mean-square 1 (section 3, Gauge).

    With a norm on the nodes the loss does not change, and L1 can no longer shrink w for free. A node whose
    scalars are all 0 (or vanish when squared) is left as it is, and so are switches.
    """
    into = _membership(sites)
    membership = tf.constant(into, w.dtype)
    terms = tf.constant(into.T @ sites.exists.sum(axis=1), w.dtype)
    # a sum of products, not a matmul: TF32 would cost three digits on a GPU
    squares = tf.reduce_sum(tf.square(w), axis=1)
    mean = tf.reduce_sum(membership * squares[:, None], axis=0) / terms
    root = tf.sqrt(tf.where(mean > 0.0, mean, tf.ones_like(mean)))
    divisor = tf.reduce_sum(membership * root[None, :], axis=1)
    if sites.switches:
        divisor += tf.constant(~sites.edges, w.dtype)  # 1
    return w / divisor[:, None]


def soft_threshold(w: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """sign(w) max(|w| - amount, 0): the minimum over x of (x - w)^2 / 2 + amount |x|, for amount >= 0.

    The proximal step of the L1 term in (M5), after w's gradient step: amount = lr_w (lambda_w / T) omega.
    """
    return tf.sign(w) * tf.nn.relu(tf.abs(w) - amount)


def travel(lr_w: float | np.ndarray, l1: float | np.ndarray, omega: np.ndarray, steps: int) -> np.ndarray:
    """lr_w l1 omega steps: how far L1 alone moves each scalar in `steps` steps; l1 = lambda_w / T.

    `lr_w` and `l1` are numbers or arrays that broadcast to `omega` `[E, O]`.
    """
    return lr_w * l1 * steps * omega


def _membership(sites: Sites) -> np.ndarray:
    """[E, n], 1 where the row is an edge into that one of the n targets."""
    into = sites.target[:, np.newaxis] == sites.targets()
    return (into & sites.edges[:, np.newaxis]).astype(np.float64)
