import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from tests.references import baselines as reference

U, B, T, DEPTH = 4, 3, 5, 3


def layers(cell, name):
    return [getattr(cell, f"{name}_{k}") for k in range(cell.options.depth)]


def built():
    """A float64 cell under its layer over time, with large random weights, and the twin's weights."""
    cell, random = RhnOptions(units=U, depth=DEPTH).cell(dtype="float64"), np.random.default_rng(1)
    rnn = cell.over_time("float64")
    rnn.build((None, None, U))
    rnn.built = True
    for weight in cell.weights:
        weight.assign(random.normal(size=weight.shape))
    parts = zip(*(layers(cell, name) for name in ("kernel", "gate_bias", "bias")), strict=True)
    return rnn, random, cell.kernel.numpy(), [tuple(part.numpy() for part in layer) for layer in parts]


@pytest.mark.parametrize("masked", [False, True])
def test_a_window_equals_the_twin_with_one_mask_for_all_steps_and_depths(masked):
    rnn, random, w, layers = built()
    x, s = random.normal(size=(B, T, U)), random.normal(size=(B, U))
    drawn = [2.0 * random.integers(0, 2, size=(B, U)) for _ in range(2)] if masked else [1.0, 1.0]
    step = lambda x, s: (reference.rhn_step(x, s, w, layers, *drawn),)  # noqa: E731
    expected, history = reference.run(step, x, (s,))
    given = masks.CellMasks(*map(tf.constant, drawn)) if masked else None
    outputs, after = rnn.window(rnn.cell.read(given), tf.constant(x), tf.constant(s), 2)
    np.testing.assert_allclose(outputs, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(after, history[1][0], rtol=1e-10, atol=1e-12)


def test_gates_begin_nearly_closed():
    cell = RhnOptions(units=U, depth=DEPTH, transform_bias=-4.0).cell()
    cell.build((None, U))
    for gate_bias, bias in zip(*(layers(cell, name) for name in ("gate_bias", "bias")), strict=True):
        np.testing.assert_array_equal(gate_bias, np.full(U, -4.0))
        assert (bias, 0.04) in [(weight, limit) for weight, limit in cell.ranges() if weight is bias]


@pytest.mark.parametrize(
    ("name", "value"),
    [("units", 0), ("depth", 0), ("input_dropout", 1.0), ("init_range", 0.0), ("transform_bias", np.inf)],
)
def test_impossible_options_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"RhnOptions\.{name}="):
        RhnOptions(**{name: value})
