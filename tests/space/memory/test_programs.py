"""The programs of the memory space against its equations in NumPy, and its exact points against others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines.rhn import RhnCell, RhnOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.reading import Purpose
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.scan import by_time
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.space import known
from bayesnas_tf.space.memory.programs import BEHIND_GATES, GATE, OPTIONS, edge_rows, switch_row
from bayesnas_tf.space.memory.published import parse
from bayesnas_tf.space.memory.space import Memory
from tests.references import memory as reference

B, U, T, N = 3, 4, 5, 3
LAYER = {"return_sequences": True, "return_state": True, "dtype": "float64"}


def built(cell, seed=0):
    """The cell with random weights, biases too."""
    cell.build((B, U))
    cell.built = True
    draw = np.random.default_rng(seed)
    for weight in cell.weights:
        if weight.name != "scalars":
            weight.assign(0.7 * draw.normal(size=weight.shape))
    return cell


def inputs(states=2, seed=1):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(B, T, U)), [0.5 * draw.normal(size=(B, U)) for _ in range(states)]


def outputs(cell, x, states, staged=False):
    """All outputs, [T, B, U]; in the staged form, or in the plain loop."""
    reading = cell.read(purpose=Purpose(training=staged), execution=Execution(cell=staged))
    assert bool(reading.staged) == staged
    projected = reading.project_inputs(tf.convert_to_tensor(x))
    return by_time(reading, projected, list(map(tf.convert_to_tensor, states)))["h"]


def columns(cell):
    """(x part, h part) of each column of the context by name, and a's."""
    parts, kernel, recurrent = cell.program, cell.kernel.numpy(), cell.recurrent_kernel.numpy()
    named = [op.out for op in parts.ops if op.rule == "part" and op.args == ("v",) and op.out != "a"]
    found = {
        name: (kernel[:, k * U : (k + 1) * U], recurrent[:, k * U : (k + 1) * U])
        for k, name in enumerate(named)
    }
    k = len(named)
    last = cell.candidate_kernel.numpy() if hasattr(cell, "candidate_kernel") else recurrent[:, k * U :]
    return found, (kernel[:, k * U :], last)


def twin(cell, number):
    """The weights of `references.memory` of a cell with `number` nodes; what it lacks is 0."""
    found, (w_x, w_h) = columns(cell)
    stacked = lambda name: np.concatenate(found.get(name, (np.zeros((U, U)),) * 2))  # noqa: E731
    bias = lambda name: getattr(cell, name).numpy() if hasattr(cell, name) else np.zeros(U)  # noqa: E731
    gated = [j for j in range(1, number + 1) if f"q{j}" in found]
    of_products = np.zeros((number, U))
    if gated:
        of_products[[j - 1 for j in gated]] = cell.product_bias.numpy()
    return {
        "V_g": stacked("g"),
        "V_r": stacked("qr"),
        "V_f": stacked("qf"),
        "V_q": [stacked(f"q{j}") for j in range(1, number + 1)],
        "W_x": w_x,
        "W_h": w_h,
        "b_g": bias("bias"),
        "b_r": bias("reset_bias"),
        "b_f": bias("forget_bias"),
        "b_q": of_products,
    }


def edge_kernels(cell, sharing="node"):
    """W of each edge of a supernet."""
    kernels = {j: getattr(cell, f"node_kernel_{j}").numpy() for j in range(1, N + 1)}
    return {(i, j): kernels[j] if sharing == "node" else kernels[j][i] for j in kernels for i in range(j)}


def of_scalars(w):
    """The scalars of `references.memory`."""
    rows = {j: edge_rows(j) for j in range(1, N + 1)}
    return {
        "rho": w[0, GATE],
        "kappa": w[1, GATE],
        "delta": w[2, GATE],
        "mu": [w[switch_row(j), GATE] for j in rows],
        "w": {(i, j): dict(zip(OPTIONS, w[rows[j][i]], strict=False)) for j in rows for i in range(j)},
    }


def derived(genotype):
    genotype = known.named(genotype) if isinstance(genotype, str) else genotype
    return built(DerivedCell(genotype, DerivedOptions(U), dtype="float64"))


def supernet(**options):
    cell = built(
        SearchCell(CellOptions(U, N, **{"norm": "mean", "space": "memory", **options}), dtype="float64")
    )
    w = np.random.default_rng(3).uniform(0.1, 0.9, size=cell.scalars.shape)
    cell.scalars.assign(np.where(cell.space.sites.exists, w, 0.0))
    return cell


