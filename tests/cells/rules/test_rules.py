"""Every rule against its twin, and its derivatives against automatic differentiation."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.rules import RULES, rule_of, spread
from bayesnas_tf.space.highway.operations import OP_NAMES
from bayesnas_tf.space.program import Op
from tests.references import program as reference

B, U, J, L = 3, 4, 2, 2
VALUE, PRE = (B, U), (B, 2 * U)
STACK, PRES = (J, B, U), (J, B, 2 * U)
SITES = (3, len(OP_NAMES))
WIDE = (3, len(OP_NAMES) + 2)  # with a column for a plain operation, and one for switches
SWITCH = (1, len(OP_NAMES) + 1)  # an entry of it
ROWS = (1, 3)  # of node 2, which has two predecessors
UNITS = (False, True)  # gradients of scalars by units
NORMS = ("none", "mean", "layer", "batch")
ONE_HOT = np.eye(3)[[0, 1]]
OPERATIONS = np.eye(4)[[2, 1]]

# rule -> constants, shapes (or values) of the arguments, which of them have no rows
CASES = {
    "plus": [((), [VALUE, VALUE, VALUE], ())],
    "mean": [((), [VALUE, VALUE], ())],
    "stack": [((), [VALUE, VALUE], ())],
    "part": [((1, 2), [PRE], ())],
    "columns": [((1, 3, 4), [(B, 4 * U)], ())],
    "scale": [((1,), [VALUE, (3, U), (3, U)], (1, 2))],
    "bias": [((), [PRE, (U,), (U,)], (1, 2)), ((), [(B, 4 * U), (U,), (2, U)], (1, 2))],
    "times": [((), [VALUE, VALUE], ())],
    "one_minus": [((), [VALUE], ())],
    "blend": [((), [VALUE] * 3, ())],
    "apply": [((name,), [VALUE], ()) for name in (*OP_NAMES, "leaky_relu")],
    "gate": [((name,), [VALUE, PRE], ()) for name in OP_NAMES],
    "norm": [((kind, 5), [VALUE], ()) for kind in NORMS],
    "mix": [
        *(
            ((OP_NAMES, ROWS, kind), [STACK, PRES, SITES], (2,))
            for kind in ("none", "mean", "layer", "batch")
        ),
        ((OP_NAMES, ROWS, "mean"), [STACK, (len(OP_NAMES), *PRES), SITES], (2,)),
        *(((OP_NAMES, ROWS, kind, ("tanh",)), [STACK, PRES, WIDE], (2,)) for kind in ("mean", "layer")),
        ((OP_NAMES, ROWS, "none", ("tanh",)), [STACK, (len(OP_NAMES), *PRES), WIDE], (2,)),
    ],
    "pick": [((1, 2), [ONE_HOT, STACK], (0,))],
    "choose": [
        ((OP_NAMES, 0), [OPERATIONS, VALUE, PRE], (0,)),
        *(((OP_NAMES, row, ("tanh",)), [np.eye(5)[[2, 4]], VALUE, PRE], (0,)) for row in (0, 1)),
    ],
    "spread": [
        ((OP_NAMES,), [VALUE, (B, J * 2 * U), (J, len(OP_NAMES))], (2,)),
        ((OP_NAMES, ("tanh",)), [VALUE, (B, J * 2 * U), (J, len(OP_NAMES) + 2)], (2,)),
    ],
    "product": [((None,), [VALUE] * 2, ()), *((((*SWITCH, u),), [VALUE] * 2 + [WIDE], (2,)) for u in UNITS)],
    "toward": [(((*SWITCH, u),), [VALUE] * 2 + [WIDE], (2,)) for u in UNITS],
    "renew": [
        *((((*SWITCH, u), False), [VALUE] * 4 + [WIDE], (4,)) for u in UNITS),
        *(((None, cap), [VALUE] * 4, ()) for cap in (False, True)),
        ((SWITCH, True), [VALUE] * 4 + [np.full(WIDE, 0.3)], (4,)),
    ],
    "bypass": [((), [VALUE] * 3, ())],
    "accumulate": [((), [(B, J, U), (B, J + 1, U)], ())],
    "first": [((), [(B, J, U)], ())],
    "rows": [((2, 0), [SITES], (0,))],
}


def rule(name, static):
    return rule_of(Op(name, "y", (), static))


STAGED = ("spread", "accumulate", "first", "rows")  # no lane passes through these
ALL = [pytest.param(name, *case, id=f"{name} {case[0]}") for name, cases in CASES.items() for case in cases]
LANED = [case for case in ALL if case.values[0] not in STAGED and not rule(*case.values[:2]).by_units]


def arguments(shapes, seed=0):
    draw = np.random.default_rng(seed)
    return [
        tf.constant(shape if isinstance(shape, np.ndarray) else draw.normal(size=shape)) for shape in shapes
    ]


def of_rows(part, alone):
    """The gradient of an argument without rows, which came with them."""
    return tf.reduce_sum(part, axis=0) if alone else part


def test_every_rule_has_a_case_and_a_twin():
    assert set(CASES) == set(RULES) == set(reference.TWINS)


@pytest.mark.parametrize(("name", "static", "shapes", "alone"), ALL)
def test_the_value_is_that_of_the_twin(name, static, shapes, alone):
    x = arguments(shapes)
    expected = reference.TWINS[name](*(a.numpy() for a in x), *static)
    np.testing.assert_allclose(rule(name, static).value(*x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "static", "shapes", "alone"), [c for c in ALL if c.values[0] != "rows"])
def test_the_chain_rule_is_that_of_tensorflow(name, static, shapes, alone):
    x, of = arguments(shapes), rule(name, static)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = of.value(*x)
    g = tf.constant(np.random.default_rng(1).normal(size=y.shape))
    found = of.pull(g, *x)
    for k, (part, exact) in enumerate(zip(found, tape.gradient(y, x, g), strict=True)):
        if part is None:
            continue
        part = spread.whole(part, x[k].shape)
        summed = tf.reduce_sum(part, axis=-1) if of.by_units and k in alone else of_rows(part, k in alone)
        np.testing.assert_allclose(summed, exact, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("name", "static", "shapes", "alone"), LANED)
def test_lanes_are_pulled_as_single_gradients_are(name, static, shapes, alone):
    x, of = arguments(shapes), rule(name, static)
    shape = of.value(*x).shape
    g = tf.constant(np.random.default_rng(2).normal(size=(L, *shape)))
    together = of.pull(g, *x)
    for lane in range(L):
        for part, one in zip(together, of.pull(g[lane], *x), strict=True):
            assert (part is None) == (one is None)
            if part is not None:
                np.testing.assert_allclose(part[lane], one, rtol=1e-12, atol=1e-14)


def jacobian(of, x, k):
    """∂y/∂x_k as [|y|, *x_k]."""
    with tf.GradientTape() as tape:
        tape.watch(x[k])
        y = tf.reshape(of.value(*x), [-1])
    return tape.jacobian(y, x[k])


@pytest.mark.parametrize(("name", "static", "shapes", "alone"), LANED)
def test_the_diagonal_rule_is_the_squared_jacobian(name, static, shapes, alone):
    x, of = arguments(shapes), rule(name, static)
    h = tf.constant(np.random.default_rng(3).uniform(size=of.value(*x).shape))
    for k, part in enumerate(of.diagonal(h, *x)):
        if part is None:
            continue
        squared = np.tensordot(h.numpy().ravel(), jacobian(of, x, k).numpy() ** 2, axes=1)
        if name == "mix" and k < 2:
            continue  # operation by operation, see below
        np.testing.assert_allclose(of_rows(part, k in alone), squared, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("per_operation", [False, True])
@pytest.mark.parametrize("kind", ["none", "mean", "layer", "batch"])
def test_a_mix_passes_on_what_its_norm_and_each_operation_pass_on(kind, per_operation):
    shape = (len(OP_NAMES), *PRES) if per_operation else PRES
    x, pre, w = arguments([STACK, shape, SITES])
    h = tf.constant(np.random.default_rng(4).uniform(size=VALUE))
    total = rule("mix", (OP_NAMES, ROWS, "none")).value(x, pre, w)
    (through,) = rule("norm", (kind, J * len(OP_NAMES))).diagonal(h, total)
    of_x, of_pre, _ = rule("mix", (OP_NAMES, ROWS, kind)).diagonal(h, x, pre, w)
    for j in range(J):
        gates = []
        for o, operation in enumerate(OP_NAMES):
            own = pre[o, j] if per_operation else pre[j]
            weighted = tf.square(w[ROWS[0] + j, o]) * through
            gates.append(rule("gate", (operation,)).diagonal(weighted, x[j], own))
        np.testing.assert_allclose(of_x[j], sum(gate[0] for gate in gates), rtol=1e-10)
        expected = [gate[1] for gate in gates] if per_operation else sum(gate[1] for gate in gates)
        np.testing.assert_allclose(of_pre[:, j] if per_operation else of_pre[j], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "static", "shapes", "alone"), [c for c in LANED if rule(*c.values[:2]).second]
)
def test_second_derivatives_are_those_of_tensorflow(name, static, shapes, alone):
    x, of = arguments(shapes), rule(name, static)
    if name == "mix" and static[2] in ("layer", "batch"):
        return  # their statistics count as constants: the same as without them, up to the gradient of the sum
    g = tf.constant(np.random.default_rng(5).normal(size=of.value(*x).shape))
    found = of.second(g, *x)
    for k, part in enumerate(found):
        if part is None:
            continue
        with tf.GradientTape() as outer:
            outer.watch(x[k])
            with tf.GradientTape() as inner:
                inner.watch(x[k])
                y = of.value(*x)
            first = tf.reshape(inner.gradient(y, x[k], g), [-1])
        zero = tf.UnconnectedGradients.ZERO
        full = outer.jacobian(first, x[k], unconnected_gradients=zero).numpy().reshape(first.shape[0], -1)
        np.testing.assert_allclose(tf.reshape(part, [-1]), np.diag(full), rtol=1e-9, atol=1e-12)


def test_a_zero_axis_of_rows_is_kept_apart():
    of, x = rule("mix", (OP_NAMES, ROWS, "mean")), arguments([STACK, PRES, SITES])
    g = tf.constant(np.random.default_rng(6).normal(size=VALUE))
    of_scalars = of.pull(g, *x)[2]
    assert of_scalars.shape == (B, *SITES)
    assert not of_scalars.numpy()[:, : ROWS[0]].any()
    one = of.pull(g * np.eye(B)[:, :1], *x)[2]
    np.testing.assert_allclose(of_scalars[0], tf.reduce_sum(one, axis=0), rtol=1e-12)
