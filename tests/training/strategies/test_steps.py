"""The step of each strategy on a small network: where its variables lie, and that it compiles."""

import types

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies import registry, scoring

WORDS, BATCH, BPTT = 7, 2, 4
SEED = tf.constant([3, 5])


def step_of(name):
    """The step of the strategy `name`; its network has 3 units and 2 nodes."""
    strategy = registry.named_strategy(name)
    settings = types.SimpleNamespace(
        windows=WindowOptions(batch_size=BATCH, bptt=BPTT),
        weights=WeightOptions(lr=0.5),
        scalars=ScalarOptions(),
    )
    model = LanguageModel(WORDS, strategy.cell(CellOptions(units=3, nodes=2, norm="mean")), ModelOptions())
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


@pytest.mark.parametrize("name", registry.NAMES)
def test_no_variable_is_int32_for_tensorflow_places_those_on_the_cpu(name):
    found = variables(step_of(name))
    assert len(found) > 5
    assert "int32" not in {tf.as_dtype(variable.dtype).name for variable in found}


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


# the others are tested in test_search_step, or part of these
@pytest.mark.parametrize("name", ["darts2", "random_ws", "enas"])
def test_a_step_is_the_same_eager_as_a_graph_and_under_xla(name):
    random, ended = np.random.default_rng(2), []
    x, y = (tf.constant(random.integers(0, WORDS, size=(BATCH, BPTT)).astype(np.int32)) for _ in range(2))
    for compiled in (lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)):
        step = step_of(name)
        run = compiled(step.__call__)
        for number, length in enumerate((BPTT, BPTT - 1)):
            run(x, y, tf.constant(length), tf.constant(0.5), SEED + number)
        ended.append([tf.convert_to_tensor(variable).numpy() for variable in variables(step)])
    for other in ended[1:]:
        for left, right in zip(ended[0], other, strict=True):
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
