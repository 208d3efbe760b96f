import itertools

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.curvature import exact, ggn, window
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.curvature.lanes import Pair, Rule, shadow_of
from bayesnas_tf.curvature.one_pass import Lanes, mean_nats, one_pass
from bayesnas_tf.curvature.window import Window
from bayesnas_tf.numerics import seeds
from tests.references import cell as cell_reference
from tests.references import curvature as reference
from tests.support.small import BATCH, WORDS, small_model, small_window

ONE_PROBE = CurvatureOptions(estimator="ggn", probes=1)


def estimates(model, count):
    """`count` estimates of one probe each, `[count, scalars]`, and the oracle."""
    x, y, state = small_window()
    compiled = tf.function(
        lambda seed: ggn.estimate(model, x, y, state, seed, ONE_PROBE)[:3], autograph=False
    )
    rows = []
    for number in range(count):
        h, _, h_zero = compiled(seeds.fold(seeds.run_seed(11), number))
        rows.append(np.concatenate([np.ravel(h), [] if h_zero is None else h_zero]))
    twin = cell_reference.copy_of(model.cell, model)
    oracle = reference.gauss_newton(twin, x.numpy(), state.numpy())
    return np.array(rows), np.concatenate([np.ravel(part) for part in oracle if part is not None])


def test_the_cotangents_have_the_covariance_of_the_softmax():
    random, draws = np.random.default_rng(0), 200_000
    p = random.dirichlet(np.ones(4))
    v = window.probe(tf.constant(np.tile(p, (draws, 1))), seeds.run_seed(1)).numpy()
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
        return ggn.estimate(model, x, y, state, seeds.run_seed(3), options).h.numpy()

    first, both, three = run(1), run(2), run(3)
    second, third = 2.0 * both - first, 3.0 * three - 2.0 * both
    assert all(np.all(h > -1e-12 * np.abs(h).max()) for h in (second, third))
    assert not any(np.allclose(a, b) for a, b in itertools.combinations((first, second, third), 2))


def test_tokens_have_signs_of_their_own():
    p = tf.constant(np.full((64, 3), 1.0 / 3.0))
    assert len(np.unique(window.probe(p, seeds.run_seed(2)).numpy(), axis=0)) > 2


def begun(model, hidden, y, lanes, seed):
    """What linear lanes begin with, `[L, B, T, U]`, at hidden states."""
    with tf.GradientTape() as tape:
        shadow = shadow_of(hidden, lanes.number)
        tape.watch(shadow)
        loss = mean_nats(model, Pair(hidden, shadow), y, lanes, seed)
    return tape.gradient(loss, shadow)


def test_steps_examples_and_probes_have_signs_of_their_own():
    model = small_model()
    _, y, _ = small_window()
    hidden = tf.zeros([*y.shape, model.cell.units], tf.float64)  # the same probabilities everywhere
    lanes = begun(model, hidden, y, Lanes(Rule(False), 2), seeds.run_seed(4)).numpy()
    for one, other in ((lanes[:, :, 0], lanes[:, :, 1]), (lanes[:, 0], lanes[:, 1]), (lanes[0], lanes[1])):
        assert not np.allclose(one, other)


