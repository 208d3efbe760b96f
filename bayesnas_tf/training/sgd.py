"""Plain updates of weights and scalars: functions of arrays, no state."""

import tensorflow as tf

from bayesnas_tf.bayes import gauge


def dense(gradients, weights):
    """Gradients as dense tensors, zeros where a weight is not reached.

    An embedding's gradient comes as slices with repeated rows; their norm is not the gradient's norm.
    """
    return [
        tf.zeros_like(weight) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]


def clip_factor(gradients, limit: float):
    """What brings the joint norm of the gradients to at most `limit` (0: 1), as `clip_grad_norm_`."""
    if limit == 0.0:
        return 1.0
    return tf.minimum(limit / (tf.linalg.global_norm(gradients) + 1e-6), 1.0)


def clip_by_norm(gradients, limit: float):
    """Gradients scaled so that their joint norm is at most `limit` (0: never)."""
    if limit == 0.0:
        return gradients
    scale = clip_factor(gradients, limit)
    return [gradient * scale for gradient in gradients]


def decayed(gradients, weights, weight_decay: float):
    """g + λ W: the gradient of λ/2 ‖W‖² beside the others."""
    if weight_decay == 0.0:
        return gradients
    return [
        gradient + weight_decay * tf.convert_to_tensor(weight)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]


def sgd(weights, gradients, lr, weight_decay: float):
    """W - lr (∂L/∂W + 2 λ W): the gradient of λ‖W‖² in (M5) stays outside the clip, as in PyTorch."""
    return [
        weight - lr * (gradient + 2.0 * weight_decay * weight)
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def clipped_sgd(weights, gradients, lr, clip: float, weight_decay: float):
    """`sgd` of the clipped gradients."""
    return sgd(weights, clip_by_norm(gradients, clip), lr, weight_decay)


def proximal_sgd(w, gradient, lr, l1, omega):
    """A gradient step on the scalars, then the soft threshold of (λ_w/T) ω |w| (M5)."""
    return gauge.soft_threshold(w - lr * gradient, lr * l1 * omega)
