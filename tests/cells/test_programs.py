"""Programs against their twin in NumPy and Keras' LSTM and GRU; their lanes against exact curvature."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.scan import by_time
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.cells.staged.values import Given
from bayesnas_tf.cells.staged.window import staged_window
from bayesnas_tf.curvature import weights as of_weights
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space import known
from bayesnas_tf.space.program import PROJECT, Op, Program, Weight, before
from tests.references import program as reference
from tests.support.small import STEPS, small_window

B, U, T, WORDS = 3, 4, 5, 7


def gates(count, names, functions):
    """The parts of `pre`, each through its function."""
    ops = []
    for k, (name, function) in enumerate(zip(names, functions, strict=True)):
        ops += [Op("part", f"{name}_", ("pre",), (k, count)), Op("apply", name, (f"{name}_",), (function,))]
    return ops


LSTM = Program(
    4,
    (Weight("recurrent_kernel", (1, 4)),),
    (
        Op(PROJECT, "hU", (before("h"), "recurrent_kernel")),
        Op("plus", "pre", ("x", "hU")),
        *gates(4, "ifgo", ("sigmoid", "sigmoid", "tanh", "sigmoid")),
        Op("times", "fc", ("f", before("c"))),
        Op("times", "ig", ("i", "g")),
        Op("plus", "c", ("fc", "ig")),
        Op("apply", "tc", ("c",), ("tanh",)),
        Op("times", "h", ("o", "tc")),
    ),
    state=("h", "c"),
)
# reset after the product, as Keras' default
GRU = Program(
    3,
    (Weight("recurrent_kernel", (1, 3)),),
    (
        Op(PROJECT, "hU", (before("h"), "recurrent_kernel")),
        *(Op("part", f"x{k}", ("x",), (k, 3)) for k in range(3)),
        *(Op("part", f"h{k}", ("hU",), (k, 3)) for k in range(3)),
        Op("plus", "z_", ("x0", "h0")),
        Op("plus", "r_", ("x1", "h1")),
        Op("apply", "z", ("z_",), ("sigmoid",)),
        Op("apply", "r", ("r_",), ("sigmoid",)),
        Op("times", "rh", ("r", "h2")),
        Op("plus", "n_", ("x2", "rh")),
        Op("apply", "n", ("n_",), ("tanh",)),
        Op("times", "zh", ("z", before("h"))),
        Op("one_minus", "u", ("z",)),
        Op("times", "un", ("u", "n")),
        Op("plus", "h", ("zh", "un")),
    ),
)
KERAS = {"use_bias": False, "return_sequences": True, "return_state": True, "dtype": "float64"}
LAYERS = {"LSTM": (LSTM, keras.layers.LSTM), "GRU": (GRU, keras.layers.GRU)}


class Plain(ProgramCell):
    """A cell that is its program."""

    def staged_program(self):
        return self.program


def built(cell, seed=0):
    """The cell with random weights."""
    cell.build((B, U))
    cell.built = True
    draw = np.random.default_rng(seed)
    for weight in cell.weights:
        weight.assign(0.5 * draw.normal(size=weight.shape))
    return cell


def twin_of(cell):
    """Weights and constants in NumPy."""
    return {name: np.asarray(value) for name, value in cell.read().fixed.items()}


CELLS = {
    **{
        name: lambda n=name: DerivedCell(known.named(n), DerivedOptions(U), dtype="float64")
        for name in known.NAMES
    },
    **{
        f"{norm} {sharing}": lambda n=norm, s=sharing: SearchCell(CellOptions(U, 3, s, n), dtype="float64")
        for norm in ("batch", "layer", "none", "mean")
        for sharing in ("node", "edge", "edge_op")
    },
    "learnt": lambda: SearchCell(CellOptions(U, 2, norm="layer", norm_learnable=True), dtype="float64"),
    "switched": lambda: SearchCell(CellOptions(U, 2, norm="mean", zero_edge_switch=True), dtype="float64"),
    "sampled": lambda: SampledCell(CellOptions(U, 3, norm="layer"), dtype="float64"),
    "LSTM": lambda: Plain(U, LSTM, 0.1, dtype="float64"),
    "GRU": lambda: Plain(U, GRU, 0.1, dtype="float64"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_equals_the_numpy_interpreter(name):
    cell, draw = built(CELLS[name]()), np.random.default_rng(1)
    if name == "sampled":
        cell.choose(cell.space.slots - 1)
    projected = draw.normal(size=(B, T, cell.kernel.shape[1]))
    states = [draw.normal(size=(B, U)) for _ in cell.program.state]
    expected, last = reference.window(cell.program, twin_of(cell), projected.transpose(1, 0, 2), states)
    found = by_time(cell.read(), tf.constant(projected), [tf.constant(s) for s in states])
    np.testing.assert_allclose(found[cell.program.output], expected, rtol=1e-11, atol=1e-13)
    for state, value in zip(cell.program.state, last, strict=True):
        np.testing.assert_allclose(found[state][-1], value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
def test_lstm_and_gru_are_keras_layers(name):
    program, kind = LAYERS[name]
    layer, draw = kind(U, **KERAS), np.random.default_rng(2)
    x, states = draw.normal(size=(B, T, U)), [tf.constant(draw.normal(size=(B, U))) for _ in program.state]
    expected, *last = layer(tf.constant(x), initial_state=states)
    cell = built(Plain(U, program, 0.1, dtype="float64"))
    cell.kernel.assign(layer.cell.kernel)
    cell.recurrent_kernel.assign(layer.cell.recurrent_kernel)
    outputs, after = cell.over_time("float64").window(
        cell.read(), tf.constant(x), tf.concat(states, axis=1), T
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(after, tf.concat(last, axis=1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LAYERS)
def test_as_keras_cells_they_carry_a_list_of_states(name):
    program = LAYERS[name][0]
    cell = built(Plain(U, program, 0.1, dtype="float64"))
    x = tf.constant(np.random.default_rng(3).normal(size=(B, T, U)))
    outputs, *states = keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype="float64")(x)
    zeros = tf.zeros([B, cell.state_width], tf.float64)
    expected, after = cell.over_time("float64").window(cell.read(), x, zeros, T)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    np.testing.assert_allclose(tf.concat(states, axis=1), after, rtol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("masked", [False, True])
def test_their_staged_form_has_the_same_values_and_gradients(name, masked):
    program = LAYERS[name][0]
    cell, draw = built(Plain(U, program, 0.1, dtype="float64")), np.random.default_rng(4)
    projected = tf.constant(draw.normal(size=(T, B, cell.kernel.shape[1])))
    states = [tf.constant(draw.normal(size=(B, U))) for _ in program.state]
    mask = tf.constant(2.0 * draw.integers(0, 2, size=(B, U))) if masked else None
    upstream = [tf.constant(draw.normal(size=(T, B, U))) for _ in program.ends]
    used = [projected, *states, cell.recurrent_kernel.value]

    def of(window):
        with tf.GradientTape() as tape:
            tape.watch(used)
            found = window()
        return [*found, *tape.gradient(found, used, upstream)]

    def plain():
        reading = cell.read(masks.CellMasks(None, mask))
        found = by_time(reading, tf.transpose(projected, [1, 0, 2]), states)
        return [found[end] for end in program.ends]

    def staged():
        given = Given.of(program, projected, states, cell.read().fixed)
        return staged_window(program, given, Arithmetic(mask, compiled=False))

    for found, expected in zip(of(staged), of(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def model_of(name):
    """A language model of the cell of that name."""
    cell = Plain(U, LAYERS[name][0], 0.1, dtype="float64")
    model = LanguageModel(WORDS, cell, ModelOptions(), dtype="float64")
    draw = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(0.5 * draw.normal(size=weight.shape))
    return model


def exact_ggn(model, x, y, state, variable):
    """The diagonal of the Gauss-Newton matrix in one weight, from the whole Jacobian of the logits."""
    with tf.GradientTape(persistent=True) as tape:
        logits = model.decode(model.hidden(x, state))
    change = tape.jacobian(logits, variable.value, experimental_use_pfor=False)
    p = tf.nn.softmax(logits)[(..., *[tf.newaxis] * len(variable.shape))]
    second = tf.reduce_sum(p * tf.square(change), axis=2)
    return tf.reduce_mean(second - tf.square(tf.reduce_sum(p * change, axis=2)), axis=[0, 1])


@pytest.mark.parametrize("name", LAYERS)
def test_lanes_of_random_probes_are_the_exact_gauss_newton_matrix_on_average(name):
    model, (x, y, _) = model_of(name), small_window()
    state = model.zero_state(x.shape[0]) + 0.3
    exact = exact_ggn(model, x, y, state, model.cell.recurrent_kernel)
    options = CurvatureOptions(probes=15)
    estimate = tf.function(
        lambda seed: of_weights.estimate(model, x, y, state, seed, options).weights[3], autograph=False
    )
    found = np.mean([estimate(seeds.fold(seeds.run_seed(3), number)) for number in range(40)], axis=0)
    error = np.abs(found - exact) / np.abs(exact)
    assert np.median(error) < 0.08  # the standard error of 600 probes over 3 sequences is about 4 %


@pytest.mark.parametrize("name", LAYERS)
def test_diagonal_lanes_through_one_step_equal_finite_differences(name):
    """With one step and one unit in the way nothing is off the diagonal but what rules drop alike."""
    model, (x, y, _) = model_of(name), small_window()
    state = model.zero_state(x.shape[0])  # from zero the recurrent kernel has no part
    options = CurvatureOptions(estimator="recursive", tau=0, d_term=True)
    found = of_weights.estimate(model, x[:, :1], y[:, :1], state, seeds.run_seed(0), options)
    assert found.state.shape == (x.shape[0], model.cell.state_width)
    decoder_bias = model.decoder_bias

    def loss():
        return tf.reduce_mean(losses.token_nats(model.decode(model.hidden(x[:, :1], state)), y[:, :1]))

    step, start = 1e-3, decoder_bias.numpy()
    for k in range(WORDS):
        at = []
        for sign in (-1, 0, 1):
            decoder_bias.assign(start + sign * step * np.eye(WORDS)[k])
            at.append(float(loss()))
        decoder_bias.assign(start)
        np.testing.assert_allclose(found.weights[1][k], (at[0] - 2 * at[1] + at[2]) / step**2, rtol=1e-4)


def test_windows_have_the_steps_of_the_small_model():
    assert STEPS >= 2  # so that lanes cross time
