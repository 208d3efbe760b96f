import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.scan import ProgramRNN
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import operations, published, topology
from bayesnas_tf.space.highway.programs import fed_by
from tests.references import derived as reference
from tests.support.sizes import parameter_count

U, B, T = 5, 3, 4

CELLS = {
    "chain": (("tanh", 0), ("relu", 1), ("sigmoid", 2), ("identity", 3)),
    "star": (("tanh", 0), ("tanh", 0), ("identity", 0)),
    "one node": (("relu", 0),),
    "mixed": (("sigmoid", 0), ("relu", 1), ("relu", 1), ("identity", 1), ("tanh", 2), ("sigmoid", 5)),
}


def genotype_of(cell, output=None):
    nodes = tuple(Node(source, op) for op, source in cell)
    return Genotype(nodes, output or tuple(range(1, len(nodes) + 1)))


def built(genotype, random, **options):
    """A float64 cell with large random weights, its W_0 and one kernel per node."""
    cell = DerivedCell(genotype, DerivedOptions(units=U, **options), dtype="float64")
    cell.build((None, U))
    cell.built = True
    for weight in cell.weights:
        weight.assign(random.normal(size=weight.shape))
    return cell, np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()]), node_kernels(cell)


def node_kernels(cell):
    """One [U, 2U] array per node from the kernels that the nodes of one source share."""
    kernels = {}
    for source, nodes in fed_by(cell.genotype).items():
        parts = np.split(cell.source_kernels[str(source)].numpy(), len(nodes), axis=1)
        kernels |= dict(zip(nodes, parts, strict=True))
    return [kernels[node] for node in sorted(kernels)]


@pytest.mark.parametrize("output", [None, (1,), (0, 1)])
@pytest.mark.parametrize("name", CELLS)
def test_a_step_equals_the_twin(name, output):
    genotype, random = genotype_of(CELLS[name], output), np.random.default_rng(1)
    cell, w_0, kernels = built(genotype, random)
    x, h = random.normal(size=(2, B, U))
    drawn = [2.0 * random.integers(0, 2, size=(B, U)) for _ in range(2)]
    reading = cell.read(masks.CellMasks(*map(tf.constant, drawn)))
    (masked,) = reading.step(reading.project_inputs(tf.constant(x)), tf.constant(h))
    actual, (state,) = cell(tf.constant(x), [tf.constant(h)])
    for found, by in ((masked, drawn), (actual, ())):
        expected = reference.step(x, h, w_0, kernels, genotype.nodes, genotype.output, *by)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(actual, state)


@pytest.mark.parametrize("sharing", ["node", "edge", "edge_op"])
@pytest.mark.parametrize("name", CELLS)
def test_a_search_cell_with_one_hot_scalars_and_no_norm_is_this_cell(name, sharing):
    genotype, random = genotype_of(CELLS[name]), np.random.default_rng(2)
    derived, w_0, kernels = built(genotype, random)
    options = CellOptions(units=U, nodes=len(genotype.nodes), norm="none", weight_sharing=sharing)
    search = SearchCell(options, dtype="float64")
    search.build((None, U))
    search.built = True
    search.kernel.assign(w_0[:U])
    search.recurrent_kernel.assign(w_0[U:])
    w = np.zeros(search.scalars.shape)
    for j, (node, kernel) in enumerate(zip(genotype.nodes, kernels, strict=True), start=1):
        w[topology.edge_index(node.source, j), operations.OP_NAMES.index(node.op)] = 1.0
        search.node_kernels[j - 1].assign(np.broadcast_to(kernel, search.node_kernels[j - 1].shape))
    search.scalars.assign(w)
    x, h = (tf.constant(a) for a in random.normal(size=(2, B, U)))
    np.testing.assert_allclose(derived(x, [h])[0], search(x, [h])[0], rtol=1e-12, atol=1e-12)


def test_nodes_with_one_source_share_one_weight():
    genotype = genotype_of(CELLS["mixed"])
    assert fed_by(genotype) == {0: (1,), 1: (2, 3, 4), 2: (5,), 5: (6,)}
    cell, _, _ = built(genotype, np.random.default_rng(3))
    shapes = {source: tuple(kernel.shape) for source, kernel in cell.source_kernels.items()}
    assert shapes == {"0": (U, 2 * U), "1": (U, 6 * U), "2": (U, 2 * U), "5": (U, 2 * U)}


