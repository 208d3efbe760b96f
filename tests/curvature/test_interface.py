import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bayesnas_tf.curvature import ggn, interface
from bayesnas_tf.curvature.interface import ESTIMATORS, CurvatureOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.numerics.replicas import Replicas
from tests.references import cell as cell_reference
from tests.references import curvature as reference
from tests.support.small import BATCH, small_model, small_window

SEED = seeds.run_seed(5)
NAMES = sorted(ESTIMATORS)
GROUPS = Execution(replicas=Replicas(groups=BATCH))


def diagonal(model, dtype="float64", windows=2, of=1, **options):
    x, y, state = small_window(dtype)
    chosen = CurvatureOptions(windows=of, **options)
    return interface.diagonal(model, [(x, y)] * windows, state, chosen, SEED)


def test_a_window_is_compiled_once_for_all_updates():
    model, (x, y, state), options = small_model(), small_window("float64"), CurvatureOptions(windows=1)
    estimate = interface.Diagonal(model, options)
    for update in range(3):
        estimate([(x, y)], state, seeds.fold(SEED, update))
    assert estimate.window.experimental_get_tracing_count() == 1


def test_every_estimator_can_be_chosen_and_has_its_tests():
    assert set(ESTIMATORS) == set(get_args(interface.Estimator))
    for name in ESTIMATORS:
        tests = Path(__file__).with_name(f"test_{name}.py")
        assert tests.is_file(), f"estimator {name!r} needs {tests.name}"
        assert f"{name}.estimate(" in tests.read_text(), f"{tests.name} never calls {name}.estimate"


