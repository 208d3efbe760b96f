"""What switches do in a cell with a memory: numbers in [0, 1] that open a product, the memory or a gate.

A switch is one entry of a constant `w` `[E, O]`: an architecture scalar of a supernet, or a mark of
a choice. Without `at`, a rule takes no `w`, and the switch is 1. A rule interpolates from the cell without
the switch (0), so that its value is affine in it. Alternatives are never averaged on the way of a state.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.rules.base import Map, Rule, Slopes, elementwise
from bayesnas_tf.cells.rules.spread import sum_of_rows


class Entry(NamedTuple):
    """Where a switch is in `w`, and the form in which its gradient is wanted (`Rule.by_units`)."""

    row: int
    column: int
    by_units: bool = False

    def of(self, w: tf.Tensor) -> tf.Tensor:
        """The switch, a scalar, of w `[E, O]`."""
        return w[self.row, self.column]

    def scattered(self, values: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        """Cotangents `[..., B, U]` of the switch at every unit, as those of `w`: `[..., B, E, O]`.

        By units, for the staged form, they are summed over the rows instead: `[E, O, U]`.
        """
        rows, columns = w.shape[0], w.shape[1]
        place = tf.one_hot(self.row, rows, dtype=w.dtype)[:, tf.newaxis]
        place *= tf.one_hot(self.column, columns, dtype=w.dtype)
        if self.by_units:
            return place[..., tf.newaxis] * sum_of_rows(values)
        return tf.reduce_sum(values, axis=-1)[..., tf.newaxis, tf.newaxis] * place


def _rule(at: Entry | None, value: Callable[..., tf.Tensor], slopes: Slopes, seconds: Slopes) -> Rule:
    """A rule of the derivatives in each argument but w, and in the switch, which comes last."""

    def moved(change: Callable[[tf.Tensor], tf.Tensor]) -> Map:
        def through(g: tf.Tensor, *x: tf.Tensor) -> tuple[tf.Tensor, ...]:
            w = x[-1] if at else None
            *of_values, of_switch = slopes(*x[:-1], at.of(w)) if at else slopes(*x, 1.0)
            found = [change(factor) * g for factor in of_values]
            return (*found, at.scattered(change(of_switch) * g, w)) if at else tuple(found)

        return through

    def second(g, *x):
        found = seconds(*x[:-1], at.of(x[-1])) if at else seconds(*x, 1.0)
        return (*(None if f is None else f * g for f in found), *([None] if at else []))

    return Rule(
        lambda *x: value(*x[:-1], at.of(x[-1])) if at else value(*x, 1.0),
        moved(lambda factor: factor),
        moved(tf.square),
        second,
        by_units=at is not None and at.by_units,
    )


def _entry(at: tuple | None) -> Entry | None:
    return None if at is None else Entry(*at)


def product(at: tuple | None = None) -> Rule:
    """v ⊙ (1 + μ (σ(q) - 1)) of v, q `[..., B, U]` and, with `at`, w; `at`: an `Entry` as a tuple."""

    def value(v, q, mu):
        return v * (1.0 + mu * (tf.sigmoid(q) - 1.0))

    def slopes(v, q, mu):
        s = tf.sigmoid(q)
        return 1.0 + mu * (s - 1.0), mu * v * s * (1.0 - s), v * (s - 1.0)

    def seconds(v, q, mu):
        s = tf.sigmoid(q)
        return None, mu * v * s * (1.0 - s) * (1.0 - 2.0 * s)

    return _rule(_entry(at), value, slopes, seconds)


def toward(at: tuple) -> Rule:
    """h + κ (c - h) of h, c `[..., B, U]` and w: which state is carried."""

    def slopes(h, c, kappa):
        return (1.0 - kappa) * tf.ones_like(h), kappa * tf.ones_like(c), c - h

    return _rule(
        Entry(*at),
        lambda h, c, kappa: h + kappa * (c - h),
        slopes,
        lambda h, c, kappa: (None, None),
    )


class Renewal(NamedTuple):
    """What x_0 is made of, and its derivatives in z and φ."""

    z: tf.Tensor  # σ(g)
    f: tf.Tensor  # σ(q)
    t: tf.Tensor  # tanh(a)
    phi: tf.Tensor
    opened: tf.Tensor  # z, or 1 - φ where the cap holds
    of_z: tf.Tensor
    of_phi: tf.Tensor

    @classmethod
    def of(
        cls, cap: bool, k: tf.Tensor, g: tf.Tensor, a: tf.Tensor, q: tf.Tensor, delta: tf.Tensor | float
    ) -> "Renewal":
        """From the arguments of the rule, `[..., B, U]` each, and the switch."""
        z, f, t = tf.sigmoid(g), tf.sigmoid(q), tf.tanh(a)
        phi = (1.0 - z) + delta * (f - (1.0 - z))
        below = tf.cast(z <= 1.0 - phi, z.dtype) if cap else tf.ones_like(z)
        of_phi = k - (1.0 - below) * t
        of_z = below * t - (1.0 - delta) * of_phi
        return cls(z, f, t, phi, below * z + (1.0 - below) * (1.0 - phi), of_z, of_phi)


def renew(at: tuple | None = None, cap: bool = False) -> Rule:
    """x_0 = φ K + z tanh(a), with z = σ(g) and φ = (1 - z) + δ (σ(q) - (1 - z)).

    Of K, g, a, q `[..., B, U]` and, with `at`, w. δ = 0 ties the forget gate to the input gate, as a highway
    does; δ = 1 is an LSTM's. With `cap` z is at most 1 - φ (Melis et al. 2018): the state stays in [-1, 1].
    """

    def value(k, *x):
        of = Renewal.of(cap, k, *x)
        return of.phi * k + of.opened * of.t

    def slopes(*x):
        z, f, t, phi, opened, of_z, of_phi = Renewal.of(cap, *x)
        of_gates = z * (1.0 - z) * of_z, x[-1] * f * (1.0 - f) * of_phi
        return phi, of_gates[0], opened * (1.0 - t * t), of_gates[1], (f - 1.0 + z) * of_phi

    def seconds(*x):
        z, f, t, _, opened, of_z, of_phi = Renewal.of(cap, *x)
        of_g = z * (1.0 - z) * (1.0 - 2.0 * z) * of_z
        of_q = x[-1] * f * (1.0 - f) * (1.0 - 2.0 * f) * of_phi
        return None, of_g, -2.0 * opened * t * (1.0 - t * t), of_q

    return _rule(_entry(at), value, slopes, seconds)


def bypass() -> Rule:
    """`renew` with the forget gate tied to the input gate: K + σ(g) (tanh(a) - K), of K, g and a."""

    def slopes(k, g, a):
        z, t = tf.sigmoid(g), tf.tanh(a)
        return 1.0 - z, z * (1.0 - z) * (t - k), z * (1.0 - t * t)

    def seconds(k, g, a):
        z, t = tf.sigmoid(g), tf.tanh(a)
        return None, z * (1.0 - z) * (1.0 - 2.0 * z) * (t - k), -2.0 * z * t * (1.0 - t * t)

    return elementwise(lambda k, g, a: k + tf.sigmoid(g) * (tf.tanh(a) - k), slopes, seconds)
