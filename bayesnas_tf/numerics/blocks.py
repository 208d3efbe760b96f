"""Kernels cut into blocks of columns: for products with few rows, of weights that stay for many windows.

On a CPU `tf.matmul` lays a kernel out anew for every product, which with few rows takes as long as the rest
of it. From blocks of columns, each in one piece, that is quicker (docs/performance.md).
"""

import tensorflow as tf

COLUMNS = 64  # of a block
ROWS = 16  # of a product, up to which blocks are faster in both precisions
VALUES = 500_000  # of a kernel, from which on they are faster


class KernelBlocks(tf.Module):
    """Blocks of those of the kernels `[K, N]` that are large, as the kernels were at the last `refresh`."""

    def __init__(self, kernels: dict[str, tf.Variable], matmul_dtype: str):
        """Blocks of zeros, in the precision of the products; `kernels` `[K, N]` by name."""
        super().__init__()
        found = {name: kernel for name, kernel in kernels.items() if large(*kernel.shape)}
        self.names, self.kernels = list(found), list(found.values())
        self.least_rows = 1 if matmul_dtype == "bfloat16" else 2  # a single row reads a kernel as it stands
        dtypes = [tf.bfloat16 if matmul_dtype == "bfloat16" else kernel.dtype for kernel in self.kernels]
        self.blocks = [
            tf.Variable(tf.zeros(shape_of_blocks(*kernel.shape), dtype), trainable=False)
            for kernel, dtype in zip(self.kernels, dtypes, strict=True)
        ]

    def serve(self, rows: int) -> bool:
        """Whether there are any, for products with so many rows."""
        return bool(self.kernels) and self.least_rows <= rows <= ROWS

    def refresh(self) -> None:
        """Cut the kernels of now."""
        for kernel, blocks in zip(self.kernels, self.blocks, strict=True):
            blocks.assign(cut(tf.cast(kernel, blocks.dtype)))

    def read(self) -> dict[str, tf.Tensor]:
        """Blocks `[n, K, COLUMNS]` by the name of their kernel."""
        return {name: tf.convert_to_tensor(b) for name, b in zip(self.names, self.blocks, strict=True)}


def large(units: int, columns: int) -> bool:
    """Whether a kernel `[K, N]` is large enough for blocks to be faster."""
    return units * columns >= VALUES


def shape_of_blocks(units: int, columns: int) -> tuple[int, int, int]:
    """`[n, K, COLUMNS]` of a kernel `[K, N]`."""
    return -(-columns // COLUMNS), units, COLUMNS


def cut(kernel: tf.Tensor) -> tf.Tensor:
    """`[K, N]` -> `[n, K, COLUMNS]`, the last block filled up with zeros."""
    count, units, width = shape_of_blocks(*kernel.shape)
    padded = tf.pad(kernel, [[0, 0], [0, count * width - kernel.shape[1]]])
    return tf.transpose(tf.reshape(padded, [units, count, width]), [1, 0, 2])


def matmul(x: tf.Tensor, blocks: tf.Tensor, columns: int) -> tf.Tensor:
    """x `[M, K]` times the kernel `[K, columns]` that was cut: `[M, columns]` in the dtype of x."""
    of_blocks = tf.matmul(tf.cast(x, blocks.dtype)[tf.newaxis], blocks)  # [n, M, COLUMNS]
    # puts block after block along the columns, as a transpose would, in a fifth of its time on a CPU
    beside = tf.batch_to_space(of_blocks, [blocks.shape[0]], [[0, 0]])  # [1, M n, COLUMNS]
    joined = tf.reshape(beside, [-1, blocks.shape[0] * COLUMNS])
    return tf.cast(joined[:, :columns], x.dtype)
