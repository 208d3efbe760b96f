"""Elementary operations on pairs (value, shadow): one backward pass brings gradients and curvature together.

A shadow is a zero of the shape `[L, ...]`: L lanes beside a value of shape `[...]`. Forward it does nothing.
Backward, its cotangent is set by the loss and changed by every operation according to a rule:

- linear lanes carry cotangents as a gradient does (a random probe of the Gauss-Newton matrix);
- diagonal lanes carry a diagonal Hessian: h_in = (∂out/∂in)² h_out, and with D terms + (∂²out/∂in²) ∂L/∂out
  (Becker & LeCun 1988; Botev et al. 2017, 4.5-4.7). The highway is one operation: its carry has (1 - c)².

Nothing of the forward pass is kept for it but what the gradient keeps anyway. Maps with constant
coefficients need no operation here: a shadow times a² has a cotangent times a².
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import norms, primitives


class Pair(NamedTuple):
    """A value `[...]` and its shadow `[L, ...]`."""

    value: tf.Tensor
    shadow: tf.Tensor


class Rule(NamedTuple):
    """What a backward pass does with the cotangents of shadows."""

    diagonal: bool  # False: linear lanes
    d_terms: bool = False  # second derivatives of activations and gates; they enter lane 0
    per_sequence: bool = False  # scalars' cotangents are kept apart by example: [L, B, ...]

    def coefficient(self, a):
        """By what a shadow is multiplied where its value is multiplied by the constant `a`."""
        return a * a if self.diagonal else a


def shadow_of(value, lanes: int):
    """Zeros `[L, ...]`."""
    zeros = tf.zeros(tf.concat([[lanes], tf.shape(value)], axis=0), value.dtype)
    return tf.ensure_shape(zeros, [lanes, *value.shape])


def scaled(rule: Rule, x: Pair, a) -> Pair:
    """x times a constant, which may be an array that broadcasts."""
    return Pair(x.value * a, x.shadow * rule.coefficient(a))


def with_fresh(shadow, fresh):
    """Curvature that arises here joins lane 0."""
    return tf.concat([shadow[:1] + fresh[tf.newaxis], shadow[1:]], axis=0)


def _product(x, kernel, transpose=False):
    """x `[..., K]` times a kernel, one `[K, N]` or one per leading index."""
    if kernel.shape.rank > 2:
        return tf.matmul(x, kernel, transpose_b=transpose)
    flat = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel, transpose_b=transpose)
    return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], tf.shape(flat)[-1:]], axis=0))


def _of_kernel(x, upstream, kernel):
    """Σ xᵀ upstream, of the kernel's shape; x and upstream have the same leading axes."""
    if kernel.shape.rank > 2:
        return tf.matmul(x, upstream, transpose_a=True)
    rows = tf.reshape(upstream, [-1, upstream.shape[-1]])
    return tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), rows, transpose_a=True)


def project(rule: Rule, x: Pair, kernel) -> Pair:
    """x times a kernel `[K, N]`, `[j, K, N]` or `[O, j, K, N]` (x `[j, B, K]` serves every operation)."""
    per_operation = kernel.shape.rank == 4

    def back(upstream, kernel):
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
            inputs = tf.broadcast_to(x, tf.concat([tf.shape(g)[:-1], tf.shape(x)[-1:]], axis=0))
            return of_value, of_shadow, _of_kernel(inputs, g, kernel)

        return (y, shadow_of(y, x_shadow.shape[0])), gradient

    return Pair(*run(x.value, x.shadow, kernel))


def gated(rule: Rule, x: Pair, pre: Pair, op: primitives.Primitive) -> Pair:
    """(M1, M2) x + σ(g) (op(a) - x), with [g, a] the halves of `pre`."""

    @tf.custom_gradient
    def run(x, x_shadow, pre, pre_shadow):
        del pre_shadow

        def parts():
            gate, a = tf.split(pre, 2, axis=-1)
            return tf.sigmoid(gate), a, op.f(a)

        def gradient(g, s):
            c, a, t = parts()  # again: a time loop would keep them for every step
            slope = c * op.d1(a)
            opening = c * (1.0 - c) * (t - x)
            if not rule.diagonal:
                both = tf.concat([g[tf.newaxis], s], axis=0)
                of_pre = tf.concat([opening * both, slope * both], axis=-1)
                carried = (1.0 - c) * both
                return carried[0], carried[1:], of_pre[0], of_pre[1:]
            of_gate, of_a = tf.square(opening) * s, tf.square(slope) * s
            if rule.d_terms:
                of_gate = with_fresh(of_gate, (1.0 - 2.0 * c) * opening * g)
                of_a = with_fresh(of_a, c * op.d2(a) * g)
            of_pre = tf.concat([opening * g, slope * g], axis=-1)
            return (1.0 - c) * g, tf.square(1.0 - c) * s, of_pre, tf.concat([of_gate, of_a], axis=-1)

        c, _, t = parts()
        y = x + c * (t - x)
        return (y, shadow_of(y, x_shadow.shape[0])), gradient

    return Pair(*run(x.value, x.shadow, pre.value, pre.shadow))


class Standardised(NamedTuple):
    """y = (x - mean) / root over one axis (`cells.norms.standardise`), and its symmetric Jacobian."""

    y: tf.Tensor
    inverse: tf.Tensor  # 1 / root
    axis: int

    @classmethod
    def of(cls, x, axis: int):
        """From x."""
        y, inverse = norms.standardise(x, axis)
        return cls(y, inverse, axis)

    def mean(self, v):
        """Over the axis."""
        return tf.reduce_mean(v, axis=self.axis, keepdims=True)

    def moved(self, v, constant: bool = False):
        """The Jacobian times v, whatever axes v has in front; `constant`: as if the statistics were."""
        if constant:
            return v * self.inverse
        return (v - self.mean(v) - self.y * self.mean(v * self.y)) * self.inverse

    def diagonal(self, s, constant: bool):
        """The squared Jacobian, transposed, times s; `constant` as for `moved`."""
        if constant:
            return s * tf.square(self.inverse)
        count, mean = tf.cast(tf.shape(self.y)[self.axis], s.dtype), self.mean
        own = s * (1.0 - 2.0 * (1.0 + tf.square(self.y)) / count)
        others = mean(s) + 2.0 * self.y * mean(s * self.y) + tf.square(self.y) * mean(s * tf.square(self.y))
        return (own + others / count) * tf.square(self.inverse)


STATISTICS: dict[norms.Norm, int] = {"batch": -2, "layer": -1}  # norm -> the axis of its statistics


def normalise(rule: Rule, x: Pair, norm: norms.Norm, terms: int) -> Pair:
    """The norm of a node (`cells.norms`), without scale and offset.

    Diagonal lanes through the statistics in closed form; with D terms the statistics are constants, because
    their own second derivatives make every entry negative at initialisation.
    """
    if norm == "none":
        return x
    if norm == "mean":
        return scaled(rule, x, tf.constant(1.0 / terms, x.value.dtype))
    axis = STATISTICS[norm]

    @tf.custom_gradient
    def run(x, x_shadow):
        def gradient(g, s):
            norm = Standardised.of(x, axis)  # again: a time loop would keep it for every step
            if rule.diagonal:
                return norm.moved(g), norm.diagonal(s, rule.d_terms)
            both = norm.moved(tf.concat([g[tf.newaxis], s], axis=0))
            return both[0], both[1:]

        y, _ = norms.standardise(x, axis)
        return (y, shadow_of(y, x_shadow.shape[0])), gradient

    return Pair(*run(*x))
