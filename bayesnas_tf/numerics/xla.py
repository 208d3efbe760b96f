"""XLA for a part of what a step does: functions that see the same shapes in every call, and compile once."""

from collections.abc import Callable

import tensorflow as tf


def stage(function: Callable, compiled: bool = True) -> Callable:
    """`function` of tensors, compiled by XLA if `compiled`."""
    return tf.function(function, jit_compile=True, autograph=False) if compiled else function