@pytest.mark.parametrize("sharing", ["node", "edge", "edge_op"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "mean"])
def test_a_linear_lane_is_pulled_back_as_a_gradient_is(norm, sharing):
    model = small_model(norm=norm, weight_sharing=sharing, zero_edge_switch=norm == "mean")
    (x, y, state), lanes, seed = small_window(), Lanes(Rule(False), 3), seeds.run_seed(6)
    found = one_pass(model, Window(x, y, state), lanes, seed).lanes
    scalars = window.scalar_variables(model)
    with tf.GradientTape(persistent=True) as tape:
        hidden = model.hidden(x, state)
    for number, cotangent in enumerate(begun(model, hidden, y, lanes, seed)):
        expected = tape.gradient(hidden, scalars, output_gradients=cotangent)
        for lane, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(lane[number], wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("norm", ["mean", "layer"])
def test_squares_by_sequence_need_fewer_probes_than_squares_of_the_batch(norm):
    model = small_model(norm=norm)
    x, y, state = small_window()
    oracle = exact.ggn_diagonal(model, x, y, state)[0].numpy()
    errors = {}
    for per_sequence in (False, True):
        lanes = Lanes(Rule(False, per_sequence=per_sequence), 10)
        run = tf.function(
            lambda seed, lanes=lanes: one_pass(model, Window(x, y, state), lanes, seed).lanes[0],
            autograph=False,
        )
        rounds = [run(seeds.fold(seeds.run_seed(7), number)) for number in range(40)]
        squares = np.square(np.concatenate(rounds))
        squares = squares.sum(axis=1) if per_sequence else squares
        assert np.abs(squares.mean(axis=0) / oracle - 1.0).max() < 0.6
        errors[per_sequence] = np.mean(squares.var(axis=0) / oracle**2)
    assert errors[True] < 0.95 * errors[False]  # of three sequences; more sequences, more gain


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    model, (x, y, state) = small_model(norm="mean"), small_window()
    options = CurvatureOptions(probes=8)
    run = tf.function(lambda seed: ggn.estimate(model, x, y, state, seed, options), autograph=False)
    found = [run(seeds.fold(seeds.run_seed(5), number)) for number in range(300)]
    spread = np.var([estimate.h for estimate in found], axis=0, ddof=1)
    told = np.mean([estimate.variance for estimate in found], axis=0)
    np.testing.assert_allclose(told, spread, rtol=0.4)
    assert ggn.estimate(model, x, y, state, seeds.run_seed(5), ONE_PROBE).variance is None


@pytest.mark.parametrize(
    ("target", "windows", "probes"),
    # with 2 probes the error of one window is .5: (.5 / target)² · 2 probes, shared by the windows
    [(0.1, 1, 50), (0.1, 10, 5), (0.5, 1, 2), (9.0, 1, 2), (0.01, 1, ggn.MOST_PROBES)],
)
def test_probes_follow_from_the_error_that_is_wanted(target, windows, probes):
    h = np.full((3, 4), 2.0)
    options = CurvatureOptions(probes=2, windows=windows, target_error=target)
    assert ggn.probes_needed(h, (0.5 * h) ** 2, options) == probes


@pytest.mark.parametrize("groups", [2, 2 * BATCH])
def test_groups_of_rows_give_the_estimate_of_the_whole_batch(groups):
    model, options = small_model(norm="mean", zero_edge_switch=True), CurvatureOptions(probes=3)
    x, y, state = (tf.concat([part, 2 * part], axis=0) for part in small_window())
    x, y, seed = x % WORDS, y % WORDS, seeds.run_seed(4)
    whole = ggn.estimate(model, x, y, state, seed, options)
    compiled = tf.function(lambda: ggn.of_groups(groups)(model, x, y, state, seed, options), autograph=False)
    parts = compiled()
    for found, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_rows_that_a_norm_couples_or_that_are_too_few_have_no_groups():
    model, (x, y, state) = small_model(norm="batch"), small_window()
    with pytest.raises(ValueError, match="batch norm couples all rows"):
        ggn.of_groups(BATCH)(model, x, y, state, seeds.run_seed(4), CurvatureOptions())
    with pytest.raises(ValueError, match="cannot split 3 rows into 2 equal groups"):
        ggn.of_groups(2)(small_model(norm="mean"), x, y, state, seeds.run_seed(4), CurvatureOptions())


def test_a_group_of_rows_has_its_rows_of_the_probe():
    p = tf.constant(np.random.default_rng(0).dirichlet(np.ones(5), size=6))
    whole = window.probe(p, seeds.run_seed(1))
    parts = [window.probe(p[2 * k :][:2], seeds.run_seed(1), k, 3) for k in range(3)]
    np.testing.assert_array_equal(tf.concat(parts, axis=0), whole)
