"""Products with kernels in blocks equal those with the kernels, and evaluation takes the weights of now."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import blocks, products
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.execution import blocks_for, window_function
from bayesnas_tf.training.validation import window_nats

U, ROWS, STEPS, WORDS = 50, 3, 7, 23  # 2 U columns: one block and a part of another
CELLS = {
    "derived": lambda dtype: DerivedCell(
        published.named("DARTS_V2"), DerivedOptions(units=U, init_range=0.3), dtype=dtype
    ),
    "rhn": lambda dtype: RhnOptions(units=U, depth=2, init_range=0.3).cell(dtype=dtype),
}
RECURRENT = {"derived": 6, "rhn": 2}  # DARTS_V2: that of node 0, and five sources


@pytest.fixture
def small_kernels(monkeypatch):
    """Kernels of any size get blocks."""
    monkeypatch.setattr(blocks, "VALUES", 1)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def model_of(cell, dtype="float64", **options):
    execution = Execution(blocks=True)
    model = LanguageModel(
        WORDS, CELLS[cell](dtype), ModelOptions(**options), execution=execution, dtype=dtype
    )
    model.initialise([1, 2])
    return model


def nats(model, kernel_blocks=None, compiled=False):
    run = window_nats(model, kernel_blocks=kernel_blocks)
    if compiled:
        run = window_function(run, ROWS, False)
    ids = tf.constant(np.random.default_rng(3).integers(0, WORDS, [ROWS, STEPS + 1]), tf.int32)
    state = tf.constant(normal(ROWS, U), model.embedding.dtype)
    return run(ids[:, :-1], ids[:, 1:], tf.constant(STEPS), state)


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 300])
def test_a_product_in_blocks_is_the_product(columns):
    x, kernel = tf.constant(normal(4, 6)), tf.constant(normal(6, columns, seed=1))
    cut = blocks.cut(kernel)
    assert cut.shape == blocks.shape_of_blocks(6, columns)
    np.testing.assert_allclose(blocks.matmul(x, cut, columns), x @ kernel, rtol=1e-12, atol=1e-12)


def test_in_bfloat16_both_factors_are_rounded_and_so_is_the_product():
    x, kernel = tf.constant(normal(4, 6), tf.float32), tf.constant(normal(6, 100, seed=1), tf.float32)
    rounded = products.rounded(kernel, "bfloat16")
    found, expected = blocks.matmul(x, blocks.cut(rounded), 100), products.matmul(x, kernel, rounded)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=2.0**-7, atol=2.0**-8)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_nats_and_state_of_a_window_are_the_same(cell, compiled, small_kernels):
    model = model_of(cell)
    kernel_blocks = blocks_for(model)
    assert len(kernel_blocks.kernels) == len(model.cell.kernels()) == RECURRENT[cell]
    kernel_blocks.refresh()
    for found, expected in zip(nats(model, kernel_blocks, compiled), nats(model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_same_in_bfloat16(small_kernels):
    model = model_of("derived", "float32", matmul_dtype="bfloat16")
    kernel_blocks = blocks_for(model)
    kernel_blocks.refresh()
    assert {copy.dtype for copy in kernel_blocks.blocks} == {tf.bfloat16}
    np.testing.assert_allclose(nats(model, kernel_blocks)[0], nats(model)[0], rtol=1e-3)


def test_blocks_are_of_the_weights_at_the_last_refresh(small_kernels):
    model = model_of("derived")
    kernel_blocks = blocks_for(model)
    kernel_blocks.refresh()
    before = nats(model, kernel_blocks)[0]
    kernel = model.cell.source_kernels["0"]
    kernel.assign(2.0 * kernel)
    np.testing.assert_array_equal(nats(model, kernel_blocks)[0], before)
    kernel_blocks.refresh()
    after = nats(model, kernel_blocks)[0]
    assert abs(after - before) > 1e-6
    np.testing.assert_allclose(after, nats(model)[0], rtol=1e-12)


def test_only_large_kernels_have_them_and_only_few_rows_take_them(monkeypatch):
    model = model_of("derived")
    assert not blocks_for(model).serve(blocks.ROWS)
    monkeypatch.setattr(blocks, "VALUES", U * 6 * U)  # DARTS_V2: node 1 alone feeds three others
    kernel_blocks = blocks_for(model)
    assert [kernel.shape[1] for kernel in kernel_blocks.kernels] == [6 * U]
    assert [kernel_blocks.serve(rows) for rows in (1, 2, blocks.ROWS, blocks.ROWS + 1)] == [0, 1, 1, 0]
    assert blocks.KernelBlocks({"k": kernel_blocks.kernels[0]}, "bfloat16").serve(1)


def test_there_are_none_in_a_plain_graph_or_for_other_layers(small_kernels):
    cell, lstm = CELLS["derived"]("float32"), LstmOptions(embedding=U, widths=(U,)).cell()
    assert not blocks_for(LanguageModel(WORDS, cell, ModelOptions())).kernels
    of_lstm = LanguageModel(WORDS, lstm, ModelOptions(), execution=Execution(blocks=True))
    assert not blocks_for(of_lstm).kernels
