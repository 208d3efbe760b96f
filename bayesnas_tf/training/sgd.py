"""Plain updates of weights and scalars: functions of arrays, no state."""

from collections.abc import Sequence

import tensorflow as tf

from bayesnas_tf.bayes import gauge


def dense(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices | None], weights: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    """Gradients as dense tensors, zeros where a weight is not reached.

    An embedding's gradient comes as slices with repeated rows; their norm is not the gradient's norm.
    """
    return [
        tf.zeros_like(weight) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]


def clip_factor(gradients: Sequence[tf.Tensor], limit: float) -> tf.Tensor | float:
    """What brings the joint norm of the gradients to at most `limit` (0: 1), as `clip_grad_norm_`."""
    if limit == 0.0:
        return 1.0
    return tf.minimum(limit / (tf.linalg.global_norm(gradients) + 1e-6), 1.0)


def clip_by_norm(gradients: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Gradients scaled so that their joint norm is at most `limit` (0: never)."""
    if limit == 0.0:
        return gradients
    scale = clip_factor(gradients, limit)
    return [gradient * scale for gradient in gradients]


def decayed(
    gradients: list[tf.Tensor], weights: Sequence[tf.Tensor | tf.Variable], weight_decay: float
) -> list[tf.Tensor]:
    """g + λ W: the gradient of λ/2 ‖W‖² beside the others."""
    if weight_decay == 0.0:
        return gradients
    return [
        gradient + weight_decay * tf.convert_to_tensor(weight)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]


def sgd(
    weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor], lr: tf.Tensor, weight_decay: float
) -> list[tf.Tensor]:
    """W - lr (∂L/∂W + 2 λ W): the gradient of λ‖W‖² in (M5) stays outside the clip, as in PyTorch."""
    return [
        weight - lr * (gradient + 2.0 * weight_decay * weight)
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def clipped_sgd(
    weights: Sequence[tf.Tensor],
    gradients: list[tf.Tensor],
    lr: tf.Tensor,
    clip: float,
    weight_decay: float,
) -> list[tf.Tensor]:
    """`sgd` of the clipped gradients."""
    return sgd(weights, clip_by_norm(gradients, clip), lr, weight_decay)


def proximal_sgd(
    w: tf.Tensor, gradient: tf.Tensor, lr: tf.Tensor | float, l1: tf.Tensor | float, omega: tf.Tensor
) -> tf.Tensor:
    """A gradient step on the scalars `[E, O]`, then the soft threshold of (λ_w/T) ω |w| (M5)."""
    return gauge.soft_threshold(w - lr * gradient, lr * l1 * omega)
