"""The step of each strategy on a small network: where its variables lie, and that it compiles."""

import types

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies import registry

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
