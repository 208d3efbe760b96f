"""The step of each strategy on a small network: where its variables lie, and that it compiles."""

import types

import gin
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.training import checkpoints
from bayesnas_tf.training.settings import (
    OptimizerOptions,
    ScalarOptions,
    SwitchOptions,
    WeightOptions,
    WindowOptions,
)
from bayesnas_tf.training.strategies import registry, scoring

WORDS, BATCH, BPTT = 7, 2, 4
SEED = tf.constant([3, 5])


def step_of(name, nodes=2):
    """The step of the strategy `name`; its network has 3 units."""
    strategy = registry.named_strategy(name)
    settings = types.SimpleNamespace(
        windows=WindowOptions(batch_size=BATCH, bptt=BPTT),
        weights=WeightOptions(lr=0.5),
        scalars=ScalarOptions(),
        switches=SwitchOptions(),
        optimizer=OptimizerOptions(rule="sgd"),
    )
    model = LanguageModel(
        WORDS, strategy.cell(CellOptions(units=3, nodes=nodes, norm="mean")), ModelOptions()
    )
    model.initialise(SEED)
    valid = np.random.default_rng(1).integers(0, WORDS, size=(BATCH, 10)).astype(np.int32)
    return strategy.step(model, settings, valid, SEED)


def variables(step):
    """All that the step changes."""
    cell, optimizer = step.model.cell, getattr(step, "optimizer", None)
    return [
        *step.variables,
        *step.model.variables,
        *([cell.choice] if hasattr(cell, "choice") else []),
        *(optimizer.variables if optimizer else []),
    ]


def windows():
    """x and y `[B, T]`."""
    drawn = np.random.default_rng(2).integers(0, WORDS, size=(2, BATCH, BPTT))
    return tf.unstack(tf.constant(drawn.astype(np.int32)))


@pytest.mark.parametrize("name", registry.NAMES)
def test_no_variable_is_int32_for_tensorflow_places_those_on_the_cpu(name):
    found = variables(step_of(name))
    assert len(found) > 5
    assert "int32" not in {tf.as_dtype(variable.dtype).name for variable in found}


@pytest.mark.parametrize("name", ["darts2", "enas"])
def test_the_next_validation_window_is_no_slice_which_xla_would_compile_for_every_turn(name):
    graph = tf.function(step_of(name).turns.window, autograph=False).get_concrete_function().graph
    assert "Slice" not in {operation.type for operation in graph.get_operations()}


def test_a_reward_of_nan_is_the_least_reward_and_the_next_turn_is_whole_again():
    step = step_of("enas")
    embedding = tf.convert_to_tensor(step.model.embedding)
    step.move_controller(SEED)
    before = float(step.baseline)
    step.model.embedding.assign(tf.fill(embedding.shape, float("nan")))
    step.move_controller(SEED + 1)
    assert 0 < float(step.baseline) < before
    step.model.embedding.assign(embedding)
    step.move_controller(SEED + 2)
    for variable in (step.baseline, step.turns.state, *step.controller.weights):
        assert np.isfinite(tf.convert_to_tensor(variable)).all()


def test_the_controller_learns_to_write_the_one_cell_that_is_rewarded(monkeypatch):
    for name, value in (("units", 8), ("lr", 0.02), ("entropy", 0.0), ("baseline_decay", 0.9)):
        gin.bind_parameter(f"EnasOptions.{name}", value)
    step, random, wanted = step_of("enas"), np.random.default_rng(0), tf.constant([[[0, 1], [1, 3]]])
    for weight in step.controller.weights:
        weight.assign(0.5 * random.normal(size=weight.shape))

    def reward():
        step.turns.carry(step.turns.state)
        return tf.cast(tf.reduce_all(step.model.cell.choice == tf.cast(wanted[0], tf.int64)), tf.float32)

    monkeypatch.setattr(step, "window_reward", reward)
    move, log_probs = tf.function(step.move_controller, autograph=False), []
    for number in range(160):
        if number % 80 == 0:
            log_probs.append(float(step.controller.log_prob(wanted)[0]))
        move(tf.constant([number, 5]))
    log_probs.append(float(step.controller.log_prob(wanted)[0]))
    assert log_probs[0] < np.log(1 / 16)  # of 32 cells
    assert log_probs[0] < log_probs[1] < log_probs[2]
    assert log_probs[2] > np.log(1 / 2)


def test_a_cell_of_random_search_that_diverges_is_lost_and_leaves_finite_weights():
    step, (x, y) = step_of("random"), windows()
    nats, tokens = [], BATCH * BPTT

    def train(number):
        step(x, y, tf.constant(BPTT), tf.constant(0.5), SEED + number)
        nats.append(float(step.totals.nats) / tokens - sum(nats))

    train(0)
    assert not step.lost and 0.0 < nats[0] < 10.0
    step.model.embedding.assign(tf.fill(step.model.embedding.shape, float("inf")))
    train(1)
    train(2)
    assert step.lost and nats[1:] == pytest.approx([scoring.MOST_NATS] * 2)
    assert int(step.totals.tokens) == 3 * tokens
    assert checkpoints.all_finite([*step.model.variables, *step.variables])


# A plain graph: XLA is compared with eager execution, for every strategy, in tests/training/test_xla.py.
def test_a_step_is_the_same_eager_as_compiled():
    (x, y), ended = windows(), []
    for compiled in (lambda f: f, tf.function):
        step = step_of("random_ws")
        run = compiled(step.__call__)
        for number in range(2):
            run(x, y, tf.constant(BPTT - 1), tf.constant(0.5), SEED + number)
        ended.append([tf.convert_to_tensor(variable).numpy() for variable in variables(step)])
    for left, right in zip(*ended, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_a_cell_whose_nats_are_not_finite_scores_worst():
    step, totals = step_of("random"), iter([float("nan"), float("inf"), 2.0 * BATCH * BPTT])
    rows = np.zeros((BATCH, 3 * BPTT + 1), np.int32)
    loop = types.SimpleNamespace(
        model=step.model,
        problem=types.SimpleNamespace(valid_rows=rows),
        settings=types.SimpleNamespace(windows=WindowOptions(batch_size=BATCH, bptt=BPTT)),
        valid_window=lambda x, y, length, state: (next(totals), state),
        count_elsewhere=lambda seconds: None,
    )
    nats = scoring.Scorer(loop, 0).score([[0, 0], [0, 1]])
    np.testing.assert_array_equal(nats, [scoring.MOST_NATS, scoring.MOST_NATS, 2.0])
