"""How windows are computed follows from the settings and the machine, and from nothing else."""

import types

import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedOptions
from bayesnas_tf.models.language_model import ModelOptions
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.space import known
from bayesnas_tf.training import evaluate_settings
from bayesnas_tf.training.execution import STAGED_VALUES, Machine, begin, decide
from bayesnas_tf.training.settings import WindowOptions

CPU, GPU = Machine(), Machine(gpu=True)
WORDS, UNITS = 11, 5


def execution(mode, machine=CPU, rows=3, count=1):
    settings = types.SimpleNamespace(compile=mode, windows=WindowOptions(batch_size=rows))
    sharing = Replicas()
    sharing.count = count
    return decide(settings, machine, (WORDS, UNITS), sharing)


def staged(found):
    return found.cell, found.head, found.updates


@pytest.mark.parametrize("machine", [CPU, GPU])
def test_what_is_asked_for_is_done(machine):
    assert staged(execution("stages", machine)) == (True, True, True)
    assert staged(execution("graph", machine, 10**6)) == (False, False, False)
    assert execution("xla", machine).xla
    assert not execution("graph", machine).xla
    assert not execution("stages", machine).xla


def test_by_default_a_cpu_compiles_stages_from_a_size_on_and_a_gpu_whole_windows():
    enough = STAGED_VALUES // WORDS + 1
    assert staged(execution("auto", rows=enough - 1)) == (False, False, False)
    assert staged(execution("auto", rows=enough)) == (False, True, False)
    assert staged(execution("auto", rows=2 * enough, count=2)) == (False, True, False)
    assert staged(execution("auto", rows=2 * enough - 2, count=2)) == (False, False, False)
    assert staged(execution("auto", GPU, 10**6)) == (False, False, False)
    assert execution("auto", GPU).xla
    assert not execution("auto").xla


def test_kernels_in_blocks_are_for_a_cpu_and_fused_layers_for_a_gpu_without_xla():
    modes = ("auto", "graph", "stages", "xla")
    assert [execution(mode).blocks for mode in modes] == [True, False, True, True]
    assert not any(execution(mode, GPU).blocks for mode in modes)
    assert not any(execution(mode).fused for mode in modes)
    assert [execution(mode, GPU).fused for mode in modes] == [False, True, True, False]


def test_sums_keep_their_order_from_the_beginning():
    begin(types.SimpleNamespace(distribute="none", row_groups=1), CPU)
    assert not tf.config.optimizer.get_experimental_options()["arithmetic_optimization"]


@pytest.mark.parametrize("name", ["LSTM", "DARTS_V2"])
def test_a_form_is_chosen_for_the_units_that_a_budget_of_parameters_allows(name):
    cell = DerivedOptions(units=850, parameters=3000)
    settings = types.SimpleNamespace(baseline=None, cell=cell, spare_words=2, head=None, model=ModelOptions())
    genotype = known.named(name)
    model = evaluate_settings.build_model(settings, WORDS, genotype)
    assert evaluate_settings.units_of(settings, WORDS, genotype) == model.cell.units < 850
