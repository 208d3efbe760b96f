"""The staged form of a window equals the plain loop and its automatic gradient."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import highway, masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.scan import time_loop
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.cells.staged.stages import ForwardStages
from bayesnas_tf.cells.staged.window import staged_window
from bayesnas_tf.cells.staged.wiring import Arithmetic
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import published
from bayesnas_tf.training import compile as compiling
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep

B, U, NODES = 3, 4, 3
SEARCH = [(norm, "node") for norm in ("mean", "none", "batch", "layer")] + [("mean", "edge")]
# node 2 is known before node 1 needs it, node 3 feeds nobody and is no output
TWISTED = Genotype(
    (Node(0, "tanh"), Node(0, "relu"), Node(1, "sigmoid"), Node(2, "identity")), (2, 4), "twisted"
)
CELLS = [TWISTED, *map(published.named, ("DARTS_V1", "DARTS_V2", "ENAS"))]


def built(cell, seed=0):
    """The cell with random weights."""
    cell.build((B, U))
    cell.built = True
    for number, weight in enumerate(cell.weights):
        weight.assign(0.3 * tf.random.stateless_normal(weight.shape, [seed, number], dtype=weight.dtype))
    return cell


def search_cell(norm="mean", sharing="node", dtype="float64", **options):
    """A small supernet."""
    return built(SearchCell(CellOptions(U, NODES, sharing, norm, **options), dtype=dtype))


def inputs(steps, dtype="float64"):
    """Projected inputs, a state, a mask and the gradient of all outputs."""
    draw = lambda number, *shape: tf.random.stateless_normal(shape, [7, number], dtype=dtype)  # noqa: E731
    mask = tf.cast(draw(2, B, U) > -0.5, dtype) / 0.7
    return draw(0, B, steps, 2 * U), draw(1, B, U), mask, draw(3, B, steps, U)


def plain(cell, projected, state, mask):
    """All h_t by the loop that TensorFlow differentiates."""
    with cell.masked(masks.CellMasks(None, mask)), cell.read_once():
        return time_loop(cell.step, projected, state)


def staged(cell, projected, state, mask, compiled=False):
    """All h_t by products and stages."""
    arithmetic = Arithmetic(mask, cell.matmul_dtype, compiled)
    by_time = tf.transpose(projected, [1, 0, 2])
    hidden = staged_window(cell.wiring(), arithmetic, by_time, state, cell.kernels())
    return tf.transpose(hidden, [1, 0, 2])


def outcome(window, cell, steps, masked=True, **form):
    """Outputs, and the gradients of inputs, state and all weights."""
    dtype = cell.weights[0].dtype

    @tf.function
    def run(projected, state, mask, upstream):
        with tf.GradientTape() as tape:
            tape.watch((projected, state))
            hidden = window(cell, projected, state, mask if masked else None, **form)
        used = [weight for weight in cell.trainable_weights if weight is not cell.kernel]
        return [hidden, *tape.gradient(hidden, [projected, state, *used], upstream)]

    return [tf.convert_to_tensor(value).numpy() for value in run(*inputs(steps, dtype))]


def assert_same(found, expected, tolerance=1e-12):
    """Every array agrees, relative to its largest value."""
    for ours, exact in zip(found, expected, strict=True):
        assert np.abs(ours - exact).max() <= tolerance * np.abs(exact).max()


@pytest.mark.parametrize(("norm", "sharing"), SEARCH)
def test_of_a_supernet_equals_the_plain_loop(norm, sharing):
    cell = search_cell(norm, sharing)
    assert_same(outcome(staged, cell, 5), outcome(plain, cell, 5))


@pytest.mark.parametrize("genotype", CELLS, ids=lambda genotype: genotype.name)
def test_of_a_genotype_equals_the_plain_loop(genotype):
    cell = built(DerivedCell(genotype, DerivedOptions(U), dtype="float64"))
    assert_same(outcome(staged, cell, 5), outcome(plain, cell, 5))


def test_without_dropout_and_for_one_step():
    cell = search_cell()
    assert_same(outcome(staged, cell, 1, masked=False), outcome(plain, cell, 1, masked=False))


@pytest.mark.parametrize("kind", ["search", "derived"])
def test_compiled_stages_equal_the_plain_loop(kind):
    cell = (
        search_cell() if kind == "search" else built(DerivedCell(TWISTED, DerivedOptions(U), dtype="float64"))
    )
    assert_same(outcome(staged, cell, 4, compiled=True), outcome(plain, cell, 4))


def test_with_switches_of_edges():
    cell = search_cell(zero_edge_switch=True)
    assert_same(outcome(staged, cell, 3), outcome(plain, cell, 3))


def test_in_bfloat16_stays_near_float32():
    cell = search_cell(dtype="float32")
    exact = outcome(plain, cell, 4)
    cell.matmul_dtype = "bfloat16"
    rounded = outcome(staged, cell, 4)
    assert_same(rounded, exact, 0.05)
    assert any(np.abs(ours - value).max() > 1e-4 for ours, value in zip(rounded, exact, strict=True))


def test_cells_without_this_form_say_so():
    assert search_cell("batch", norm_learnable=True).wiring() is None
    assert search_cell(sharing="edge_op").wiring() is None


def test_sources_feed_all_nodes_that_wait():
    wiring = search_cell().wiring()
    assert [wiring.waiting(source) for source in wiring.feeds] == [(), (2, 3), (3,)]
    other = wiring._replace(feeds={0: (1, 2, 3), 1: (2,), 2: (3,)})
    with pytest.raises(ValueError, match="no such form"):
        ForwardStages(other, Arithmetic()).advance(1)


def test_a_layer_takes_it_for_training_alone(monkeypatch):
    cell = search_cell()
    rnn = cell.over_time("float64")
    x, state, mask, _ = inputs(3)
    drawn = masks.CellMasks(None, mask)
    expected, _ = rnn.window(x[..., :U], state, 3, drawn, training=True)
    asked = []
    wiring = cell.wiring
    monkeypatch.setattr(cell, "wiring", lambda: asked.append(1) or wiring())
    cell.staged = True
    rnn.window(x[..., :U], state, 3, drawn)
    assert not asked
    found, _ = rnn.window(x[..., :U], state, 3, drawn, training=True)
    assert asked
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_trace_serves_all_lengths(monkeypatch):
    traced = []
    mixed_edges = highway.mixed_edges
    monkeypatch.setattr(highway, "mixed_edges", lambda *given: traced.append(1) or mixed_edges(*given))
    cell = SearchCell(CellOptions(U, 2, norm="mean"))
    model = LanguageModel(7, cell, ModelOptions())
    cell.staged = True
    step = SearchStep(model, WindowOptions(B, 4), WeightOptions(), ScalarOptions())
    seed, lr = seeds.run_seed(0), tf.constant(1.0)
    train = compiling.window_function(lambda x, y, length: step(x, y, length, lr, seed), B, xla=False)
    for length in (4, 2, 9):
        ids = tf.ones([B, length], tf.int32)
        train(ids, ids, tf.constant(length))
        traced.append("window")
    assert traced.index("window") == traced.count(1) > 0
