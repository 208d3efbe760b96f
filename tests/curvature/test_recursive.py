"""The one-pass recursion against its twin, and where it must be exact."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.curvature import exact, one_pass, recursive
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.window import Window
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from tests.references import cell as cell_reference
from tests.references import recursion as reference
from tests.support.pairs import pairwise
from tests.support.small import small_model, small_window

SEED = seeds.run_seed(0)


def estimate(model, **options):
    x, y, state = small_window()
    chosen = CurvatureOptions("recursive", **{"tau": 0, **options})
    return recursive.estimate(model, x, y, state, SEED, chosen)


def twin(model, **options):
    x, y, state = (part.numpy() for part in small_window())
    return reference.diagonal(cell_reference.copy_of(model.cell, model), x, y, state, **options)


def assert_same(found, wanted):
    np.testing.assert_allclose(found.h, wanted.h, rtol=1e-10, atol=1e-13 * np.abs(wanted.h).max())
    assert (found.h_zero is None) == (wanted.h_zero is None)
    if wanted.h_zero is not None:
        np.testing.assert_allclose(found.h_zero, wanted.h_zero, rtol=1e-10)


@pytest.mark.parametrize(
    ("norm", "sharing", "d_terms"),
    pairwise(["none", "batch", "layer", "mean"], ["node", "edge", "edge_op"], [False, True]),
)
def test_the_recursion_equals_the_twin(norm, sharing, d_terms):
    model = small_model(norm=norm, weight_sharing=sharing)
    assert_same(estimate(model, d_term=d_terms), twin(model, d_terms=d_terms))


FORMS = (
    {"norm": "mean", "zero_edge_switch": True},
    {"norm": "batch", "norm_learnable": True},
    {"norm": "layer", "norm_learnable": True, "zero_edge_switch": True},
)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_switches_and_learnt_norms_are_part_of_it(form):
    model = small_model(**form)
    assert_same(estimate(model, d_term=True), twin(model, d_terms=True))


@pytest.mark.parametrize(
    ("norm", "tau", "truncation", "d_terms"),
    pairwise(["none", "batch", "layer"], [1, 2, 3], ["slots", "chunks"], [False, True]),
)
def test_a_horizon_equals_the_twin(norm, tau, truncation, d_terms):
    model = small_model(norm=norm)
    found = estimate(model, tau=tau, truncation=truncation, d_term=d_terms)
    assert_same(found, twin(model, d_terms=d_terms, tau=tau, truncation=truncation))


@pytest.mark.parametrize(
    ("sharing", "tau", "truncation", "d_terms"),
    pairwise(["edge", "edge_op"], [1, 2, 3], ["slots", "chunks"], [False, True]),
)
def test_a_horizon_equals_the_twin_for_every_sharing(sharing, tau, truncation, d_terms):
    model = small_model(norm="batch", weight_sharing=sharing)
    found = estimate(model, tau=tau, truncation=truncation, d_term=d_terms)
    assert_same(found, twin(model, d_terms=d_terms, tau=tau, truncation=truncation))


@pytest.mark.parametrize("truncation", ["slots", "chunks"])
def test_a_horizon_of_the_window_or_more_truncates_nothing(truncation):
    model = small_model(norm="mean")
    whole = estimate(model)
    assert_same(estimate(model, tau=9, truncation=truncation), whole)
    assert not np.allclose(estimate(model, tau=1, truncation=truncation).h, whole.h, rtol=1e-3)


@pytest.mark.parametrize("rule", [Rule(False), Rule(True), Rule(True, d_terms=True)], ids=str)
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "mean"])
def test_the_ordinary_gradient_of_all_weights_is_unchanged(norm, rule):
    model = small_model(norm=norm, zero_edge_switch=True)
    (x, y, state), variables = small_window(), model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(losses.token_nats(model.decode(model.hidden(x, state)), y))
    expected = tape.gradient(loss, variables)
    lanes = one_pass.Lanes(rule, 2)
    beside = one_pass.shadows(lanes, model, x.shape[0])
    with tf.GradientTape() as tape:
        tape.watch(beside)
        found_loss, _ = one_pass.forward(model, Window(x, y, state), lanes, beside, SEED)
    np.testing.assert_allclose(found_loss, loss, rtol=1e-12)
    for found, wanted in zip(tape.gradient(found_loss, variables), expected, strict=True):
        found, wanted = tf.convert_to_tensor(found), tf.convert_to_tensor(wanted)
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)


def test_masks_of_a_training_step_are_part_of_the_pass():
    model = small_model(norm="mean", hidden_dropout=0.4, input_dropout=0.3)
    x, y, state = small_window()
    drawn = model.draw_masks(seeds.run_seed(8), x.shape[0])
    with tf.GradientTape() as tape:
        hidden = model.hidden(x, state, drawn)
        loss = tf.reduce_mean(losses.token_nats(model.decode(hidden, drawn), y))
    expected = tape.gradient(loss, model.cell.scalars)
    lanes = one_pass.Lanes(Rule(True), 1)
    beside = one_pass.shadows(lanes, model, x.shape[0])
    with tf.GradientTape() as tape:
        tape.watch(beside)
        found, _ = one_pass.forward(model, Window(x, y, state), lanes, beside, SEED, drawn)
    np.testing.assert_allclose(tape.gradient(found, model.cell.scalars), expected, rtol=1e-10, atol=1e-14)


def test_where_nothing_is_dropped_it_is_the_exact_gauss_newton_diagonal():
    # one step, one node, one word of two: no sum over paths or logits has a cross term
    model = one_path()
    x, y, state = tf.constant([[0]]), tf.constant([[1]]), tf.zeros([1, 1], tf.float64)
    chosen = CurvatureOptions("recursive", tau=0)
    found = recursive.estimate(model, x, y, state, SEED, chosen).h
    np.testing.assert_allclose(found, exact.ggn_diagonal(model, x, y, state)[0], rtol=1e-10)
    assert np.all(found.numpy()[0] > 0.0)


def one_path():
    """One unit, one learned node, two words of which one has the embedding 0."""
    cell = SearchCell(CellOptions(units=1, nodes=1, norm="none"), dtype="float64")
    model = LanguageModel(2, cell, ModelOptions(), dtype="float64")
    for weight in cell.weights:
        weight.assign(tf.fill(weight.shape, tf.constant(0.7, tf.float64)))
    model.embedding.assign([[1.3], [0.0]])
    return model
