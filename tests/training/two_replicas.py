"""Steps of two replicas on two logical CPUs against those of one: a script, it needs a fresh TensorFlow."""

import functools
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.heads import Mixture, MixtureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.checkpoints import Checkpoints
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import Machine, decide, replicas, window_function
from bayesnas_tf.training.settings import OptimizerOptions, ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep

U, V, B, BPTT = 3, 7, 4, 5
WINDOWS = WindowOptions(batch_size=B, bptt=BPTT)
WEIGHTS = WeightOptions(lr=2.0, weight_decay=1e-2, temporal_activation=0.2, activation=0.1)
DROPOUT = {"input_dropout": 0.3, "hidden_dropout": 0.3}
MODEL = ModelOptions(word_dropout=0.2, embedding_dropout=0.2, output_dropout=0.3, embedding_range=0.7)


def search_cell():
    return SearchCell(CellOptions(units=U, nodes=2, norm="mean", **DROPOUT), dtype="float64")


def derived_cell():
    return DerivedCell(published.parse("tanh0 relu1 relu1", (), "c", "test"), DerivedOptions(U, **DROPOUT))


def lstm():
    rates = {"between_dropout": 0.2, "state_dropout": 0.2, "weight_dropout": 0.4}
    return LstmOptions(embedding=U, widths=(U, U), **rates).cell(dtype="float64")


def search_step(model):
    return SearchStep(model, WINDOWS, WEIGHTS, ScalarOptions(lr=0.3))


def averaging_step(model):
    step = EvaluateStep(model, WINDOWS, WEIGHTS)
    step.optimizer.start_averaging()
    return step


def adam_step(model):
    return EvaluateStep(model, WINDOWS, WEIGHTS, rule=OptimizerOptions(rule="adam"))


# cell, head, step, how it is compiled, tolerance
FORMS = {
    "search": (search_cell, None, search_step, "graph", 1e-12),
    "search, XLA": (search_cell, None, search_step, "xla", 1e-12),
    "search, stages": (search_cell, None, search_step, "stages", 1e-12),
    "averaged": (derived_cell, None, averaging_step, "stages", 1e-5),
    "LSTM, mixture, Adam": (lstm, MixtureOptions(2, 0.2), adam_step, "graph", 1e-12),
}


def trained(sharing, cell, head, make, mode):
    """The step after two windows."""
    settings = types.SimpleNamespace(compile=mode, windows=WINDOWS)
    execution = decide(settings, Machine(), (V, U), sharing)
    with sharing.scope():
        cell = cell()
        head = Mixture(head, dtype=cell.dtype) if head else None
        model = LanguageModel(V, cell, MODEL, head, execution, dtype=cell.dtype)
    model.initialise(seeds.run_seed(0))
    step = make(model)
    run = window_function(step, B, execution.xla, whole=sharing.count == 1)
    for number in range(2):
        ids = np.random.default_rng(number).integers(0, V, size=(B, BPTT + 1)).astype(np.int32)
        x, y = tf.constant(ids[:, :-1]), tf.constant(ids[:, 1:])
        length, lr = tf.constant(BPTT - number), tf.constant(2.0, step.state.dtype)
        run(x, y, length, lr, seeds.fold(seeds.run_seed(1), number))
    return step


def numbers(step):
    found = [*step.model.variables, step.state, *step.totals]
    if isinstance(step, SearchStep):
        return [v.numpy() for v in (*found, step.squared_gradient)]
    return [v.numpy() for v in (*found, *step.optimizer.variables)]


@functools.cache
def trained_alone(*form):
    """The step of one replica; how it is compiled changes less than the tolerance."""
    return trained(replicas("none", "search", B), *form, "graph")


def compare(name, two, folder):
    *form, mode, tolerance = FORMS[name]
    alone, shared = trained_alone(*form), trained(two, *form, mode)
    assert (alone.model.execution.replicas.count, two.count) == (1, 2)
    for left, right in zip(numbers(alone), numbers(shared), strict=True):
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance, err_msg=name)
    for copy in shared.model.embedding.value.values:  # both devices hold the new weights
        np.testing.assert_array_equal(copy.numpy(), shared.model.embedding.numpy())
    Checkpoints(folder / name, two, model=shared.model, step=shared).save()
    alone.model.embedding.assign(tf.zeros_like(alone.model.embedding))
    assert Checkpoints(folder / name, model=alone.model, step=alone).restore()
    for left, right in zip(numbers(alone), numbers(shared), strict=True):  # so `alone` is as it was
        np.testing.assert_array_equal(left, right, err_msg=name)


def refuse():
    with pytest.raises(UserError, match="batch_size=3 among 2 replicas"):
        replicas("mirrored", "search", 3)
    with pytest.raises(UserError, match="norm='batch'.*multi_worker"):
        replicas("mirrored", "search", B, "batch")


if __name__ == "__main__":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    refuse()
    # one, as in a command: TensorFlow's keys begin anew with each
    mirrored = replicas("mirrored", "search", B)
    for form in FORMS:
        compare(form, mirrored, Path(sys.argv[1]))