def test_plain_and_projected_rnn_agree_over_time():
    random = np.random.default_rng(4)
    cell, w_0, kernels = built(genotype_of(CELLS["mixed"]), random)
    x, h = random.normal(size=(B, T, U)), random.normal(size=(B, U))
    expected = h
    for t in range(T):
        expected = reference.step(x[:, t], expected, w_0, kernels, cell.genotype.nodes, cell.genotype.output)
    plain = keras.layers.RNN(cell, dtype="float64")(tf.constant(x), initial_state=[tf.constant(h)])
    np.testing.assert_allclose(plain, expected, rtol=1e-11, atol=1e-11)
    projected = ProgramRNN(cell, dtype="float64")(tf.constant(x), initial_state=[tf.constant(h)])
    np.testing.assert_allclose(projected, expected, rtol=1e-11, atol=1e-11)


def test_keras_rebuilds_the_cell_alone_and_inside_a_saved_model(tmp_path):
    random = np.random.default_rng(5)
    options = DerivedOptions(units=U, hidden_dropout=0.25)
    cell = DerivedCell(genotype_of(CELLS["mixed"], (2, 6)), options, name="learned")
    again = DerivedCell.from_config(cell.get_config())
    assert (again.genotype, again.options, again.name) == (cell.genotype, options, "learned")
    model = keras.Sequential([keras.layers.Input((T, U)), keras.layers.RNN(cell)])
    model.save(tmp_path / "model.keras")
    x = random.normal(size=(B, T, U)).astype(np.float32)
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(x), model(x), rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_language_model_has_the_parameters_of_the_formula(cell):
    genotype, vocabulary = genotype_of(cell), 11
    model = LanguageModel(vocabulary, DerivedCell(genotype, DerivedOptions(units=U)), ModelOptions())
    assert model.count_params() == parameter_count(vocabulary, U, len(genotype.nodes))


def test_every_kernel_is_initialised_from_the_seed():
    cell = DerivedCell(genotype_of(CELLS["mixed"]), DerivedOptions(units=U))
    model = LanguageModel(11, cell, ModelOptions())
    for weight in model.trainable_variables:
        weight.assign(tf.fill(weight.shape, 9.0))
    model.initialise(seeds.run_seed(3))
    for weight in model.cell.weights:
        assert 0.0 < np.abs(weight.numpy()).max() <= 0.04
    first = np.array([weight.numpy().flat[0] for weight in model.cell.weights])
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("units", 0),
        ("input_dropout", 1.0),
        ("hidden_dropout", -0.1),
        *(("init_range", value) for value in (0.0, float("inf"), float("nan"))),
    ],
)
def test_impossible_options_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"DerivedOptions\.{name}="):
        DerivedOptions(**{name: value})


def test_options_have_defaults():
    rnn = keras.layers.RNN(DerivedCell(published.named("DARTS_V2")))
    assert keras.Sequential([keras.layers.Input((T, 3)), rnn]).output_shape == (None, 850)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_functional_model_trains_the_cell_and_is_loaded_with_equal_outputs(jit_compile, tmp_path):
    genotypes = [Genotype((Node(0, "tanh"), Node(1, "relu")), output) for output in ((1, 2), (2,))]
    cells = [DerivedCell(genotype, DerivedOptions(units=U)) for genotype in genotypes]
    inputs = keras.Input((None, 3))
    hidden = keras.layers.Bidirectional(keras.layers.RNN(cells[0], return_sequences=True))(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.RNN(cells[1])(keras.layers.Masking()(hidden)))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", jit_compile=jit_compile)
    x = np.random.default_rng(6).normal(size=(16, T, 3)).astype(np.float32)
    before = [weight.numpy() for weight in model.trainable_variables]
    model.fit(x, x[:, 0, :1], epochs=2, verbose=0)
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert not np.array_equal(old, new)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)


def test_dropout_that_nobody_draws_is_refused_in_training_alone():
    cell = DerivedCell(published.named("DARTS_V2"), DerivedOptions(units=U, hidden_dropout=0.5))
    model = keras.Sequential([keras.layers.Input((T, 3)), keras.layers.RNN(cell)])
    x = tf.zeros([2, T, 3])
    assert model(x).shape == (2, U)
    with pytest.raises(ValueError, match=r"has dropout.*keras\.layers\.Dropout"):
        model(x, training=True)
