import math

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks, norms
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds

T, B, U = 2, 5, 4


@pytest.mark.parametrize(("norm", "axis"), [("batch", 1), ("layer", 2)])
def test_standardised_values_have_mean_0_and_variance_1_along_their_axis(norm, axis):
    x = 3.0 + 2.0 * np.random.default_rng(0).normal(size=(T, B, U))
    y = norms.normalise(tf.constant(x), norm, 8).numpy()
    variance = x.var(axis=axis)
    np.testing.assert_allclose(y.mean(axis=axis), 0.0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=axis), variance / (variance + norms.EPSILON), rtol=1e-12)
    assert np.corrcoef(np.take(x, 0, axis=3 - axis)[0], np.take(y, 0, axis=3 - axis)[0])[0, 1] > 0.0


def test_mean_divides_by_the_terms_and_none_does_nothing():
    x = tf.constant(np.random.default_rng(0).normal(size=(B, U)))
    np.testing.assert_array_equal(norms.normalise(x, "mean", 8), x / 8)
    np.testing.assert_array_equal(norms.normalise(x, "none", 8), x)


@pytest.mark.parametrize(("norm", "shift_invariant"), [("batch", True), ("layer", True), ("mean", False)])
def test_batch_and_layer_norm_have_the_gauge_freedom_that_mean_lacks(norm, shift_invariant):
    x = tf.constant(
        1e3 * np.random.default_rng(0).normal(size=(B, U))
    )  # so large that epsilon does not count
    once, twice = norms.normalise(x, norm, 4).numpy(), norms.normalise(2.0 * x, norm, 4).numpy()
    assert np.allclose(once, twice, rtol=1e-6) == shift_invariant


def test_a_mask_keeps_the_mean_and_the_share():
    rate, count = 0.3, 200_000
    mask = masks.dropout_mask(seeds.run_seed(1), [count], rate, tf.float64).numpy()
    np.testing.assert_allclose(np.unique(mask), [0.0, 1.0 / (1.0 - rate)])
    assert abs(np.mean(mask == 0.0) - rate) < 4.0 * math.sqrt(rate * (1.0 - rate) / count)


def test_a_mask_depends_on_its_seed_alone():
    seed = seeds.run_seed(1)
    first, again, other = (
        masks.dropout_mask(seeds.fold(seed, 3, slot), [64], 0.5).numpy() for slot in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("rate", [1e-9, 0.3, 0.75, math.nextafter(1.0, 0.0)])
def test_a_mask_is_the_same_eagerly_in_a_graph_and_under_xla(rate):
    def draw(seed):
        return masks.dropout_mask(seeds.fold(seed, 2), [5, 1, 201], rate)

    seed = seeds.run_seed(1)
    for compiled in (tf.function(draw), tf.function(draw, jit_compile=True)):
        np.testing.assert_array_equal(compiled(seed), draw(seed))


def test_no_rate_means_no_mask():
    assert masks.dropout_mask(seeds.run_seed(1), [4], 0.0) is None
    x = tf.ones([2])
    assert masks.apply(None, x) is x


def test_folding_tells_order_and_value_apart():
    several = [(0, 1), (1, 0), (0, 0), (1, 1), (2, 0)]
    folded = {tuple(seeds.fold(seeds.run_seed(5), *data).numpy()) for data in several}
    assert len(folded) == len(several)


def test_a_model_draws_each_mask_with_its_own_shape_and_seed():
    cell = SearchCell(CellOptions(units=U, nodes=1, input_dropout=0.5, hidden_dropout=0.5))
    rates = {"word_dropout": 0.5, "embedding_dropout": 0.5, "output_dropout": 0.5}
    model = LanguageModel(7, cell, ModelOptions(**rates))
    drawn = model.draw_masks(seeds.run_seed(0), 64)
    assert drawn.words.shape == [7, 1]
    assert drawn.embeddings.shape == drawn.outputs.shape == [64, 1, U]
    assert drawn.cell.inputs.shape == drawn.cell.hidden.shape == [64, U]
    flat = [np.ravel(m) for m in (drawn.embeddings, drawn.outputs, drawn.cell.inputs, drawn.cell.hidden)]
    assert all(np.any(flat[a] != flat[b]) for a in range(4) for b in range(a))
