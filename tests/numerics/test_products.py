import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import products, seeds
from bayesnas_tf.space.highway import published

EPSILON = 2.0**-8  # relative rounding error of bfloat16: 8 bits, half of the last one, twice for both factors


def drawn(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def value_and_gradients(x, kernel, rounded, transpose_b=False):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        product = products.matmul(x, kernel, rounded, transpose_b)
        loss = tf.reduce_sum(product * drawn(*product.shape, seed=9))
    return product, *tape.gradient(loss, [x, kernel])


@pytest.mark.parametrize("transpose_b", [False, True])
def test_rounded_factors_give_the_product_and_its_gradients_to_their_precision(transpose_b):
    x, kernel = drawn(6, 40), drawn(30, 40, seed=1)
    kernel = kernel if transpose_b else tf.transpose(kernel)
    exact = value_and_gradients(x, kernel, None, transpose_b)
    found = value_and_gradients(x, kernel, products.rounded(kernel, "bfloat16"), transpose_b)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == tf.float32
        # the factors' errors add up like a random walk over at most 40 terms, then comes the result's own
        assert np.abs(one - other).max() < 6 * EPSILON * np.sqrt(40)
        assert np.abs(one - other).max() > 0.0


def test_the_gradient_of_the_kernel_is_summed_in_its_own_dtype():
    kernel = drawn(8, 8)
    x = tf.ones([1, 8])
    copy = products.rounded(kernel, "bfloat16")
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        # 1 + 300 · 2⁻⁹ would be 1 in bfloat16: every addend is below half of the last bit
        total = tf.reduce_sum(products.matmul(x, kernel, copy))
        for _ in range(300):
            total += tf.reduce_sum(products.matmul(x * 2.0**-9, kernel, copy))
    np.testing.assert_allclose(tape.gradient(total, kernel), 1.0 + 300 * 2.0**-9, rtol=1e-6)


def test_float32_makes_no_copy():
    assert products.rounded(drawn(2, 2), "float32") is None


def derived(dtype):
    cell = DerivedCell(published.named("DARTS_V2"), DerivedOptions(units=24, init_range=0.2))
    return LanguageModel(50, cell, ModelOptions(matmul_dtype=dtype))


def search(dtype, sharing="node"):
    cell = SearchCell(CellOptions(units=24, nodes=3, norm="mean", weight_sharing=sharing, init_range=0.2))
    return LanguageModel(50, cell, ModelOptions(matmul_dtype=dtype))


MODELS = {
    "derived": derived,
    "search": search,
    "search, edge": lambda dtype: search(dtype, "edge"),
    "search, edge_op": lambda dtype: search(dtype, "edge_op"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_rounded_factors_has_the_logits_and_gradients_of_float32_nearly(name):
    ids = tf.constant(np.random.default_rng(0).integers(0, 50, size=(4, 12)), tf.int32)
    results = []
    for dtype in ("float32", "bfloat16"):
        model = MODELS[name](dtype)
        model.initialise(seeds.run_seed(1))
        with tf.GradientTape() as tape:
            logits = tf.function(lambda ids, model=model: model(ids)[0])(ids)
            loss = tf.reduce_mean(tf.square(logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append([logits, *map(tf.convert_to_tensor, gradients)])
    for rounded, exact in zip(*results[::-1], strict=True):
        assert rounded.dtype == tf.float32
        error = tf.norm(rounded - exact) / tf.norm(exact)
        assert 0.0 < error < 8 * EPSILON


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match=r"ModelOptions\.matmul_dtype='float16' must be one of"):
        ModelOptions(matmul_dtype="float16")


def test_projecting_takes_the_copy_along():
    x, kernel = drawn(2, 3, 8), drawn(8, 4, seed=1)
    copy = products.rounded(kernel, "bfloat16")
    flat = products.matmul(tf.reshape(x, [6, 8]), kernel, copy)
    np.testing.assert_array_equal(products.project(x, kernel, copy), tf.reshape(flat, [2, 3, 4]))
