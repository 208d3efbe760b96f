import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import Masks
from bayesnas_tf.space.highway import programs, topology
from tests.references import cell as reference
from tests.support.small import BATCH, NODES, STEPS, UNITS, WORDS, small_model, small_window

NORMS = ("batch", "layer", "none", "mean")
SHARINGS = ("node", "edge", "edge_op")
FORMS = [
    *({"norm": norm, "weight_sharing": sharing} for norm in NORMS for sharing in SHARINGS),
    *({"norm": norm, "norm_learnable": True, "zero_edge_switch": True} for norm in ("batch", "layer")),
    {"norm": "mean", "weight_sharing": "edge_op", "zero_edge_switch": True, "nodes": 3},
]


def drawn(random, *shape):
    return 2.0 * random.integers(0, 2, size=shape)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_over_time_the_cell_equals_the_twin_in_both_layers(form):
    random = np.random.default_rng(2)
    cell = small_model(**form).cell
    x, h = random.normal(size=(BATCH, STEPS, UNITS)), random.normal(size=(BATCH, UNITS))
    input_mask, hidden_mask = drawn(random, 2, BATCH, UNITS)
    twin = reference.copy_of(cell)
    expected = reference.run(twin, x, h, input_mask=input_mask, hidden_mask=hidden_mask)
    rnn = cell.over_time("float64")
    of_window = masks.CellMasks(tf.constant(input_mask), tf.constant(hidden_mask))
    actual, state = rnn.window(cell.read(of_window), tf.constant(x), tf.constant(h), STEPS)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(state, actual[:, -1])
    expected = reference.run(twin, x, h)
    for layer in (rnn, keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype="float64")):
        actual, state = layer(tf.constant(x), initial_state=[tf.constant(h)])
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(state, actual[:, -1])


