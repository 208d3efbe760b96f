"""The matrix products of a training step: which there are, their FLOPs, and how fast each runs alone."""

import collections
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.space import primitives

FLOPS_PER_TIMING = 2e9  # one shape is repeated until this, so that the call itself does not count


class Product(NamedTuple):
    """`[m, k] x [k, n]`; a transposed operand is stored as its transpose."""

    m: int
    k: int
    n: int
    transpose_a: bool = False
    transpose_b: bool = False

    @property
    def flops(self) -> int:
        """One multiplication and one addition per term."""
        return 2 * self.m * self.k * self.n


def forward_products(cell: CellOptions, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often a forward pass over `[batch, steps]` tokens computes each product."""
    of_step = of_time_step(cell, batch)
    return _times(of_step, steps) + _of_window(cell.units, batch * steps, vocabulary)


def of_time_step(cell: CellOptions, batch: int) -> collections.Counter:
    """Products of one time step of the plain loop: the recurrent half of node 0, edges by their target."""
    units, gated = cell.units, 2 * cell.units
    products = collections.Counter({Product(batch, units, gated): 1})
    for j in range(1, cell.nodes + 1):
        if cell.weight_sharing == "node":
            products[Product(j * batch, units, gated)] += 1
        else:
            per_edge = len(primitives.OPS) if cell.weight_sharing == "edge_op" else 1
            products[Product(batch, units, gated)] += j * per_edge
    return products


def of_sources(cell: HighwayCell, batch: int) -> collections.Counter:
    """The same by their source: in the cell of a genotype, and in staged windows."""
    units, gated = cell.units, 2 * cell.units
    products = collections.Counter({Product(batch, units, gated): 1})
    for nodes in cell.wiring().feeds.values():
        products[Product(batch, units, len(nodes) * gated)] += 1
    return products


def _of_window(units: int, tokens: int, vocabulary: int) -> collections.Counter:
    """Products over all time steps at once: the inputs, and the tied decoder."""
    return collections.Counter(
        [Product(tokens, units, 2 * units), Product(tokens, units, vocabulary, transpose_b=True)]
    )


def _times(products: collections.Counter, steps: int) -> collections.Counter:
    return collections.Counter({product: count * steps for product, count in products.items()})


def derived_products(cell: DerivedCell, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often a forward pass of a genotype's cell over `[batch, steps]` tokens computes each product."""
    return _times(of_sources(cell, batch), steps) + _of_window(cell.units, batch * steps, vocabulary)


def staged_products(cell: HighwayCell, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often a training step in staged windows (`cells.staged_window`) computes each product.

    Its backward loop multiplies by transposed copies, and the gradient of a kernel is one product behind it.
    """
    products = with_gradients(_of_window(cell.units, batch * steps, vocabulary))
    for product, count in of_sources(cell, batch).items():
        m, k, n = product[:3]
        products[product] += steps * count
        products[Product(m, n, k)] += steps * count
        products[Product(k, m * steps, n, transpose_a=True)] += count
    return products


def backward_products(product: Product) -> tuple[Product, Product]:
    """The gradients of Y = X W: dX = dY Wᵀ, and dW = Xᵀ dY, or its transpose dYᵀ X where Wᵀ is stored."""
    m, k, n, _, stored_transposed = product
    of_x = Product(m, n, k, transpose_b=not stored_transposed)
    of_w = Product(n, m, k, transpose_a=True) if stored_transposed else Product(k, m, n, transpose_a=True)
    return of_x, of_w


def with_gradients(forward: collections.Counter) -> collections.Counter:
    """The products of a forward pass and of the backward pass behind it."""
    products = collections.Counter(forward)
    for product, count in forward.items():
        for gradient in backward_products(product):
            products[gradient] += count
    return products


def step_products(cell: CellOptions, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often a training step of the supernet in the plain loop computes each product."""
    return with_gradients(forward_products(cell, batch, steps, vocabulary))


def total_flops(products: collections.Counter) -> int:
    """Floating-point operations of all of them."""
    return sum(product.flops * count for product, count in products.items())


def product_timer(
    product: Product, count: int, dtype: str = "float32", groups: int = 1
) -> Callable[[], float]:
    """A function that returns the seconds of one such product, one after the other in a compiled loop.

    In as many loops as `groups`, which run side by side as a step's groups of rows do.
    """
    m, k, n, transpose_a, transpose_b = product
    a = tf.cast(tf.random.stateless_normal([k, m] if transpose_a else [m, k], [0, 0]), dtype)
    b = tf.cast(tf.random.stateless_normal([n, k] if transpose_b else [k, n], [0, 1]), dtype)
    repeats = max(1, min(count, int(FLOPS_PER_TIMING / product.flops)) // groups)

    def loop(a, b):
        def body(i, _):
            # one element, so that nothing but the product itself is kept or copied
            return i + 1, tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)[0, 0]

        start = (0, tf.zeros([], dtype))
        return tf.while_loop(lambda i, _: i < repeats, body, start, parallel_iterations=1)[1]

    operands = [(tf.identity(a), tf.identity(b)) for _ in range(groups)]
    compiled = tf.function(lambda *pairs: [loop(*pair) for pair in pairs]).get_concrete_function(*operands)

    def seconds() -> float:
        started = time.perf_counter()
        [found.numpy() for found in compiled(*operands)]
        return (time.perf_counter() - started) / (groups * repeats)

    seconds()
    return seconds
