"""The matrix products of a training step: which there are, their FLOPs, and how fast they run alone."""

import collections
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.numerics import blocks


class Product(NamedTuple):
    """`[m, k] x [k, n]`; a transposed operand is stored as its transpose, a kernel in blocks as those."""

    m: int
    k: int
    n: int
    transpose_a: bool = False
    transpose_b: bool = False
    in_blocks: bool = False

    @property
    def flops(self) -> int:
        """One multiplication and one addition per term."""
        return 2 * self.m * self.k * self.n


class Pass(NamedTuple):
    """Products that follow each other, so many times: a loop over time steps, or what stands outside."""

    products: collections.Counter
    repeats: int = 1


def total(passes: list[Pass]) -> collections.Counter:
    """How often each product is computed in all."""
    found: collections.Counter = collections.Counter()
    for products, repeats in passes:
        found += _times(products, repeats)
    return found


def of_time_step(cell: CellOptions, batch: int) -> collections.Counter:
    """Products of one time step of the plain loop: the recurrent half of node 0, edges by their target."""
    units, gated = cell.units, 2 * cell.units
    products = collections.Counter({Product(batch, units, gated): 1})
    for j in range(1, cell.nodes + 1):
        if cell.weight_sharing == "node":
            products[Product(j * batch, units, gated)] += 1
        else:
            per_edge = len(cell.searched().sites.options) if cell.weight_sharing == "edge_op" else 1
            products[Product(batch, units, gated)] += j * per_edge
    return products


def of_sources(cell: ProgramCell, batch: int) -> collections.Counter:
    """The same by their source: in the cell of a genotype, and in staged windows."""
    units, gated = cell.units, 2 * cell.units
    products = collections.Counter({Product(batch, units, gated): 1})
    program = cell.staged_program()
    if program is None:
        raise ValueError("this cell has no staged form: count its products by their target")
    for op in program.projections()[1:]:
        columns = [cell.kernels()[name.partition("/")[0]].shape[-1] for name in op.args[1:]]
        products[Product(batch, units, sum(columns))] += 1
    return products


def _of_window(units: int, tokens: int, vocabulary: int) -> collections.Counter:
    """Products over all time steps at once: the inputs, and the tied decoder."""
    return collections.Counter(
        [Product(tokens, units, 2 * units), Product(tokens, units, vocabulary, transpose_b=True)]
    )


def in_blocks(found: Pass) -> Pass:
    """The same with large kernels in blocks (`numerics.blocks`)."""
    cut: collections.Counter = collections.Counter()
    for product, count in found.products.items():
        cut[product._replace(in_blocks=blocks.large(product.k, product.n))] += count
    return found._replace(products=cut)


def _times(products: collections.Counter, steps: int) -> collections.Counter:
    return collections.Counter({product: count * steps for product, count in products.items()})


def forward_passes(
    of_step: collections.Counter, units: int, batch: int, steps: int, vocabulary: int
) -> list[Pass]:
    """A forward pass over `[batch, steps]` tokens, from the products of a time step."""
    return [Pass(of_step, steps), Pass(_of_window(units, batch * steps, vocabulary))]


def plain_passes(
    of_step: collections.Counter, units: int, batch: int, steps: int, vocabulary: int
) -> list[Pass]:
    """A training step in the plain loop, from the products of a time step."""
    forward, window = forward_passes(of_step, units, batch, steps, vocabulary)
    backward = with_gradients(of_step) - of_step
    return [forward, Pass(backward, steps), Pass(with_gradients(window.products))]


def staged_passes(cell: ProgramCell, batch: int, steps: int, vocabulary: int) -> list[Pass]:
    """A training step in staged windows (`cells.staged.window`).

    Its backward loop multiplies by transposed copies, and the gradient of a kernel is one product behind it.
    """
    forward = of_sources(cell, batch)
    backward: collections.Counter = collections.Counter()
    window = with_gradients(_of_window(cell.units, batch * steps, vocabulary))
    for product, count in forward.items():
        m, k, n = product[:3]
        backward[Product(m, n, k)] += count
        window[Product(k, m * steps, n, transpose_a=True)] += count
    return [Pass(forward, steps), Pass(backward, steps), Pass(window)]


def backward_products(product: Product) -> tuple[Product, Product]:
    """The gradients of Y = X W: dX = dY Wᵀ, and dW = Xᵀ dY, or its transpose dYᵀ X where Wᵀ is stored."""
    m, k, n, _, stored_transposed, _ = product
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


def total_flops(products: collections.Counter) -> int:
    """Floating-point operations of all of them."""
    return sum(product.flops * count for product, count in products.items())


def pass_timer(of_pass: Pass, dtype: str = "float32", groups: int = 1) -> Callable[[], float]:
    """A function that returns the seconds of a pass's products alone, one after the other in a compiled loop.

    Each has operands of its own, which it finds in the caches as far as a step would. In as many loops as
    `groups`, which run side by side as a step's groups of rows do, each with all products of `of_pass`.
    """
    operands = [_operands(of_pass.products, dtype) for _ in range(groups)]

    def loop(operands):
        def body(i, found):
            for product, a, b in operands:
                with tf.control_dependencies([found]):
                    a = tf.identity(a)
                c = tf.matmul(a, b, transpose_a=product.transpose_a, transpose_b=product.transpose_b)
                # one element, so that nothing but the product itself is kept or copied
                found += tf.reshape(c, [-1])[0]
            return i + 1, found

        start = (0, tf.zeros([], dtype))
        return tf.while_loop(lambda i, _: i < of_pass.repeats, body, start, parallel_iterations=1)[1]

    compiled = tf.function(lambda: [loop(own) for own in operands], autograph=False)

    def seconds() -> float:
        started = time.perf_counter()
        [found.numpy() for found in compiled()]
        return time.perf_counter() - started

    seconds()
    return seconds


def _operands(products: collections.Counter, dtype: str) -> list:
    """Each product with random operands, as often as it is computed."""
    found: list = []
    for product in products.elements():
        m, k, n, transpose_a, transpose_b, blocked = product
        a = tf.random.stateless_normal([k, m] if transpose_a else [m, k], [0, len(found)])
        b = tf.random.stateless_normal([n, k] if transpose_b else [k, n], [1, len(found)])
        a, b = (a[tf.newaxis], blocks.cut(b)) if blocked else (a, b)
        found.append((product, tf.cast(a, dtype), tf.cast(b, dtype)))
    return found
