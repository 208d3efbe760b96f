"""What an estimator returns for one window, and the pieces that several estimators share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds

if TYPE_CHECKING:
    from bayesnas_tf.curvature.interface import CurvatureOptions


class Window(NamedTuple):
    """A window of text, int32 `[B, T]` each, and the state `[B, S]` before it."""

    x: tf.Tensor
    y: tf.Tensor
    state: tf.Tensor


class WindowEstimate(NamedTuple):
    """h and gradient of the mean NLL of one window: `[E, O]`; `[E]` or None for zero-edge switches."""

    h: tf.Tensor
    gradient: tf.Tensor
    h_zero: tf.Tensor | None
    gradient_zero: tf.Tensor | None
    state: tf.Tensor  # [B, S], after the window
    variance: tf.Tensor | None = None  # [E, O], of h over draws of the probes; None where nothing is drawn


class WindowEstimator(Protocol):
    """An estimator: from a window of text to its curvature, dropout off."""

    def __call__(
        self,
        model: LanguageModel,
        x: tf.Tensor,
        y: tf.Tensor,
        state: tf.Tensor,
        seed: tf.Tensor,
        options: "CurvatureOptions",
    ) -> WindowEstimate:
        """From ids x, y `[B, T]`, the state `[B, S]` before them and a stateless seed (int32 `[2]`)."""


def scalar_variables(model: LanguageModel) -> list[tf.Variable]:
    """The search cell's scalars, and its zero-edge switches where it has them; a derived cell has none."""
    found = (getattr(model.cell, name, None) for name in ("scalars", "zero_scalars"))
    return [v for v in found if v is not None]


def assemble(h: Sequence[tf.Tensor], gradient: Sequence[tf.Tensor], state: tf.Tensor) -> WindowEstimate:
    """A `WindowEstimate` from an array per entry of `scalar_variables`, and the state `[B, S]` after."""
    h_zero, gradient_zero = (h[1], gradient[1]) if len(h) == 2 else (None, None)
    return WindowEstimate(h[0], gradient[0], h_zero, gradient_zero, state)


def relative_error(h: np.ndarray, standard_error: np.ndarray) -> float:
    """Median over the scalars of the standard error of h, relative to h (positive)."""
    return float(np.median(standard_error / np.maximum(h, np.finfo(np.float32).tiny)))


def residual(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """∂(NLL)/∂logits = p - onehot, `[N, V]`, from p `[N, V]` and targets `[N]`."""
    rows = tf.range(tf.shape(targets)[0])
    at_target = tf.stack([rows, targets], axis=1)
    return tf.tensor_scatter_nd_sub(probabilities, at_target, tf.ones_like(targets, probabilities.dtype))


def probe(probabilities: tf.Tensor, seed: tf.Tensor, group: int = 0, groups: int = 1) -> tf.Tensor:
    """√p ∘ ξ - p (√p · ξ): a cotangent `[N, V]` of the logits with covariance diag(p) - p pᵀ per token.

    The Hessian of a token's NLL in its logits is that covariance, A Aᵀ with A = (I - p 1ᵀ) diag(√p), and
    v = A ξ with random signs ξ. Those of a group of rows are the same as in the whole batch: each group draws
    the signs of all `groups` N rows, and takes its own.
    """
    rows, words = tf.unstack(tf.shape(probabilities))
    signs = tf.random.stateless_uniform([groups * rows, words], seed, 0, 2, tf.int32, alg=seeds.ALGORITHM)
    signs = signs[group * rows :][:rows] if groups > 1 else signs
    signed = tf.sqrt(probabilities) * tf.cast(2 * signs - 1, probabilities.dtype)
    return signed - probabilities * tf.reduce_sum(signed, axis=1, keepdims=True)
