import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep
from tests.references import training as reference
from tests.support.small import BATCH, small_model

WINDOWS = WindowOptions(batch_size=BATCH, bptt=4)


def test_a_word_read_twice_counts_once_in_the_norm_with_its_summed_gradient():
    weight = tf.Variable(np.ones((5, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(weight, [1, 1, 3]) * [[1.0], [2.0], [4.0]])
    gradient = tape.gradient(loss, weight)
    assert isinstance(gradient, tf.IndexedSlices)  # else the test tests nothing
    assert float(tf.linalg.global_norm([gradient])) != pytest.approx(50.0**0.5)
    (dense,) = sgd.dense([gradient], [weight])
    expected = np.zeros((5, 2))
    expected[1], expected[3] = 3.0, 4.0
    np.testing.assert_array_equal(dense, expected)
    assert float(tf.linalg.global_norm([dense])) == pytest.approx(50.0**0.5)


def test_a_weight_that_is_not_reached_has_gradient_zero():
    np.testing.assert_array_equal(sgd.dense([None], [tf.ones([2, 3])])[0], np.zeros((2, 3)))


@pytest.mark.parametrize("limit", [0.0, 0.25, 1e3])
def test_clipping_equals_the_twin(limit):
    random = np.random.default_rng(0)
    gradients = [random.normal(size=shape) for shape in ((3, 2), (5,))]
    actual = sgd.clip_by_norm([tf.constant(g) for g in gradients], limit)
    for left, right in zip(actual, reference.clipped(gradients, limit), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-14)


def test_a_zero_gradient_is_clipped_to_zero():
    np.testing.assert_array_equal(sgd.clip_by_norm([tf.zeros([3])], 0.25)[0], np.zeros(3))


def test_decay_is_the_gradient_of_the_squared_norm_and_outside_the_clip():
    weight, gradient = np.array([1.0, -2.0]), np.array([0.5, 0.25])
    (moved,) = sgd.sgd([tf.constant(weight)], [tf.constant(gradient)], 0.1, 0.3)
    np.testing.assert_allclose(moved, weight - 0.1 * (gradient + 0.6 * weight), rtol=1e-15)


def test_the_proximal_step_minimises_its_objective():
    w, gradient, omega = np.array([0.9, -0.05, 0.4]), np.array([0.2, 0.1, -0.3]), np.array([1.0, 2.0, 0.5])
    moved = sgd.proximal_sgd(tf.constant(w), tf.constant(gradient), 0.5, 0.3, tf.constant(omega)).numpy()
    grid = np.linspace(-2.0, 2.0, 400001)[:, np.newaxis]
    objective = (grid - (w - 0.5 * gradient)) ** 2 / 2 + 0.5 * 0.3 * omega * np.abs(grid)
    np.testing.assert_allclose(moved, grid[objective.argmin(axis=0), 0], atol=1e-5)


def test_a_compiled_update_is_the_plain_one():
    plain, compiled = (
        SearchStep(small_model(execution=form), WINDOWS, WeightOptions(clip=0.1), ScalarOptions())
        for form in (GRAPH, Execution(updates=True))
    )
    length, lr = tf.constant(3), tf.constant(0.7, tf.float64)
    for step in (plain, compiled):
        gradients = [tf.cast(tf.reshape(tf.range(tf.size(w)), w.shape), w.dtype) for w in step.weights]
        step.move(step.weights, gradients, length, lr)
    for left, right in zip(plain.weights, compiled.weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12)
