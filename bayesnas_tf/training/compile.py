"""Where a loop compiles its step: the only place that knows `tf.function`."""

import tensorflow as tf

from bayesnas_tf.training.settings import Compile, WindowOptions

XLA_BUCKET = 10
STAGED_VALUES = 16384  # of one node, rows times units


def use_xla(mode: Compile) -> bool:
    """XLA on request, and by default on a GPU; on a CPU its compile time eats what it gains in an epoch."""
    return mode == "xla" or (mode == "auto" and bool(tf.config.list_logical_devices("GPU")))


def use_stages(mode: Compile, rows: int, units: int) -> bool:
    """Whether XLA compiles what lies between the matrix products of a highway cell (`cells.staged_window`).

    On request, and by default on a CPU, from a size on at which that takes longer than calling it.
    """
    if mode == "auto":
        return not tf.config.list_logical_devices("GPU") and rows * units >= STAGED_VALUES
    return mode == "stages"


def bucket(options: WindowOptions, xla: bool) -> int:
    """Window lengths are padded to multiples of this: under XLA each padded length is one compilation."""
    return options.bucket or (XLA_BUCKET if xla and options.jitter else 1)


def window_function(function, batch: int, xla: bool, whole: bool = True):
    """Compile function(x, y, length, ...): one graph for all lengths, or under XLA one per padded length.

    `function` takes x, y int32 `[batch, P]`, an int32 length and further tensors. `whole` False: it asks for
    XLA itself, for a part of what it does.
    """
    if xla:
        return tf.function(function, jit_compile=whole, reduce_retracing=False)
    window = tf.TensorSpec([batch, None], tf.int32)
    compiled = tf.function(function)

    def call(x, y, length, *rest):
        return compiled.get_concrete_function(window, window, tf.TensorSpec([], tf.int32), *map(_spec, rest))(
            x, y, length, *rest
        )

    return call


def _spec(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)
