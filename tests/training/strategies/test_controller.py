"""The controller of ENAS against its twin, and REINFORCE over every cell of a small space."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.strategies.enas.controller import Controller, score_function_gradients
from tests.references import controller as reference

NODES, UNITS, OPS = 2, 5, 4
TEMPERATURE, LIMIT = 0.7, 2.5
NAMES = ("lstm", "start", "embeddings", "op_kernel", "anchor_kernel", "query_kernel", "attention")


@pytest.fixture(scope="module")
def controller():
    """Weights so large that no two cells are equally likely."""
    made = Controller(Highway(NODES), UNITS, TEMPERATURE, LIMIT, tf.float64)
    random = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(random.normal(size=weight.shape))
    return made


@pytest.fixture(scope="module")
def cells():
    return np.array(reference.all_cells(NODES, OPS), np.int32)


def test_the_log_probability_of_every_cell_equals_the_twin_and_they_sum_to_1(controller, cells):
    actual = controller.log_prob(tf.constant(cells)).numpy()
    weights = {name: getattr(controller, name).numpy() for name in NAMES}
    expected = [reference.log_prob(weights, cell, TEMPERATURE, LIMIT) for cell in cells]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    assert len(cells) == 4 * 8
    np.testing.assert_allclose(np.exp(actual).sum(), 1.0, rtol=1e-12)
    assert np.exp(actual).max() > 5.0 * np.exp(actual).min()


def test_cells_are_drawn_as_often_as_the_controller_says(controller, cells):
    count = 20_000
    drawn = controller.sample(tf.constant([1, 2]), count)
    np.testing.assert_allclose(drawn.log_prob, controller.log_prob(drawn.choices), rtol=1e-12)
    probabilities = np.exp(controller.log_prob(tf.constant(cells)).numpy())
    equal = np.all(drawn.choices.numpy()[:, None] == cells, axis=(2, 3))
    frequencies = equal.mean(axis=0)
    # 4.5 standard deviations of a binomial share; all 32 stay within with probability 1 - 2e-4
    bound = 4.5 * np.sqrt(probabilities * (1.0 - probabilities) / count)
    assert np.all(np.abs(frequencies - probabilities) < bound)


def test_the_same_seed_draws_the_same_cells(controller):
    one, same, other = (controller.sample(tf.constant([seed, 2]), 20).choices.numpy() for seed in (1, 1, 3))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_the_mean_of_the_estimator_is_the_exact_gradient_whatever_the_baseline(controller, cells):
    reward = tf.constant(np.random.default_rng(1).uniform(1.0, 3.0, size=len(cells)))
    entropy, cells = 0.3, tf.constant(cells)
    with tf.GradientTape() as tape:
        log_prob = controller.log_prob(cells)
        exact = tf.reduce_sum(tf.exp(log_prob) * (reward - entropy * log_prob))
    exact = [tf.convert_to_tensor(g) for g in tape.gradient(exact, controller.weights)]
    for baseline in (0.0, 2.0):
        mean = [np.zeros(weight.shape) for weight in controller.weights]
        for number, p in enumerate(np.exp(log_prob.numpy())):
            advantage = (reward - entropy * log_prob)[number : number + 1] - baseline
            gradients = score_function_gradients(controller, cells[number : number + 1], advantage)
            mean = [m + p * -g.numpy() for m, g in zip(mean, gradients, strict=True)]
        for left, right in zip(mean, exact, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-10)
    assert max(np.abs(g).max() for g in exact) > 1e-2


def test_initial_weights_are_small_and_of_the_seed(controller):
    made = [Controller(Highway(NODES), UNITS, TEMPERATURE, LIMIT) for _ in range(2)]
    for one in made:
        one.initialise(tf.constant([7, 8]))
    for left, right in zip(*(one.weights for one in made), strict=True):
        np.testing.assert_array_equal(left, right)
        assert 0.0 < np.abs(left.numpy()).max() <= 0.1
