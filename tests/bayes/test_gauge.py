"""The gauge leaves a normalised cell alone; the soft threshold minimises its objective."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.bayes import gauge
from bayesnas_tf.space.base import Sites
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.space import Highway

NODES, OPS = 6, 4


def rms(w):
    return gauge.rms(w, Highway(NODES).sites)


def random_w(seed=0, dtype=np.float64):
    """Random scalars [E, O]."""
    return np.random.default_rng(seed).normal(size=(topology.edge_count(NODES), OPS)).astype(dtype)


def scaled_by_node(w, factors):
    """Each node's incoming scalars times that node's factor."""
    return w * np.asarray(factors)[topology.edges(NODES)[:, 1] - 1][:, None]


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_every_node_has_root_mean_square_one(dtype, rtol):
    w = random_w(dtype=dtype)
    result = rms(tf.constant(w)).numpy()
    assert result.dtype == dtype
    for node in range(1, NODES + 1):
        block, before = result[topology.incoming(node)], w[topology.incoming(node)]
        assert np.sqrt(np.mean(block.astype(np.float64) ** 2)) == pytest.approx(1.0, rel=rtol)
        np.testing.assert_allclose(block * np.sqrt(np.mean(before**2)), before, rtol=4 * rtol)


def test_rms_ignores_the_scale_of_each_node_and_repeats_itself():
    w = random_w(1)
    factors = np.exp(np.random.default_rng(2).normal(0, 3, NODES))
    once = rms(tf.constant(w)).numpy()
    np.testing.assert_allclose(rms(tf.constant(scaled_by_node(w, factors))).numpy(), once, rtol=1e-13)
    np.testing.assert_allclose(rms(tf.constant(once)).numpy(), once, rtol=1e-14)


def test_a_normalised_node_does_not_see_the_gauge():
    rng = np.random.default_rng(3)
    w, terms = random_w(3), rng.normal(size=(50, topology.edge_count(NODES), OPS))

    def normalised(scalars):
        into = topology.incoming(NODES)
        x = np.sum(scalars[into] * terms[:, into], axis=(1, 2))
        return (x - x.mean()) / x.std()

    np.testing.assert_allclose(normalised(rms(tf.constant(w)).numpy()), normalised(w), rtol=1e-10)


def test_a_node_of_zeros_is_left():
    w = random_w(4)
    w[topology.incoming(3)] = 0.0
    result = rms(tf.constant(w)).numpy()
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[topology.incoming(3)], 0.0)
    assert np.mean(result[topology.incoming(4)] ** 2) == pytest.approx(1.0)


def test_a_ragged_node_counts_what_it_has():
    exists = np.array([[True, True, False], [True, True, True]])
    sites = Sites(np.array([1, 1]), np.array([0, 0]), ("a", "b", "c"), exists)
    result = gauge.rms(tf.constant([[3.0, 4.0, 0.0], [1.0, 2.0, 2.0]]), sites).numpy()
    np.testing.assert_allclose((result[exists] ** 2).mean(), 1.0, rtol=1e-6)


def test_rms_compiles_under_xla():
    w = tf.constant(random_w(5, np.float32))
    compiled = tf.function(rms, jit_compile=True)
    np.testing.assert_allclose(compiled(w).numpy(), rms(w).numpy(), rtol=1e-6)


@pytest.mark.parametrize("w", [-2.0, -0.3, 0.0, 0.1, 0.7, 3.0])
@pytest.mark.parametrize("amount", [0.0, 0.2, 1.0])
def test_soft_threshold_minimises_its_objective(w, amount):
    grid = np.linspace(-4.0, 4.0, 80001)
    best = grid[np.argmin(0.5 * (grid - w) ** 2 + amount * np.abs(grid))]
    # the objective is strongly convex: its minimum on the grid is within a step of the true one
    result = gauge.soft_threshold(tf.constant(w, tf.float64), tf.constant(amount, tf.float64))
    assert float(result) == pytest.approx(best, abs=1e-4)


def test_soft_threshold_gives_exact_zeros_and_keeps_dtype():
    w = tf.constant([0.1, -0.1, 0.3], tf.float32)
    result = gauge.soft_threshold(w, tf.constant([0.1, 0.2, 0.1], tf.float32))
    assert result.dtype == tf.float32
    np.testing.assert_array_equal(result.numpy()[:2], [0.0, 0.0])


def test_travel_is_what_l1_alone_moves():
    omega = np.array([[0.5, 2.0]])
    w = tf.constant([[10.0, 10.0]], tf.float64)
    for _ in range(7):
        w = gauge.soft_threshold(w, tf.constant(0.1 * 0.02 * omega))
    np.testing.assert_allclose(10.0 - w.numpy(), gauge.travel(0.1, 0.02, omega, 7), rtol=1e-12)