@pytest.mark.parametrize("cap", [False, True])
@pytest.mark.parametrize("sharing", ["node", "edge"])
@pytest.mark.parametrize("staged", [False, True])
def test_the_supernet_is_the_equations(cap, sharing, staged):
    cell = supernet(cap=cap, weight_sharing=sharing)
    x, states = inputs()
    weights = twin(cell, N) | {"W": edge_kernels(cell, sharing)}
    expected, _ = reference.window(
        weights, of_scalars(cell.scalars.numpy()), x.transpose(1, 0, 2), states, range(1, N + 1), cap=cap
    )
    np.testing.assert_allclose(outputs(cell, x, states, staged), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("of", ["supernet", "memory-random-1", "memory-random-4", "LSTM", "GRU"])
def test_the_staged_form_has_the_gradient_of_the_plain_one(of):
    cell = supernet() if of == "supernet" else derived(of)
    x, states = inputs(len(cell.program.state))
    plain, staged = (gradients(cell, x, states, cell.trainable_variables, form) for form in (False, True))
    for weight, expected, found in zip(cell.trainable_variables, plain, staged, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=weight.name)


def test_switches_of_0_leave_the_first_space():
    cell = supernet()
    w = cell.scalars.numpy()
    w[:, GATE] = 0.0
    w[:, OPTIONS.index("squash")] = 0.0
    cell.scalars.assign(w)
    for weight in (cell.bias, cell.forget_bias, cell.product_bias, cell.reset_bias):
        weight.assign(tf.zeros_like(weight))
    first = built(SearchCell(CellOptions(U, N, norm="mean"), dtype="float64"))
    (g, (a_x, a_h)) = columns(cell)
    first.kernel.assign(np.concatenate([g["g"][0], a_x], axis=1))
    first.recurrent_kernel.assign(np.concatenate([g["g"][1], a_h], axis=1))
    for j in range(1, N + 1):
        getattr(first, f"node_kernel_{j}").assign(getattr(cell, f"node_kernel_{j}"))
    # a mean over five terms, one of them 0, against one over four
    edges = [w[list(edge_rows(j)), : len(BEHIND_GATES)] for j in range(1, N + 1)]
    first.scalars.assign(np.concatenate(edges) * len(BEHIND_GATES) / len(OPTIONS))
    x, states = inputs()
    np.testing.assert_allclose(outputs(cell, x, states), outputs(first, x, states[:1]), rtol=1e-11)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("staged", [False, True])
def test_a_discrete_cell_is_the_equations(seed, staged):
    genotype = known.named(f"memory-random-{seed}")
    cell = derived(genotype)
    kernels = {}
    for source in range(len(genotype.nodes)):
        fed = [j for j, n in enumerate(genotype.nodes, 1) if n.source == source and n.op != "squash"]
        for place, j in enumerate(fed):
            whole = getattr(cell, f"source_kernel_{source}").numpy()
            kernels[source, j] = whole[:, 2 * U * place : 2 * U * (place + 1)]
    on = {name: float(name in genotype.switches) for name in ("reset", "memory", "forget")}
    scalars = {
        "rho": on["reset"],
        "kappa": on["memory"],
        "delta": on["forget"],
        "mu": [float(j in genotype.gated) for j in range(1, len(genotype.nodes) + 1)],
        "w": {(node.source, j): {node.op: 1.0} for j, node in enumerate(genotype.nodes, 1)},
    }
    x, states = inputs(len(cell.program.state))
    weights = twin(cell, len(genotype.nodes)) | {"W": kernels}
    both = states if len(states) == 2 else [*states, np.zeros((B, U))]
    expected, _ = reference.window(weights, scalars, x.transpose(1, 0, 2), both, genotype.output)
    np.testing.assert_allclose(outputs(cell, x, states, staged), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_a_sampled_cell_is_the_discrete_one_of_its_choice(seed):
    space = Memory(N)
    draw = np.random.default_rng(seed)
    choice = draw.integers(space.slots)
    cell = built(SampledCell(CellOptions(U, N, norm="mean", space="memory"), dtype="float64"))
    cell.choose(choice)
    x, states = inputs()
    w = np.zeros(space.sites.exists.shape)
    w[:3, GATE] = choice[0]
    for j, (source, op, gate) in enumerate(choice[1:], 1):
        w[edge_rows(j)[source], op] = 1.0
        w[switch_row(j), GATE] = gate
    scalars = of_scalars(w)
    weights = twin(cell, N) | {"W": edge_kernels(cell)}
    expected, _ = reference.window(
        weights, scalars, x.transpose(1, 0, 2), states, range(1, N + 1), norm=lambda total, terms: total
    )
    np.testing.assert_allclose(outputs(cell, x, states), expected, rtol=1e-11, atol=1e-13)
    genotype = space.of_choice(choice)
    np.testing.assert_array_equal(space.choice(genotype), choice)


def joined(*parts):
    return np.concatenate(parts, axis=-1)


def test_lstm_equals_that_of_keras():
    cell = derived("LSTM")
    found, a = columns(cell)
    parts = [found["g"], found["qf"], a, found["q1"]]  # Keras: i f c o
    bias = [cell.bias, cell.forget_bias, np.zeros(U), cell.product_bias[0]]
    layer = keras.layers.LSTM(U, **LAYER)
    x, (h, c) = inputs()
    layer.build(x.shape)
    layer.set_weights([joined(*(p[0] for p in parts)), joined(*(p[1] for p in parts)), joined(*bias)])
    expected = layer(x, initial_state=[tf.constant(h), tf.constant(c)])[0]
    np.testing.assert_allclose(tf.transpose(outputs(cell, x, [h, c]), [1, 0, 2]), expected, rtol=1e-12)


def test_gru_equals_that_of_keras():
    cell = derived("GRU")
    found, a = columns(cell)
    layer = keras.layers.GRU(U, reset_after=False, **LAYER)
    x, (h,) = inputs(1)
    layer.build(x.shape)
    # Keras' z keeps the state: z = 1 - σ(g) = σ(-g)
    parts = [[-part for part in found["g"]], found["qr"], a]
    bias = [-cell.bias.numpy(), cell.reset_bias.numpy(), np.zeros(U)]
    layer.set_weights([joined(*(p[0] for p in parts)), joined(*(p[1] for p in parts)), joined(*bias)])
    expected = layer(x, initial_state=tf.constant(h))[0]
    np.testing.assert_allclose(tf.transpose(outputs(cell, x, [h]), [1, 0, 2]), expected, rtol=1e-12)


def gradients(cell, x, states, weights, staged=False):
    @tf.function(autograph=False)  # the staged form's arrays cannot be read twice outside of a graph
    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(outputs(cell, x, states, staged)))
        return tape.gradient(loss, [weight.value for weight in weights])

    return run()


def test_darts_v2_is_a_point_with_its_gradient():
    first = derived("DARTS_V2")
    genotype = parse(f"[] {known.named('DARTS_V2')}")
    cell = derived(genotype)
    cell.bias.assign(tf.zeros(U))
    for name in first.program.weights:
        getattr(cell, name.name).assign(getattr(first, name.name))
    cell.kernel.assign(first.kernel)
    x, states = inputs(1)
    np.testing.assert_allclose(outputs(cell, x, states), outputs(first, x, states), rtol=1e-12)
    names = ["kernel", *(weight.name for weight in first.program.weights)]
    pairs = [gradients(of, x, states, [getattr(of, name) for name in names]) for of in (cell, first)]
    for found, expected in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_rhn_is_a_point_with_its_gradient():
    cell, other = derived("RHN_4"), built(RhnCell(RhnOptions(U, depth=4), dtype="float64"))
    kernels = [cell.recurrent_kernel, *(getattr(cell, f"source_kernel_{k}") for k in range(3))]
    other.kernel.assign(cell.kernel)
    for k, kernel in enumerate(kernels):
        getattr(other, f"kernel_{k}").assign(kernel)
        getattr(other, f"bias_{k}").assign(tf.zeros(U))
        getattr(other, f"gate_bias_{k}").assign(tf.zeros(U) if k else cell.bias)
    x, states = inputs(1)
    np.testing.assert_allclose(outputs(cell, x, states), outputs(other, x, states), rtol=1e-12)
    theirs = [other.kernel, *(getattr(other, f"kernel_{k}") for k in range(4)), other.gate_bias_0]
    pairs = [
        gradients(of, x, states, weights)
        for of, weights in ((cell, [cell.kernel, *kernels, cell.bias]), (other, theirs))
    ]
    for found, expected in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
