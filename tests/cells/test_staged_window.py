"""The staged form of a window equals the plain loop and its automatic gradient."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.reading import Purpose
from bayesnas_tf.cells.rules import spread
from bayesnas_tf.cells.scan import scan_time
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.cells.staged.values import Given
from bayesnas_tf.cells.staged.window import staged_window
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import across, seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.execution import window_function
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
    reading, by_time = cell.read(masks.CellMasks(None, mask)), tf.transpose(projected, [1, 0, 2])
    (hidden,) = scan_time(lambda t, x, h: reading.step(*x, h), (by_time,), (state,))
    return tf.transpose(hidden, [1, 0, 2])


def staged(cell, projected, state, mask, compiled=False, matmul_dtype="float32"):
    """All h_t by products and stages."""
    arithmetic, program = Arithmetic(mask, matmul_dtype, compiled), cell.staged_program()
    given = Given.of(program, tf.transpose(projected, [1, 0, 2]), (state,), cell.read().fixed)
    (hidden,) = staged_window(program, given, arithmetic)
    return tf.transpose(hidden, [1, 0, 2])


def outcome(window, cell, steps, masked=True, **form):
    """Outputs, and the gradients of inputs, state and all weights."""
    dtype = cell.weights[0].dtype

    @tf.function(autograph=False)
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
    rounded = outcome(staged, cell, 4, matmul_dtype="bfloat16")
    assert_same(rounded, exact, 0.05)
    assert any(np.abs(ours - value).max() > 1e-4 for ours, value in zip(rounded, exact, strict=True))


def test_cells_without_this_form_say_so():
    assert search_cell("batch", norm_learnable=True).staged_program() is None
    assert search_cell(sharing="edge_op").staged_program() is None


def test_a_plan_keeps_what_gradients_read_and_no_more():
    plan = Plan(search_cell("layer").staged_program())
    assert [segment.product.out for segment in plan.segments[1:]] == ["recurrent", "p0", "p1", "p2"]
    # [g, a] of node 0, the sums before the norms, and the products; values are made again from their sums
    assert set(plan.kept) == {"pre0", "s0", "s1", "s2", "s3", "p0", "p1", "p2"}
    assert plan.needs(0) == ()
    assert plan.projected(1) == ("n0",)
    assert plan.projected(4) == ("h",)  # for the next step


def test_a_node_that_nobody_reads_gives_nothing_back():
    dead = Genotype((Node(0, "tanh"), Node(0, "relu"), Node(2, "relu")), (1,), "dead end")
    cell = built(DerivedCell(dead, DerivedOptions(U), dtype="float64"))
    found = outcome(staged, cell, 3)
    assert not found[-1].any()
    assert_same(found[:-1], outcome(plain, cell, 3)[:-1])


def test_a_layer_takes_it_for_training_alone():
    cell = search_cell()
    rnn = cell.over_time("float64")
    x, state, mask, _ = inputs(3)
    drawn = masks.CellMasks(None, mask)
    plain, evaluated = cell.read(drawn, GRAPH, Purpose(training=True)), cell.read(drawn, Execution(cell=True))
    assert plain.staged is evaluated.staged is None
    trained = cell.read(drawn, Execution(cell=True), Purpose(training=True))
    assert trained.staged
    expected, found = (rnn.window(reading, x[..., :U], state, 3)[0] for reading in (plain, trained))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_where_rows_of_several_replicas_are_coupled_there_is_none(monkeypatch):
    monkeypatch.setattr(across, "replicas", lambda: 2)
    given = (None, Execution(cell=True), Purpose(training=True))
    assert search_cell("mean").read(*given).staged
    assert search_cell("batch").read(*given).staged is None


def test_one_trace_serves_all_lengths(monkeypatch):
    traced = []
    mixture = spread._mixture
    monkeypatch.setattr(spread, "_mixture", lambda *given: traced.append(1) or mixture(*given))
    cell = SearchCell(CellOptions(U, 2, norm="mean"))
    model = LanguageModel(7, cell, ModelOptions(), execution=Execution(cell=True))
    step = SearchStep(model, WindowOptions(B, 4), WeightOptions(), ScalarOptions())
    seed, lr = seeds.run_seed(0), tf.constant(1.0)
    train = window_function(lambda x, y, length: step(x, y, length, lr, seed), B, xla=False)
    for length in (4, 2, 9):
        ids = tf.ones([B, length], tf.int32)
        train(ids, ids, tf.constant(length))
        traced.append("window")
    assert traced.index("window") == traced.count(1) > 0
