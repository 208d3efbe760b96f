"""A cell's time step as matrix products with stages of elementwise work between them.

Shapes: B rows, U units. The k edges that leave a source have one kernel `[U, k 2U]` side by side, and
pre-activations `[B, k, 2, U]`, [g, a] each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.numerics import products, xla
from bayesnas_tf.numerics.sums import ordered_sum


class Wiring(NamedTuple):
    """What a cell computes in one time step behind its node 0.

    Nodes that wait for more than one source are fed by each source until they are complete.
    """

    feeds: dict[int, tuple[int, ...]]  # source -> the nodes that it feeds, both ascending
    outputs: tuple[int, ...]  # nodes whose mean is h_t
    edges: Callable  # (nodes, x [B, U], pre, w) -> what x gives to each of k nodes, [B, k, U]
    edges_gradient: (
        Callable  # (nodes, x, pre, w, upstream) -> gradients of x, pre, and of w [k, O, U] by units
    )
    normalised: Callable  # (node, sum of its edges [..., B, U]) -> its value

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes in the order in which they become known."""
        return (0, *(node for source in self.feeds for node in self.completes(source)))

    def completes(self, source: int) -> tuple[int, ...]:
        """The nodes of which `source` is the last one."""
        later = {node for s in self.above(source) for node in self.feeds[s]}
        return tuple(node for node in self.feeds[source] if node not in later)

    def waiting(self, source: int) -> tuple[int, ...]:
        """The nodes that earlier sources feed and that are not complete before `source`."""
        fed = {node for s in self.feeds if s < source for node in self.feeds[s]}
        return tuple(sorted(fed.difference(*(self.completes(s) for s in self.feeds if s < source))))

    def above(self, source: int) -> list[int]:
        """The sources behind `source`, ascending."""
        return [s for s in self.feeds if s > source]

    def settles(self, source: int) -> tuple[int, ...]:
        """Nodes whose gradients the stage before the product of `source` adds to those known.

        The next source, and the nodes that feed nobody and that `source` is the last to feed.
        """
        ends = (node for node in self.completes(source) if node not in self.feeds)
        return (*self.above(source)[:1], *ends)

    def blocks(self, source: int, pre, dtype):
        """[g, a] of each edge, `[B, k, 2, U]`, from a source's product `[B, k 2U]`."""
        k = len(self.feeds[source])
        return tf.cast(tf.reshape(pre, [pre.shape[0], k, 2, pre.shape[1] // (2 * k)]), dtype)


class Kernels(NamedTuple):
    """The matrices of a window, and the parameters w of its edges."""

    recurrent: Any  # [U, 2U]
    weights: list  # [U, ...], each of them the kernel of one or more edges
    layout: list  # of each source in order: the numbers of the weights that stand side by side in its kernel
    parameters: list  # of each source in order: w [k, O]; empty where edges have none

    def sources(self, weights: list) -> list:
        """The kernel of each source, `[U, k 2U]`, made of `weights` or copies of them."""
        return [_beside([weights[k] for k in row], axis=1) for row in self.layout]

    def transposed(self, weights: list) -> list:
        """Of each source, `[k 2U, U]`, from transposed weights."""
        return [_beside([weights[k] for k in row], axis=0) for row in self.layout]

    def gradients(self, of_sources: list) -> list:
        """Of each weight, from those of the kernels of all sources."""
        found: list[list] = [[] for _ in self.weights]
        for row, gradient in zip(self.layout, of_sources, strict=True):
            widths = [self.weights[k].shape[1] for k in row]
            for k, part in zip(row, tf.split(gradient, widths, axis=1), strict=True):
                found[k].append(part)
        return [ordered_sum(parts) for parts in found]


def _beside(parts, axis):
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


class Arithmetic(NamedTuple):
    """How a window is computed."""

    mask: Any = None  # [B, U], on h_{t-1} and on every source; None: no dropout
    matmul_dtype: products.MatmulDtype = "float32"
    compiled: bool = True  # whether XLA compiles the stages

    def stage(self, function):
        """A stage of elementwise work. It has one shape, whatever the length of a window."""
        return xla.stage(function, self.compiled)

    def factor(self, x):
        """x as a factor of a matrix product."""
        return tf.cast(x, tf.bfloat16) if self.matmul_dtype == "bfloat16" else x

    def operand(self, x):
        """What meets the kernel of a source whose value is x."""
        return self.factor(masks.apply(self.mask, x))

    def of_operand(self, gradient, dtype):
        """The gradient of x from that of its operand."""
        return masks.apply(self.mask, tf.cast(gradient, dtype))
