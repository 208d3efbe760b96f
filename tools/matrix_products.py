"""The matrix products of a training step: which there are, their FLOPs, and how fast each runs alone."""

import collections
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell
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
    units, gated, tokens = cell.units, 2 * cell.units, batch * steps
    products: collections.Counter = collections.Counter()
    products[Product(tokens, units, gated)] += 1  # the inputs of all time steps
    products[Product(batch, units, gated)] += steps  # the recurrent half of node 0
    for j in range(1, cell.nodes + 1):
        if cell.weight_sharing == "node":
            products[Product(j * batch, units, gated)] += steps
        else:
            per_edge = len(primitives.OPS) if cell.weight_sharing == "edge_op" else 1
            products[Product(batch, units, gated)] += steps * j * per_edge
    products[Product(tokens, units, vocabulary, transpose_b=True)] += 1  # the tied decoder
    return products


def backward_products(product: Product) -> tuple[Product, Product]:
    """The gradients of Y = X W: dX = dY Wᵀ, and dW = Xᵀ dY, or its transpose dYᵀ X where Wᵀ is stored."""
    m, k, n, _, stored_transposed = product
    of_x = Product(m, n, k, transpose_b=not stored_transposed)
    of_w = Product(n, m, k, transpose_a=True) if stored_transposed else Product(k, m, n, transpose_a=True)
    return of_x, of_w


def derived_products(cell: DerivedCell, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often a forward pass of a genotype's cell over `[batch, steps]` tokens computes each product."""
    units, gated, tokens = cell.units, 2 * cell.units, batch * steps
    products: collections.Counter = collections.Counter()
    products[Product(tokens, units, gated)] += 1  # the inputs of all time steps
    products[Product(batch, units, gated)] += steps  # the recurrent half of node 0
    for nodes in cell.fed_by.values():
        products[Product(batch, units, len(nodes) * gated)] += steps
    products[Product(tokens, units, vocabulary, transpose_b=True)] += 1  # the tied decoder
    return products


def with_gradients(forward: collections.Counter) -> collections.Counter:
    """The products of a forward pass and of the backward pass behind it."""
    products = collections.Counter(forward)
    for product, count in forward.items():
        for gradient in backward_products(product):
            products[gradient] += count
    return products


def step_products(cell: CellOptions, batch: int, steps: int, vocabulary: int) -> collections.Counter:
    """How often one training step of the supernet computes each product, forward and backward."""
    return with_gradients(forward_products(cell, batch, steps, vocabulary))


def total_flops(products: collections.Counter) -> int:
    """Floating-point operations of all of them."""
    return sum(product.flops * count for product, count in products.items())


def product_timer(product: Product, count: int) -> Callable[[], float]:
    """A function that returns the seconds of one such product, one after the other in a compiled loop."""
    m, k, n, transpose_a, transpose_b = product
    a = tf.random.stateless_normal([k, m] if transpose_a else [m, k], [0, 0])
    b = tf.random.stateless_normal([n, k] if transpose_b else [k, n], [0, 1])
    repeats = max(1, min(count, int(FLOPS_PER_TIMING / product.flops)))

    def loop(a, b):
        def body(i, _):
            # one element, so that nothing but the product itself is kept or copied
            return i + 1, tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)[0, 0]

        return tf.while_loop(lambda i, _: i < repeats, body, (0, 0.0), parallel_iterations=1)[1]

    compiled = tf.function(loop).get_concrete_function(a, b)

    def seconds() -> float:
        started = time.perf_counter()
        compiled(a, b).numpy()
        return (time.perf_counter() - started) / repeats

    seconds()
    return seconds
