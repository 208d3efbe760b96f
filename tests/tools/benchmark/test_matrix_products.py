"""`tools.benchmark.matrix_products`: the products that it counts are those that a real step computes."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks  # counts the products of a real step

from bayesnas_tf import config
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.numerics import blocks
from bayesnas_tf.space.highway import published
from bayesnas_tf.training import threads
from bayesnas_tf.training.execution import blocks_for
from bayesnas_tf.training.validation import window_nats
from tests.tools.benchmark.test_benchmark import TINY, TINY_TRAINING, VOCABULARY
from tools.benchmark import steps, subject
from tools.benchmark.matrix_products import (
    Pass,
    Product,
    backward_products,
    forward_passes,
    of_time_step,
    pass_timer,
    plain_passes,
    total,
    total_flops,
)


def test_products_of_a_hand_worked_step():
    cell = CellOptions(units=2, nodes=2)
    forward = total(forward_passes(of_time_step(cell, 3), 2, batch=3, steps=4, vocabulary=5))
    assert forward == {
        Product(12, 2, 4): 1,  # inputs
        Product(3, 2, 4): 4 + 4,  # node 0 and the only edge into node 1, at each time step
        Product(6, 2, 4): 4,  # the two edges into node 2
        Product(12, 2, 5, transpose_b=True): 1,  # decoder
    }
    assert total_flops(forward) == 192 + 8 * 48 + 4 * 96 + 240
    assert total_flops(total(plain_passes(of_time_step(cell, 3), 2, 3, 4, 5))) == 3 * total_flops(forward)


@pytest.mark.parametrize(("sharing", "factor"), [("edge", 1), ("edge_op", 4)])
def test_sharing_changes_the_products_of_the_edges(sharing, factor):
    of_step = of_time_step(CellOptions(units=2, nodes=2, weight_sharing=sharing), 3)
    forward = total(forward_passes(of_step, 2, 3, 4, 5))
    assert total_flops(forward) == 192 + 4 * 48 + factor * 4 * (1 + 2) * 48 + 240


@pytest.mark.parametrize("transpose_b", [False, True])
def test_backward_products_are_the_gradients_of_matmul(transpose_b):
    product = Product(2, 3, 5, transpose_b=transpose_b)
    assert [p.flops for p in backward_products(product)] == [product.flops] * 2
    x, w = tf.ones([2, 3]), tf.ones([5, 3] if transpose_b else [3, 5])
    with counted_products() as seen, tf.GradientTape() as tape:
        tape.watch([x, w])
        y = tf.matmul(x, w, transpose_b=transpose_b)
        tape.gradient(y, [x, w])
    assert seen == {p: 1 for p in (product, *backward_products(product))}


class counted_products:  # noqa: N801  a context manager
    """Counts every matrix product that runs eagerly."""

    def __enter__(self):
        self.seen = collections.Counter()
        op_callbacks.add_op_callback(self.count)
        return self.seen

    def __exit__(self, *error):
        op_callbacks.remove_op_callback(self.count)

    def count(self, op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if graph is not None:  # traced for its shapes alone
            return
        if op_type == "MatMul":
            given = dict(zip(attrs[::2], attrs[1::2], strict=True))
            a, b = given["transpose_a"], given["transpose_b"]
            m, k = inputs[0].shape[::-1] if a else inputs[0].shape
            self.seen[Product(m, k, inputs[1].shape[0 if b else 1], a, b)] += 1
        elif op_type == "BatchMatMulV2":  # blocks of columns
            (_, m, k), (count, _, width) = inputs[0].shape, inputs[1].shape
            self.seen[Product(m, k, count * width, in_blocks=True)] += 1


def test_a_real_step_computes_these_products():
    config.parse(["ptb.gin"], TINY)
    bench = subject.prepare(1, VOCABULARY)
    assert products_of_one(bench) == steps.products_of("search_step", bench)


def test_a_step_in_groups_of_rows_computes_these_products(monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "2")  # the threads of this process stay as they are
    config.parse(["ptb.gin"], (*TINY, "WindowOptions.batch_size = 6", "search.row_groups = 2"))
    bench = subject.prepare(1, VOCABULARY)
    assert products_of_one(bench) == steps.products_of("search_step", bench)
    assert "norm mean, weight sharing node, 2 x 3 rows" in subject.describe(bench)


def test_a_real_training_step_computes_these_products():
    config.parse(["ptb_eval.gin"], TINY_TRAINING)
    bench = subject.prepare(1, VOCABULARY, published.named("DARTS_V2"))
    assert products_of_one(bench) == steps.products_of("train_step", bench)
    ids = tf.constant(bench.problem.valid_rows[:, :5])
    with counted_products() as seen:
        window_nats(bench.problem.model)(ids[:, :-1], ids[:, 1:], tf.constant(4), tf.zeros([2, 6]))
    assert seen == steps.products_of("evaluate", bench)


def test_an_evaluation_in_blocks_computes_these_products(monkeypatch):
    monkeypatch.setattr(blocks, "VALUES", 1)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    config.parse(["ptb_eval.gin"], TINY_TRAINING)
    bench = subject.prepare(1, VOCABULARY, published.named("DARTS_V2"))
    model, ids = bench.problem.model, tf.constant(bench.problem.valid_rows[:, :5])
    run = window_nats(model, kernel_blocks=blocks_for(model))
    with counted_products() as seen:
        run(ids[:, :-1], ids[:, 1:], tf.constant(4), tf.zeros([2, 6]))
    filled = collections.Counter()
    for product, count in steps.products_of("evaluate", bench).items():
        columns = np.prod(blocks.shape_of_blocks(product.k, product.n)[::2])
        filled[product._replace(n=columns) if product.in_blocks else product] += count
    assert seen == filled
    assert sum(count for product, count in seen.items() if product.in_blocks) == 4 * 6


@pytest.mark.parametrize("genotype", [None, "DARTS_V2"])
def test_a_real_staged_step_computes_these_products(genotype, monkeypatch):
    root, params = ("evaluate", TINY_TRAINING) if genotype else ("search", TINY)
    config.parse([f"ptb{'_eval' if genotype else ''}.gin"], [*params, f"{root}.compile = 'stages'"])
    bench = subject.prepare(1, VOCABULARY, genotype and published.named(genotype))
    monkeypatch.setattr(Arithmetic, "stage", lambda self, function: function)  # whose products can be seen
    seen = products_of_one(bench, beside=0)
    assert seen == steps.products_of("train_step" if genotype else "search_step", bench)


def products_of_one(bench, beside=1):
    """Products of a training step, and `beside` those that an eager step leaves out."""
    problem, ids = bench.problem, tf.constant(bench.problem.train_rows[:, :5])
    with counted_products() as seen:
        problem.step(ids[:, :-1], ids[:, 1:], tf.constant(4), tf.constant(1.0), problem.seed)
    # Eagerly the gradient of the state before the window is left out; the compiled loop has it at each step.
    seen[Product(3, 12, 6, transpose_b=True)] += beside * bench.execution.replicas.groups
    return seen


@pytest.mark.parametrize("groups", [1, 2])
def test_every_repeat_of_every_product_is_computed(groups):
    few, *many = (
        min(timer() for _ in range(5))
        for timer in (
            pass_timer(Pass(collections.Counter({Product(256, 256, 256): copies}), repeats), groups=groups)
            for copies, repeats in ((3, 2), (3, 20), (30, 2))
        )
    )
    assert min(many) > 3 * few  # ten times as long, but for noise; as long if only one were computed
