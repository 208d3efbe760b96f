"""One step of the search against its twin; windows of all lengths through one graph."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.training import execution
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep
from tests.references import cell as language_model
from tests.references import training as reference
from tests.support.small import BATCH, STEPS, UNITS, WORDS, small_model

SEED = tf.constant([3, 4])
BPTT = 6
FORMS = {
    "mean, gauge, clipped": (
        {"norm": "mean"},
        {"clip": 0.05, "weight_decay": 0.3, "temporal_activation": 0.2},
        {"lr": 0.4, "gauge": "rms"},
    ),
    "batch, switches, masks": (
        {
            "norm": "batch",
            "norm_learnable": True,
            "zero_edge_switch": True,
            "input_dropout": 0.5,
            "hidden_dropout": 0.3,
        },
        {"clip": 0.0, "weight_decay": 1e-3},
        {"lr": 0.7, "lambda_w": 0.9},
    ),
    "l1 per token": ({"norm": "layer"}, {"clip": 10.0}, {"lr": 0.5, "lambda_w": 0.1, "l1_per_token": True}),
}


def random_window(seed, steps=STEPS, padding=0):
    """x, y `[B, steps + padding]`, the padding as `batching.windows` makes it."""
    ids = np.random.default_rng(seed).integers(0, WORDS, size=(BATCH, steps + 1)).astype(np.int32)
    padded = [[0, 0], [0, padding]]
    return np.pad(ids[:, :-1], padded), np.pad(ids[:, 1:], padded)


def make_step(cell=None, weights=None, scalars=None, dtype="float64"):
    model = small_model(dtype, **(cell or {}))
    windows = WindowOptions(batch_size=BATCH, bptt=BPTT)
    step = SearchStep(model, windows, WeightOptions(**(weights or {})), ScalarOptions(**(scalars or {})))
    random = np.random.default_rng(7)
    for omega in step.omega:
        omega.assign(random.uniform(0.2, 2.0, size=omega.shape))
    step.state.assign(random.normal(size=step.state.shape))
    return step


def apply(step, x, y, length, lr=2.0):
    step(tf.constant(x), tf.constant(y), tf.constant(length), tf.constant(lr, step.state.dtype), SEED)


def twin_settings(step, lr):
    w, s = step.options, step.scalar_options
    return reference.Settings(
        lr=lr,
        clip=w.clip,
        decay=w.weight_decay,
        activation=w.temporal_activation,
        lr_w=s.lr,
        lambda_w=s.lambda_w,
        bptt=BPTT,
        per_token=s.l1_per_token,
        gauge=s.gauge == "rms",
    )


def everything(step):
    """All numbers that a step leaves."""
    return [v.numpy() for v in (*step.model.variables, step.state, *step.totals, step.squared_gradient)]


def assert_equal_cells(actual, expected):
    """Two twins, weight by weight."""
    names = (*reference.WEIGHTS, "scalars", "zero_scalars", "node_kernels")
    for name in names:
        left, right = getattr(actual, name), getattr(expected, name)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_two_steps_equal_the_twin(form):
    step = make_step(*form)
    settings = twin_settings(step, lr=2.0)
    drawn = step.model.draw_masks(SEED, BATCH).cell
    masks = {
        name: 1.0 if mask is None else mask.numpy()
        for name, mask in (("input_mask", drawn.inputs), ("hidden_mask", drawn.hidden))
    }
    omegas = [omega.numpy() for omega in step.omega]
    twin, state, nats, squares = language_model.copy_of(step.model.cell, step.model), step.state.numpy(), 0, 0
    for number, length in enumerate((STEPS, STEPS - 1)):
        x, y = random_window(number, length, padding=2)
        apply(step, x, y, length)
        real = x[:, :length], y[:, :length]
        twin, state, of_window, square = reference.search_step(twin, *real, state, omegas, settings, masks)
        nats, squares = nats + of_window * BATCH * length, squares + square
        np.testing.assert_allclose(step.state, state, rtol=1e-9)
        assert_equal_cells(language_model.copy_of(step.model.cell, step.model), twin)
    np.testing.assert_allclose(step.totals.nats, nats, rtol=1e-9)
    assert int(step.totals.tokens) == BATCH * (2 * STEPS - 1)
    np.testing.assert_allclose(step.squared_gradient, squares, rtol=1e-9)


def test_the_twins_gauge_and_clip_are_felt():
    step = make_step(*FORMS["mean, gauge, clipped"])
    before = np.concatenate([v.numpy().ravel() for v in step.weights])
    x, y = random_window(0)
    apply(step, x, y, STEPS, lr=1.0)
    moved = np.concatenate([v.numpy().ravel() for v in step.weights]) - before
    rate, decay = STEPS / BPTT, step.options.weight_decay
    clipped = -moved / rate - 2.0 * decay * before
    assert np.linalg.norm(clipped) == pytest.approx(step.options.clip, rel=1e-4)
    assert np.mean(step.scalars[0].numpy()[0] ** 2) == pytest.approx(1.0)


@pytest.mark.parametrize("norm", ["batch", "mean"])
def test_padding_changes_neither_weights_nor_state_nor_totals(norm):
    plain, padded = (
        make_step({"norm": norm, "hidden_dropout": 0.4}, {"temporal_activation": 0.5}) for _ in range(2)
    )
    x, y = random_window(1)
    apply(plain, x, y, STEPS)
    x, y = random_window(1, padding=5)
    x[:, STEPS:], y[:, STEPS:] = 3, 5  # whatever stands there
    apply(padded, x, y, STEPS)
    for left, right in zip(everything(plain), everything(padded), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13)


def test_a_scalar_that_l1_outweighs_is_exactly_zero():
    step = make_step(scalars={"lr": 1.0, "lambda_w": 60.0})
    x, y = random_window(0)
    apply(step, x, y, STEPS)
    assert np.any(step.scalars[0].numpy() == 0.0)


def test_without_a_rate_only_state_and_totals_move():
    step = make_step(scalars={"lr": 0.0})
    before = [v.numpy() for v in step.model.variables]
    state = step.state.numpy()
    x, y = random_window(0)
    apply(step, x, y, STEPS, lr=0.0)
    for left, right in zip(before, step.model.variables, strict=True):
        np.testing.assert_array_equal(left, right.numpy())
    assert np.any(state != step.state.numpy())
    assert int(step.totals.tokens) == BATCH * STEPS


def compiled(step, xla, traces):
    """The step as a loop compiles it; each trace appends the padded length to `traces`."""

    def run(x, y, length, lr):
        traces.append(x.shape[1])
        step(x, y, length, lr, SEED)

    return execution.window_function(run, BATCH, xla)


def windows_of(lengths, bucket):
    """One window of each length, as the loop gets them."""
    steps = int(sum(lengths))
    rows = np.random.default_rng(0).integers(0, WORDS, size=(BATCH, steps + 1)).astype(np.int32)
    ends = np.cumsum(lengths)
    plan = batching.WindowPlan(
        np.concatenate([[0], ends[:-1]]).astype(np.int32), np.array(lengths, dtype=np.int32)
    )
    return batching.windows(rows, plan, bucket)


def test_the_graph_of_all_lengths_equals_xla():
    lengths, lr = [5, 12], tf.constant(0.5)
    results, traces = [], ([], [])
    for xla, bucket in ((False, 1), (True, 15)):
        step = make_step({"norm": "mean", "nodes": 1}, dtype="float32")
        function = compiled(step, xla, traces[xla])
        for window in windows_of(lengths, bucket):
            function(*window, lr)
        results.append(everything(step))
    assert traces == ([None], [15])
    for left, right in zip(*results, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("xla", "traced"), [(False, [None]), (True, [10, 20, 30, 40, 50, 60])])
def test_each_padded_length_is_traced_at_most_once(xla, traced):
    traces = []

    def count(x, y, length, total):
        traces.append(x.shape[1])
        return total + tf.reduce_sum(x + y) * length

    options = WindowOptions(batch_size=BATCH, bptt=35)
    function, total = execution.window_function(count, BATCH, xla), tf.constant(0)
    for window in windows_of(range(5, 56), execution.bucket(options, xla)):
        total = function(*window, total)
    assert traces == traced


@pytest.mark.parametrize(
    ("options", "xla", "bucket"),
    [
        ({}, False, 1),
        ({}, True, execution.XLA_BUCKET),
        ({"jitter": False}, True, 1),
        ({"bucket": 7}, False, 7),
        ({"bucket": 7}, True, 7),
    ],
)
def test_lengths_are_padded_only_where_they_would_be_compiled_anew(options, xla, bucket):
    assert execution.bucket(WindowOptions(**options), xla) == bucket


def test_every_weight_and_scalar_is_trained_once():
    step = make_step({"norm": "layer", "norm_learnable": True, "zero_edge_switch": True})
    trained = [id(v) for v in (*step.weights, *step.scalars)]
    assert sorted(trained) == sorted(id(v) for v in step.model.trainable_variables)
    assert [tuple(v.shape) for v in step.scalars] == [(3, 4), (3,)]
    assert step.state.shape == (BATCH, UNITS)