def nodes_of(cell):
    return [programs.node(k) for k in range(cell.options.nodes + 1)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_node_values_of_all_steps_at_once_equal_those_of_each_step(form):
    random = np.random.default_rng(3)
    cell = small_model(**form).cell
    x, h = random.normal(size=(2, STEPS, BATCH, UNITS))
    projected = tf.constant(x @ cell.kernel.numpy())
    at_once = cell.read().run(projected, [tf.constant(h)], nodes_of(cell))
    for t in range(STEPS):
        _, expected, _ = reference.step(reference.copy_of(cell), x[t], h[t])
        for actual, value in zip(at_once, expected, strict=True):
            np.testing.assert_allclose(actual[t], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_the_language_model_and_its_loss_equal_the_twin(norm):
    random = np.random.default_rng(4)
    model = small_model(norm=norm)
    x, y, state = small_window()
    words, embeddings = drawn(random, WORDS, 1), drawn(random, BATCH, 1, UNITS)
    outputs, inputs, hidden_mask = (
        drawn(random, *shape) for shape in ((BATCH, 1, UNITS), *[(BATCH, UNITS)] * 2)
    )
    of_cell = masks.CellMasks(tf.constant(inputs), tf.constant(hidden_mask))
    model_masks = Masks(*map(tf.constant, (words, embeddings, outputs)), of_cell)
    hidden = model.hidden(x, state, model_masks)
    logits = model.decode(hidden, model_masks)

    twin = reference.copy_of(model.cell, model)
    embedded = (words * twin.embedding)[x.numpy()] * embeddings
    expected = reference.run(twin, embedded, state.numpy(), input_mask=inputs, hidden_mask=hidden_mask)
    z = reference.logits(twin, expected * outputs)
    np.testing.assert_allclose(hidden, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(logits, z, rtol=1e-10, atol=1e-12)

    omega = random.uniform(size=twin.scalars.shape)
    weights = [twin.kernel, twin.embedding]
    nats = losses.mean_nats(losses.token_nats(logits, y), STEPS)
    l1 = tf.reduce_sum(tf.abs(omega * model.cell.scalars))
    actual = nats + 0.3 * losses.temporal_activation(hidden, STEPS)
    l2 = tf.add_n([tf.reduce_sum(tf.square(weight)) for weight in (model.cell.kernel, model.embedding)])
    actual += 0.1 * l2 + 0.17 / 35 * l1
    settings = {"activation": 0.3, "decay": 0.1, "lambda_w": 0.17, "bptt": 35}
    mean = reference.token_nats(z, y.numpy()).mean()
    wanted = reference.loss(mean, expected, weights, twin.scalars, omega, **settings)
    np.testing.assert_allclose(actual, wanted, rtol=1e-12)


def test_padding_at_the_end_of_a_window_counts_nowhere():
    random = np.random.default_rng(5)
    nats, hidden = random.normal(size=(BATCH, STEPS + 2)), random.normal(size=(BATCH, STEPS + 2, UNITS))
    np.testing.assert_allclose(losses.mean_nats(tf.constant(nats), STEPS), nats[:, :STEPS].mean())
    np.testing.assert_allclose(
        losses.temporal_activation(tf.constant(hidden), STEPS),
        losses.temporal_activation(tf.constant(hidden[:, :STEPS]), STEPS),
    )


@pytest.mark.parametrize("sharing", ["node", "edge_op"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_gradient_through_time_equals_the_complex_step(norm, sharing):
    learnable = norm in ("batch", "layer")
    model = small_model(
        norm=norm, weight_sharing=sharing, norm_learnable=learnable, zero_edge_switch=sharing == "edge_op"
    )
    x, y, state = small_window()
    twin = reference.copy_of(model.cell, model)
    f = lambda cell: reference.nats(cell, x.numpy(), y.numpy(), state.numpy())  # noqa: E731
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(losses.token_nats(model(x, state)[0], y))
    gradients = tape.gradient(loss, variables)
    random = np.random.default_rng(6)
    for variable, gradient in zip(variables, gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        name, index = variable.name, None
        if name.startswith("node_kernel_"):
            name, index = "node_kernels", int(name.rsplit("_", 1)[1]) - 1
        if name in ("scalars", "zero_scalars"):
            expected = reference.each_entry(twin, name, f)
            np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-9, atol=1e-12)
        for _ in range(2):
            direction = random.normal(size=gradient.shape)
            expected = reference.derivative(twin, name, direction, f, index)
            np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_equals_central_differences_of_the_same_graph(norm):
    model = small_model(norm=norm)
    x, y, state = small_window()
    loss = lambda: tf.reduce_mean(losses.token_nats(model(x, state)[0], y))  # noqa: E731
    with tf.GradientTape() as tape:
        value = loss()
    scalars, step = model.cell.scalars, 1e-6
    gradient, before = tape.gradient(value, scalars.value), scalars.numpy()
    direction = np.random.default_rng(8).normal(size=before.shape)
    sides = []
    for sign in (1.0, -1.0):
        scalars.assign(before + sign * step * direction)
        sides.append(float(loss()))
    np.testing.assert_allclose(np.sum(gradient * direction), (sides[0] - sides[1]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_lets_examples_feel_each_other(norm):
    random = np.random.default_rng(9)
    model = small_model(norm=norm)
    x, _, state = small_window()
    changed = state.numpy()
    changed[0] += random.normal(size=UNITS)
    before, after = model.hidden(x, state).numpy(), model.hidden(x, tf.constant(changed)).numpy()
    assert np.any(before[0] != after[0])
    assert np.array_equal(before[1:], after[1:]) == (norm != "batch")


def test_batch_norm_takes_the_statistics_of_each_time_step_over_the_batch():
    random = np.random.default_rng(10)
    cell = small_model(norm="batch").cell
    x, h = (tf.constant(random.normal(size=(STEPS, 64, k * UNITS))) for k in (2, 1))
    values = cell.read().run(x, [h], nodes_of(cell))
    for value in values:
        np.testing.assert_allclose(value.numpy().mean(axis=1), 0.0, atol=1e-12)
        np.testing.assert_allclose(value.numpy().var(axis=1), 1.0, rtol=1e-2)


def test_the_scalars_of_one_node_have_no_scale_under_batch_norm():
    model = small_model(norm="batch", scale=2.0)
    x, _, state = small_window()
    before = model.hidden(x, state)
    w = model.cell.scalars.numpy()
    w[topology.incoming(2)] *= 3.0
    model.cell.scalars.assign(w)
    np.testing.assert_allclose(model.hidden(x, state), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_parameters_are_those_of_the_sharing(sharing):
    model = small_model(weight_sharing=sharing)
    edges = topology.edge_count(NODES)
    kernels = {"node": NODES, "edge": edges, "edge_op": 4 * edges}[sharing]
    decoder = WORDS * UNITS + WORDS
    assert model.count_params() == decoder + (2 * UNITS) ** 2 + kernels * 2 * UNITS**2 + 4 * edges


def test_scalars_and_switches_are_born_as_ones():
    cell = SearchCell(CellOptions(units=UNITS, nodes=NODES, zero_edge_switch=True))
    cell.build((None, UNITS))
    np.testing.assert_array_equal(cell.scalars, np.ones((3, 4)))
    np.testing.assert_array_equal(cell.zero_scalars, np.ones(3))


def test_keras_rebuilds_the_cell_from_its_options():
    options = CellOptions(units=UNITS, nodes=3, norm="layer", norm_learnable=True, hidden_dropout=0.25)
    config = SearchCell(options, name="cell").get_config()
    again = SearchCell.from_config(config)
    assert (again.options, again.name) == (options, "cell")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": 0}, "units=0"),
        ({"nodes": 0}, "nodes=0"),
        ({"norm": "bach"}, r"CellOptions\.norm='bach'"),
        ({"weight_sharing": "all"}, r"CellOptions\.weight_sharing='all'"),
        ({"hidden_dropout": 1.0}, r"CellOptions\.hidden_dropout=1"),
        *(({"init_range": value}, r"CellOptions\.init_range=") for value in (-1.0, 0.0, math.inf, math.nan)),
        ({"norm": "mean", "norm_learnable": True}, "norm_learnable=True needs the norm"),
    ],
)
def test_impossible_options_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CellOptions(), **wrong)
