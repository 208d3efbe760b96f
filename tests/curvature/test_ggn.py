import itertools

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.curvature import ggn
from bayesnas_tf.curvature.interface import CurvatureOptions
from tests.curvature.small import small_model, small_window
from tests.references import cell as cell_reference
from tests.references import curvature as reference

ONE_PROBE = CurvatureOptions(estimator="ggn", probes=1)


def estimates(model, count):
    """`count` estimates of one probe each, `[count, scalars]`, and the oracle."""
    x, y, state = small_window()
    compiled = tf.function(lambda seed: ggn.estimate(model, x, y, state, seed, ONE_PROBE)[:3])
    rows = []
    for number in range(count):
        h, _, h_zero = compiled(masks.fold(masks.run_seed(11), number))
        rows.append(np.concatenate([np.ravel(h), [] if h_zero is None else h_zero]))
    twin = cell_reference.copy_of(model.cell, model)
    oracle = reference.gauss_newton(twin, x.numpy(), state.numpy())
    return np.array(rows), np.concatenate([np.ravel(part) for part in oracle if part is not None])


def test_the_cotangents_have_the_covariance_of_the_softmax():
    random, draws = np.random.default_rng(0), 200_000
    p = random.dirichlet(np.ones(4))
    v = ggn.probe(tf.constant(np.tile(p, (draws, 1))), masks.run_seed(1)).numpy()
    spread = np.std(v[:, :, np.newaxis] * v[:, np.newaxis], axis=0) / np.sqrt(draws)
    assert np.all(np.abs(v.T @ v / draws - (np.diag(p) - np.outer(p, p))) < 4.5 * spread + 1e-12)
    np.testing.assert_allclose(v.sum(axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize("form", [{"norm": "batch"}, {"norm": "mean", "zero_edge_switch": True}], ids=str)
def test_the_estimate_is_unbiased_and_its_error_falls_as_the_root_of_the_probes(form):
    rows, oracle = estimates(small_model(**form), 512)
    error = np.abs(rows.mean(axis=0) - oracle)
    assert np.all(error < 4.5 * rows.std(axis=0) / np.sqrt(len(rows)) + 1e-12 * oracle.max())
    probes = 2 ** np.arange(6)
    # relative to each entry: an entry's error counts as much as another's
    errors = [
        np.sqrt(np.mean((rows.reshape(-1, count, oracle.size).mean(axis=1) / oracle - 1.0) ** 2))
        for count in probes
    ]
    slope = np.polyfit(np.log(probes), np.log(errors), 1)[0]
    assert -0.7 < slope < -0.3


def test_several_probes_are_independent_and_averaged():
    model = small_model(norm="mean")
    x, y, state = small_window()

    def run(probes):
        options = CurvatureOptions(estimator="ggn", probes=probes)
        return ggn.estimate(model, x, y, state, masks.run_seed(3), options).h.numpy()

    first, both, three = run(1), run(2), run(3)
    second, third = 2.0 * both - first, 3.0 * three - 2.0 * both
    assert all(np.all(h > -1e-12 * np.abs(h).max()) for h in (second, third))
    assert not any(np.allclose(a, b) for a, b in itertools.combinations((first, second, third), 2))


def test_tokens_have_signs_of_their_own():
    p = tf.constant(np.full((64, 3), 1.0 / 3.0))
    assert len(np.unique(ggn.probe(p, masks.run_seed(2)).numpy(), axis=0)) > 2


def test_steps_have_signs_of_their_own():
    model = small_model()
    _, y, _ = small_window()
    hidden = tf.zeros([*y.shape, model.cell.units], tf.float64)  # the same probabilities at every step
    probe = ggn.cotangents(model, hidden, y, masks.run_seed(4), 1)[0].numpy()
    assert not np.allclose(probe[:, 0], probe[:, 1])
