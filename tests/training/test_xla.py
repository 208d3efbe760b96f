"""What XLA compiles, as on a GPU by default, gives the numbers of eager execution: every case there is.

The cases are those of `python -m tools.gpu_check`. Here both sides run on the CPU, in float64.
"""

import contextlib
import importlib
import pkgutil
import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesnas_tf.cells
from bayesnas_tf.cells import norms
from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.recurrent import RecurrentLayer
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.search_cell import SearchCell, Sharing
from bayesnas_tf.curvature import weights
from bayesnas_tf.curvature.interface import ESTIMATORS, CurvatureOptions, Truncation
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import products
from bayesnas_tf.space import base
from bayesnas_tf.training.evaluate_settings import Baseline
from bayesnas_tf.training.settings import Rule
from bayesnas_tf.training.strategies import registry
from tools.gpu_check import cases, compare


@pytest.fixture(scope="module", autouse=True)
def _in_float64():
    """Models of this module are in float64."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@contextlib.contextmanager
def eagerly():
    """Nothing is compiled: of one small window, tracing takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "window_function", lambda function, *_: function)
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)


COMPILED = [name for name, case in cases.CASES.items() if case.form == "xla"]


@pytest.mark.parametrize("name", COMPILED)
def test_xla_gives_the_numbers_of_eager_execution(name):
    case = cases.CASES[name]
    first, second = case.build("graph"), case.build("xla")
    for values in zip(cases.values(first.variables), cases.values(second.variables), strict=True):
        np.testing.assert_array_equal(*values)  # a case is the same whenever it is built
    with eagerly():
        wanted = first.compute()
    found = second.compute()
    for kind, arrays in wanted.items():  # what is compared is felt
        assert max(np.abs(array).max() for array in arrays if array.size) > 1e-4, kind
    entry = compare.compared(name, "xla", found, wanted)
    assert entry.passed, entry


def subclasses(of: type) -> set[type]:
    """All that the package has, at any depth."""
    for module in pkgutil.walk_packages(bayesnas_tf.cells.__path__, "bayesnas_tf.cells."):
        importlib.import_module(module.name)
    below = {cls for child in of.__subclasses__() for cls in ({child} | subclasses(child))}
    return {cls for cls in below if cls.__module__.startswith("bayesnas_tf.")}


@pytest.fixture(scope="module")
def subjects():
    """All that are compiled, built."""
    return [cases.CASES[name].build("graph") for name in COMPILED]


def test_every_cell_layer_and_head_has_a_case(subjects):
    cells = [subject.model.cell for subject in subjects]
    met = {type(cell) for cell in cells} | {
        type(layer) for cell in cells for layer in getattr(cell, "layers", [])
    }
    assert subclasses(ProgramCell) | subclasses(RecurrentLayer) <= met
    heads = set(typing.get_args(typing.get_type_hints(LanguageModel.__init__)["head"])) - {type(None)}
    assert heads == {type(subject.model.head) for subject in subjects}


def test_every_norm_sharing_and_space_has_a_case(subjects):
    options = [cell.options for cell in (s.model.cell for s in subjects) if type(cell) is SearchCell]
    assert {option.norm for option in options} == set(typing.get_args(norms.Norm))
    assert {option.weight_sharing for option in options} == set(typing.get_args(Sharing))
    for name in ("norm_learnable", "zero_edge_switch"):
        assert {getattr(option, name) for option in options} == {False, True}
    spaces = {name: space for name, space in base._KNOWN.items() if issubclass(space, base.Space)}
    ours = {name for name, space in spaces.items() if space.__module__.startswith("bayesnas_tf.")}
    assert {option.space for option in options} == ours


def test_every_strategy_rule_and_baseline_has_a_case(subjects):
    met = [thing for subject in subjects for thing in subject.of]
    assert {*registry.NAMES, *typing.get_args(Rule)} <= {thing for thing in met if isinstance(thing, str)}
    assert set(typing.get_args(Baseline)) <= {type(thing) for thing in met}
    lstm = [thing for thing in met if isinstance(thing, LstmOptions)]
    for name in ("capped", "skip", "two_biases"):
        assert {getattr(options, name) for options in lstm} == {False, True}
    assert {subject.model.options.matmul_dtype for subject in subjects} == set(
        typing.get_args(products.MatmulDtype)
    )


def test_every_estimator_has_a_case_in_each_of_its_forms(subjects):
    of = [subject.of for subject in subjects if subject.of and type(subject.of[-1]) is CurvatureOptions]
    assert {options.estimator for mark, options in (o for o in of if len(o) == 2)} == set(weights.ESTIMATORS)
    forms = {name: [o[0] for o in of if len(o) == 1 and o[0].estimator == name] for name in ESTIMATORS}
    assert all(forms.values())
    assert {options.probes == 1 for options in forms["ggn"]} == {False, True}
    assert {options.truncation for options in forms["recursive"]} == set(typing.get_args(Truncation))
    assert {options.tau == 0 for options in forms["recursive"]} == {False, True}
    for name in ("recursive", "thesis"):
        assert {options.d_term for options in forms[name]} == {False, True}
