"""Matrix products in the precision that a model asks for: float32, or factors rounded to bfloat16."""

from typing import Literal

import tensorflow as tf

from bayesnas_tf.numerics import blocks

MatmulDtype = Literal["float32", "bfloat16"]


def rounded(kernel: tf.Tensor, matmul_dtype: MatmulDtype) -> tf.Tensor | None:
    """The bfloat16 copy of a kernel `[..., K, N]` where products are to be taken in bfloat16, else None."""
    return tf.cast(kernel, tf.bfloat16) if matmul_dtype == "bfloat16" else None


def matmul(
    x: tf.Tensor, kernel: tf.Tensor, rounded_kernel: tf.Tensor | None = None, transpose_b: bool = False
) -> tf.Tensor:
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


def project(
    x: tf.Tensor,
    kernel: tf.Tensor | tf.Variable,
    rounded_kernel: tf.Tensor | None = None,
    blocked: tf.Tensor | None = None,
) -> tf.Tensor:
    """x times a kernel: `[..., K]` x `[K, N]` as one flat matrix product, `[..., N]`.

    A kernel `[j, K, N]` has one matrix for each of the stacked `x [j, ..., K]`, and `[O, j, K, N]` one for
    each of these and each of O operations: `[O, j, ..., N]`. See `matmul` for the kernel's rounded copy, and
    `blocks.matmul` for its blocks, which need none.
    """
    kernel = tf.convert_to_tensor(kernel)
    if kernel.shape.rank > 2:
        return _project_each(x, kernel, rounded_kernel)
    flat = tf.reshape(x, [-1, kernel.shape[0]])
    if blocked is None:
        product = matmul(flat, kernel, rounded_kernel)
    else:
        product = blocks.matmul(flat, blocked, kernel.shape[1])
    known = x.shape[:-1] + kernel.shape[-1:]
    unknown = [size is None for size in known]
    if sum(unknown) <= 1:  # served graphs are converted to formats without tf.ensure_shape
        return tf.reshape(
            product, [-1 if is_unknown else size for size, is_unknown in zip(known, unknown, strict=True)]
        )
    return tf.ensure_shape(
        tf.reshape(product, tf.concat([tf.shape(x)[:-1], tf.shape(kernel)[-1:]], axis=0)), known
    )


def _project_each(x: tf.Tensor, kernel: tf.Tensor, rounded_kernel: tf.Tensor | None) -> tf.Tensor:
    """A matrix per predecessor, and per operation where the kernel has four axes."""
    *lead, units, columns = kernel.shape
    flat = tf.reshape(x, [lead[-1], -1, units])
    if len(lead) == 2:
        flat = tf.tile(flat[tf.newaxis], [lead[0], 1, 1, 1])  # XLA differentiates no tf.repeat in a time loop
    product = matmul(flat, kernel, rounded_kernel)
    return tf.reshape(product, tf.concat([lead[:-1], tf.shape(x)[:-1], [columns]], axis=0))
