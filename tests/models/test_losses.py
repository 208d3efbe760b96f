import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.models import losses
from tests.references import cell as language_model
from tests.references import training as reference

BATCH, STEPS, PADDED, UNITS, WORDS = 3, 4, 7, 5, 6


def random_array(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_token_nats_equal_the_twin():
    logits = 3.0 * random_array(0, BATCH, STEPS, WORDS)
    targets = np.random.default_rng(1).integers(0, WORDS, size=(BATCH, STEPS))
    actual = losses.token_nats(tf.constant(logits), tf.constant(targets, tf.int32))
    np.testing.assert_allclose(actual, language_model.token_nats(logits, targets), rtol=1e-12)


@pytest.mark.parametrize("length", [1, STEPS, PADDED])
def test_the_mean_is_over_the_real_steps(length):
    nats = random_array(0, BATCH, PADDED)
    actual = losses.mean_nats(tf.constant(nats), tf.constant(length))
    np.testing.assert_allclose(actual, nats[:, :length].mean(), rtol=1e-14)


@pytest.mark.parametrize("length", [2, STEPS, PADDED])
def test_temporal_activation_is_that_of_darts_over_the_real_steps(length):
    hidden = random_array(0, BATCH, PADDED, UNITS)
    actual = losses.temporal_activation(tf.constant(hidden), tf.constant(length))
    np.testing.assert_allclose(actual, reference.temporal_activation(hidden[:, :length]), rtol=1e-14)


def test_a_single_step_has_no_temporal_activation():
    assert float(losses.temporal_activation(tf.constant(random_array(0, BATCH, PADDED, UNITS)), 1)) == 0.0


@pytest.mark.parametrize("loss", [losses.mean_nats, losses.temporal_activation])
def test_padding_has_no_gradient(loss):
    shape = (BATCH, PADDED) if loss is losses.mean_nats else (BATCH, PADDED, UNITS)
    values = tf.constant(random_array(0, *shape))
    with tf.GradientTape() as tape:
        tape.watch(values)
        value = loss(values, STEPS)
    gradient = tape.gradient(value, values).numpy()
    assert np.all(gradient[:, STEPS:] == 0.0)
    assert np.all(gradient[:, :STEPS] != 0.0)
