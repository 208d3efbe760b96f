"""What an instruction of a program is: its value, and how gradients and curvature pass through it.

Index conventions: values are `[..., B, U]`. Cotangents may have axes in front (`[L, ..., B, U]` for L lanes),
so a rule counts its axes from the end. A weight has no rows: its cotangents keep the axis of the rows,
`[..., B, *shape]`, and the interpreter adds them up.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

Slopes = Callable[..., Sequence[tf.Tensor | None]]  # (*x) -> a derivative in each argument
Map = Callable[..., Sequence[Any]]  # a tensor for each argument, None for 0; see `spread.Sums` for the rest


class Rule(NamedTuple):
    """y = value(*x), differentiable by TensorFlow, and the three maps that curvature needs.

    `second` holds the diagonal terms alone, ∂²y/∂x_i²: a diagonal recursion has no place for mixed ones.
    """

    value: Callable[..., tf.Tensor]  # (*x) -> y
    pull: Map  # (g, *x) -> (∂y/∂x)ᵀ g of each argument, or None
    diagonal: Map  # (h, *x) -> ((∂y/∂x)²)ᵀ h of each argument, or None
    second: Map | None = None  # (g, *x) -> (∂²y/∂x²) g of each argument, or None; None: all are 0
    linear: bool = False  # `pull` reads no more of its arguments than their shapes
    by_units: bool = False  # gradients of weights come summed over rows and not over units: [*shape, U]
    statistics: bool = False  # `diagonal` and `second` know `constant`: statistics of a norm as constants
    cheap: bool = False  # one pass over its argument: computed again backward where its value is needed


def elementwise(value: Callable[..., tf.Tensor], slopes: Slopes, seconds: Slopes | None = None) -> Rule:
    """A rule of an elementwise function of `[..., B, U]`, from its derivatives in each argument."""
    times = lambda factors, g: tuple(None if f is None else f * g for f in factors)  # noqa: E731
    return Rule(
        value,
        lambda g, *x: times(slopes(*x), g),
        lambda h, *x: times([None if f is None else tf.square(f) for f in slopes(*x)], h),
        None if seconds is None else lambda g, *x: times(seconds(*x), g),
    )
