"""Elementary operations on pairs (value, shadow): one backward pass brings gradients and curvature together.

A shadow is a zero of the shape `[L, ...]`: L lanes beside a value of shape `[...]`. Forward it does nothing.
Backward, its cotangent is set by the loss and changed by every operation according to a rule:

- linear lanes carry cotangents as a gradient does (a random probe of the Gauss-Newton matrix);
- diagonal lanes carry a diagonal Hessian: h_in = (∂out/∂in)² h_out, and with D terms + (∂²out/∂in²) ∂L/∂out
  (Becker & LeCun 1988; Botev et al. 2017, 4.5-4.7). The highway is one operation: its carry has (1 - c)².

Nothing of the forward pass is kept for it but what the gradient keeps anyway. Maps with constant
coefficients need no operation here: a shadow times a² has a cotangent times a².
"""

from typing import NamedTuple, TypeVar

import tensorflow as tf

Factor = TypeVar("Factor", tf.Tensor, float)


class Pair(NamedTuple):
    """A value `[...]` and its shadow `[L, ...]`."""

    value: tf.Tensor
    shadow: tf.Tensor


class Rule(NamedTuple):
    """What a backward pass does with the cotangents of shadows."""

    diagonal: bool  # False: linear lanes
    d_terms: bool = False  # second derivatives of activations and gates; they enter lane 0
    per_sequence: bool = False  # scalars' cotangents are kept apart by example: [L, B, ...]

    def coefficient(self, a: Factor) -> Factor:
        """By what a shadow is multiplied where its value is multiplied by the constant a, `[...]`."""
        return a * a if self.diagonal else a


def shadow_of(value: tf.Tensor, lanes: int) -> tf.Tensor:
    """Zeros `[L, ...]` beside a value `[...]`."""
    zeros = tf.zeros(tf.concat([[lanes], tf.shape(value)], axis=0), value.dtype)
    return tf.ensure_shape(zeros, [lanes, *value.shape])


def scaled(rule: Rule, x: Pair, a: tf.Tensor | float) -> Pair:
    """x `[...]` times a constant, which may be an array that broadcasts."""
    return Pair(x.value * a, x.shadow * rule.coefficient(a))


def with_fresh(shadow: tf.Tensor, fresh: tf.Tensor) -> tf.Tensor:
    """Lanes `[L, ...]` with curvature `[...]` that arises here: it joins lane 0, the newest slot."""
    return tf.concat([shadow[:1] + fresh[tf.newaxis], shadow[1:]], axis=0)


def _product(x: tf.Tensor, kernel: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """x `[..., K]` times a kernel, one `[K, N]` or one per leading index."""
    if kernel.shape.rank > 2:
        return tf.matmul(x, kernel, transpose_b=transpose)
    flat = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel, transpose_b=transpose)
    return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], tf.shape(flat)[-1:]], axis=0))


def _of_kernel(x: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Σ xᵀ upstream, of the kernel's shape; x and upstream have the same leading axes."""
    if kernel.shape.rank > 2:
        return tf.matmul(x, upstream, transpose_a=True)
    rows = tf.reshape(upstream, [-1, upstream.shape[-1]])
    return tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), rows, transpose_a=True)


def project(rule: Rule, x: Pair, kernel: tf.Tensor) -> Pair:
    """x times a kernel `[K, N]`, `[j, K, N]` or `[O, j, K, N]` (x `[j, B, K]` serves every operation).

    Backward the gradient goes through the kernel as always. Linear lanes go with it, stacked to one product;
    diagonal lanes go through the squared kernel (4.5), a product of their own.
    """
    per_operation = kernel.shape.rank == 4

    def back(upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Through the kernel, `[L, ..., N]` -> `[L, ..., K]`."""
        of_x = _product(upstream, kernel, transpose=True)
        return tf.reduce_sum(of_x, axis=-4) if per_operation else of_x

    @tf.custom_gradient
    def run(x, x_shadow, kernel):
        y = _product(x, kernel)

        def gradient(g, s):
            if rule.diagonal:
                of_value, of_shadow = back(g, kernel), back(s, tf.square(kernel))
            else:
                both = back(tf.concat([g[tf.newaxis], s], axis=0), kernel)
                of_value, of_shadow = both[0], both[1:]
            # x `[j, B, K]` meets a kernel of each operation: its gradient wants it once for each of them
            inputs = tf.broadcast_to(x, tf.concat([tf.shape(g)[:-1], tf.shape(x)[-1:]], axis=0))
            return of_value, of_shadow, _of_kernel(inputs, g, kernel)

        return (y, shadow_of(y, x_shadow.shape[0])), gradient

    return Pair(*run(x.value, x.shadow, kernel))
