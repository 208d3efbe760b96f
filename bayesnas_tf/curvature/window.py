"""What an estimator returns for one window, and the pieces that several estimators share."""

from typing import NamedTuple

import tensorflow as tf


class WindowEstimate(NamedTuple):
    """h and gradient of the mean NLL of one window: `[E, O]`; `[E]` or None for zero-edge switches."""

    h: tf.Tensor
    gradient: tf.Tensor
    h_zero: tf.Tensor | None
    gradient_zero: tf.Tensor | None
    state: tf.Tensor  # [B, U], after the window


def scalar_variables(model) -> list:
    """The search cell's scalars, and its zero-edge switches where it has them."""
    return [v for v in (model.cell.scalars, model.cell.zero_scalars) if v is not None]


def assemble(h: list, gradient: list, state) -> WindowEstimate:
    """A `WindowEstimate` from one array per entry of `scalar_variables`."""
    h_zero, gradient_zero = (h[1], gradient[1]) if len(h) == 2 else (None, None)
    return WindowEstimate(h[0], gradient[0], h_zero, gradient_zero, state)


def residual(probabilities, targets):
    """∂(NLL)/∂logits = p - onehot, `[N, V]`, from p `[N, V]` and targets `[N]`."""
    rows = tf.range(tf.shape(targets)[0])
    at_target = tf.stack([rows, targets], axis=1)
    return tf.tensor_scatter_nd_sub(probabilities, at_target, tf.ones_like(targets, probabilities.dtype))