@pytest.mark.parametrize("form", [{"norm": "batch"}, {"norm": "mean", "zero_edge_switch": True}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_returns_the_gradient_and_the_state_of_the_plain_forward(name, form):
    model = small_model(**form)
    x, y, state = small_window()
    actual = ESTIMATORS[name](model, x, y, state, SEED, CurvatureOptions(name))
    twin = cell_reference.copy_of(model.cell, model)
    expected = reference.gradient(twin, x.numpy(), y.numpy(), state.numpy())
    np.testing.assert_allclose(actual.state, model(x, state)[1], rtol=1e-12)
    np.testing.assert_allclose(actual.gradient, expected.h, rtol=1e-9, atol=1e-12)
    if expected.h_zero is not None:
        np.testing.assert_allclose(actual.gradient_zero, expected.h_zero, rtol=1e-9, atol=1e-12)
    assert (actual.gradient_zero is None) == (actual.h_zero is None) == (model.cell.zero_scalars is None)


# under XLA: tests/training/test_xla.py
@pytest.mark.parametrize("name", NAMES)
def test_a_float32_window_is_traced_once_and_agrees_with_eager_float64(name, monkeypatch):
    form = {"norm": "mean", "scale": 0.3, "zero_edge_switch": True}
    model, (x, y, state), estimator, traces = small_model(**form), small_window(), ESTIMATORS[name], []
    options = CurvatureOptions(estimator=name, d_term=True)
    rows = []
    for k in range(3):
        row = estimator(model, x, y, state, seeds.fold(SEED, k), options)
        state = row.state
        rows.append(row[:4])

    def counted(*arguments):
        traces.append(name)
        return estimator(*arguments)

    monkeypatch.setitem(ESTIMATORS, name, counted)
    small = small_model("float32", **form)
    actual = diagonal(small, "float32", 3, estimator=name, d_term=True)
    assert traces == [name]
    for got, want in zip(actual[:4], zip(*rows, strict=True), strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_rows_change_no_estimate(name):
    models = (small_model(execution=groups, norm="mean", zero_edge_switch=True) for groups in (GRAPH, GROUPS))
    whole, parts = (diagonal(model, estimator=name) for model in models)
    for found, expected in zip(parts, whole, strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_only_ggn_takes_groups_its_pilot_too(monkeypatch):
    model, asked, others = small_model(execution=GROUPS, norm="mean"), [], []
    of_groups = ggn.of_groups
    monkeypatch.setattr(ggn, "of_groups", lambda n: lambda *given: asked.append(n) or of_groups(n)(*given))
    names = ("ggn", "recursive")  # the others take minutes to trace, and go the way of "recursive"
    for name in names:
        own = ESTIMATORS[name]
        monkeypatch.setitem(
            ESTIMATORS, name, lambda *given, own=own, name=name: others.append(name) or own(*given)
        )
        diagonal(model, estimator=name)
    diagonal(model, estimator="ggn", target_error=0.5)
    assert asked == [BATCH] * 3  # the second time also for the number of probes
    assert others == ["recursive"]


def test_the_state_is_carried_and_each_window_has_its_own_seed():
    model = small_model()
    x, y, state = small_window()
    whole = diagonal(model, windows=3, estimator="ggn")
    _, after = model(x, state)
    for k in range(2):
        seed = seeds.fold(SEED, k)
        options = CurvatureOptions(estimator="ggn")
        expected = ESTIMATORS["ggn"](model, x, y, state if k == 0 else after, seed, options)
        np.testing.assert_allclose(whole.h[k], expected.h, rtol=1e-9)
        np.testing.assert_allclose(whole.gradient[k], expected.gradient, rtol=1e-9)
    assert whole.h.shape == (3, *model.cell.scalars.shape)
    assert whole.h_zero is None
    assert whole.gradient_zero is None


@pytest.mark.parametrize(
    ("option", "value"), [("estimator", "fisher"), ("windows", 0), ("probes", 0), ("tau", 0)]
)
def test_impossible_options_are_refused_by_name(option, value):
    with pytest.raises(ValueError, match=rf"CurvatureOptions\.{option}="):
        dataclasses.replace(CurvatureOptions(), **{option: value})


@pytest.mark.parametrize(("windows", "warnings"), [(1, 1), (2, 0)])
def test_fewer_windows_than_asked_for_are_said(windows, warnings, caplog):
    diagonal(small_model(), windows=windows, of=2, estimator="ggn", probes=1)
    assert len(caplog.messages) == warnings
    assert all("over 1 windows, not over CurvatureOptions.windows = 2" in text for text in caplog.messages)


def test_a_wanted_error_is_met_by_more_probes_and_told():
    model = small_model(norm="mean")
    few = diagonal(model, windows=2, of=2, estimator="ggn", probes=2)
    many = diagonal(model, windows=2, of=2, estimator="ggn", probes=2, target_error=0.25)
    assert (few.probes, diagonal(model, estimator="thesis").standard_error()) == (2, None)
    assert 2 < many.probes < 64
    error = np.median(many.standard_error() / many.h.mean(axis=0))
    assert 0.1 < error < 0.45  # the pilot that chose the number is an estimate itself
    assert error < np.median(few.standard_error() / few.h.mean(axis=0))


def test_the_standard_error_is_that_of_the_mean_over_windows():
    variance = np.array([np.full((3, 4), 4.0), np.full((3, 4), 12.0)])
    estimate = interface.Estimate(variance, variance, None, None, variance, 2)
    np.testing.assert_allclose(estimate.standard_error(), 2.0)  # √(4 + 12) / 2


@pytest.mark.parametrize("wrong", [{"target_error": -0.1}, {"target_error": 0.1, "probes": 1}])
def test_an_error_that_cannot_be_told_is_refused(wrong):
    with pytest.raises(ValueError, match=r"CurvatureOptions\.target_error="):
        CurvatureOptions(**wrong)


def test_no_window_and_windows_of_two_shapes_are_refused():
    model, options = small_model(), CurvatureOptions(estimator="thesis")
    x, y, state = small_window()
    with pytest.raises(ValueError, match="no window"):
        interface.diagonal(model, [], state, options, SEED)
    with pytest.raises(ValueError, match="window 1 has x of shape"):
        interface.diagonal(model, [(x, y), (x[:, 1:], y[:, 1:])], state, options, SEED)
