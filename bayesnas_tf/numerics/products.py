"""Matrix products in the precision that a model asks for: float32, or factors rounded to bfloat16."""

from typing import Literal

import tensorflow as tf

MatmulDtype = Literal["float32", "bfloat16"]


def rounded(kernel, matmul_dtype: MatmulDtype):
    """A kernel's bfloat16 copy where products are to be taken in bfloat16, else None."""
    return tf.cast(kernel, tf.bfloat16) if matmul_dtype == "bfloat16" else None


def matmul(x, kernel, rounded_kernel=None, transpose_b: bool = False):
    """x `[..., N, K]` times kernel `[..., K, M]` (`[..., M, K]` if transposed), in the dtype of x.

    With `rounded_kernel`, the kernel's bfloat16 copy, both factors of this product and of those of its
    gradient are rounded to bfloat16, and so is each result; sums of gradients over the time steps stay in the
    dtype of the kernel. The copy is made outside the time loop, where it costs one pass per window.
    """
    if rounded_kernel is None:
        return tf.matmul(x, kernel, transpose_b=transpose_b)

    @tf.custom_gradient
    def product(x, kernel, rounded_kernel):
        rounded_x = tf.cast(x, tf.bfloat16)

        def gradient(upstream):
            up = tf.cast(upstream, tf.bfloat16)
            of_x = tf.matmul(up, rounded_kernel, transpose_b=not transpose_b)
            first, second = (up, rounded_x) if transpose_b else (rounded_x, up)
            of_kernel = tf.matmul(first, second, transpose_a=True)
            return tf.cast(of_x, x.dtype), tf.cast(of_kernel, kernel.dtype), None

        return tf.cast(tf.matmul(rounded_x, rounded_kernel, transpose_b=transpose_b), x.dtype), gradient

    return product(x, kernel, rounded_kernel)
