import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import highway
from bayesnas_tf.cells.primitives import OPS
from tests.references import cell as reference

B, U, J, T = 3, 4, 2, 2


def arrays(lead=(), seed=0):
    """Predecessors, one [g, a] per edge, and scalars."""
    random = np.random.default_rng(seed)
    shape = (J, *lead, B)
    values = (
        random.normal(size=(*shape, U)),
        random.normal(size=(*shape, 2 * U)),
        random.normal(size=(J, len(OPS))),
    )
    return [tf.constant(value) for value in values]


def plain_sum(stacked, pre, w):
    """(M2, M3) by automatic differentiation of every u_ij^o."""
    return tf.einsum("jo,oj...->...", w, highway.edge_outputs(stacked, pre))


def derivatives(function, inputs, order):
    """A fixed projection of the first or second derivatives of `function` in all its inputs."""
    random = np.random.default_rng(7)
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            value = function(*inputs)
            target = tf.reduce_sum(value * value * random.normal(size=value.shape))
        first = inner.gradient(target, inputs)
        along = tf.add_n([tf.reduce_sum(tf.sin(g) * random.normal(size=g.shape)) for g in first])
    return first if order == 1 else outer.gradient(along, inputs)


def test_gated_is_the_highway_of_the_thesis():
    random = np.random.default_rng(0)
    x, gate, candidate = random.normal(size=(3, B, U))
    expected = reference.gated(x, gate, candidate)
    np.testing.assert_allclose(highway.gated(x, gate, candidate), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("lead", [(), (T,)])
def test_the_mixed_sum_equals_the_sum_over_every_operation(lead):
    stacked, pre, w = arrays(lead)
    expected = sum(
        w[j, o]
        * reference.gated(stacked[j].numpy(), pre[j, ..., :U].numpy(), OPS[o].f(pre[j, ..., U:]).numpy())
        for j in range(J)
        for o in range(len(OPS))
    )
    np.testing.assert_allclose(highway.mixed_sum(stacked, pre, w), expected, rtol=1e-12)
    repeated = tf.repeat(pre[tf.newaxis], len(OPS), axis=0)
    np.testing.assert_allclose(highway.mixed_sum(stacked, repeated, w), expected, rtol=1e-12)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("lead", [(), (T,)])
def test_the_written_gradient_equals_automatic_differentiation(lead, order, graph):
    compiled = tf.function(derivatives) if graph else derivatives
    inputs = arrays(lead, seed=3)
    expected = derivatives(plain_sum, inputs, order)
    actual = compiled(highway.mixed_sum, inputs, order)
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (T,)])
@pytest.mark.parametrize("shape", [(), (J,), (len(OPS), J)], ids=["node", "edge", "edge_op"])
def test_pre_activations_are_one_product_per_edge_or_operation(shape, lead):
    stacked, _, _ = arrays(lead)
    kernel = np.random.default_rng(2).normal(size=(*shape, U, 2 * U))
    actual = highway.edge_pre_activations(stacked, tf.constant(kernel), len(OPS))
    full = np.broadcast_to(kernel, (len(OPS), J, U, 2 * U))
    expected = np.stack([[stacked[j].numpy() @ full[o, j] for j in range(J)] for o in range(len(OPS))])
    assert actual.shape.rank == stacked.shape.rank + (len(shape) == 2)
    np.testing.assert_allclose(np.broadcast_to(actual, expected.shape), expected, rtol=1e-12, atol=1e-13)
