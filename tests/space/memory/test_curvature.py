"""Curvature of switches and operations: probes against the exact diagonal, the recursion against its twin."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.curvature import exact, recursive
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.memory.programs import GATE, OPTIONS, edge_rows, switch_row
from tests.references import memory as reference
from tests.space.memory.test_programs import N, U, edge_kernels, of_scalars, twin
from tests.support.small import BATCH, STEPS, WORDS, by_probes

SEED = seeds.run_seed(0)
SWITCHES = {"between": None, "closed": 0.0, "open": 1.0}


def small_model(switches=None, **options):
    """A model with large weights; all switches have one value, or values of their own."""
    chosen = CellOptions(**{"units": U, "nodes": N, "norm": "mean", "space": "memory", **options})
    cell, draw = SearchCell(chosen, dtype="float64"), np.random.default_rng(0)
    model = LanguageModel(WORDS, cell, ModelOptions(), dtype="float64")
    for weight in model.weights:
        weight.assign(0.7 * draw.normal(size=weight.shape))
    w = draw.uniform(0.2, 0.8, size=cell.scalars.shape)
    if switches is not None:
        w[:, GATE] = switches
    cell.scalars.assign(np.where(cell.space.sites.exists, w, 0.0))
    return model


def window():
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, WORDS, size=(2, BATCH, STEPS)).astype(np.int32)
    return tf.constant(x), tf.constant(y), tf.constant(draw.normal(size=(BATCH, 2 * U)))


def test_probes_give_the_exact_gauss_newton_diagonal_of_every_scalar():
    model, (x, y, state) = small_model(nodes=1), window()
    (expected,) = exact.ggn_diagonal(model, x, y, state)
    h, by_lanes = by_probes(model, x, y, state, 30)
    exists = model.cell.space.sites.exists
    assert not h[~exists].any()
    there = exists & (expected.numpy() > 1e-12)
    error = np.abs(h - expected.numpy())[there] / expected.numpy()[there]
    assert np.median(error) < 0.08 and error.max() < 0.4
    switch_rows = ~model.cell.space.sites.edges
    assert there[switch_rows, GATE].all()
    with tf.GradientTape() as tape:
        hidden, _ = model.window(x, state, tf.constant(STEPS))
        nats = tf.reduce_mean(losses.token_nats(model.decode(hidden), y))
    gradient = tape.gradient(nats, model.cell.scalars.value)
    np.testing.assert_allclose(by_lanes, gradient, rtol=1e-9, atol=1e-12)


def twin_recursion(model, x, y, state):
    """h of every scalar `[E, O]` by the recursion in NumPy."""
    cell = model.cell
    weights, scalars = twin(cell, N) | {"W": edge_kernels(cell)}, of_scalars(cell.scalars.numpy())
    embedding, bias = model.embedding.numpy(), model.decoder_bias.numpy()
    h, c = np.split(state.numpy(), 2, axis=1)
    traces, outputs = [], []
    for t in range(STEPS):
        x_t = embedding[x.numpy()[:, t]]
        traces.append(reference.Trace(weights, scalars, x_t, h, c))
        h, c, _ = reference.step(weights, scalars, x_t, h, c, range(1, N + 1))
        outputs.append(h)
    recursion, at_h, at_c = reference.Recursion(weights, scalars), np.zeros((BATCH, U)), np.zeros((BATCH, U))
    for trace, h in zip(reversed(traces), reversed(outputs), strict=True):
        logits = h @ embedding.T + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        at_h = at_h + (p * (1.0 - p) / (BATCH * STEPS)) @ embedding**2
        at_h, at_c = recursion.back(trace, at_h, at_c)
    found = np.zeros(cell.scalars.shape)
    for row, name in enumerate(("rho", "kappa", "delta")):
        found[row, GATE] = recursion.found[name]
    for j in range(1, N + 1):
        found[switch_row(j), GATE] = recursion.found["mu", j]
        for i, row in enumerate(edge_rows(j)):
            found[row, :GATE] = [recursion.found[i, j, name] for name in OPTIONS]
    return found


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_recursion_equals_its_twin(switches):
    model, (x, y, state) = small_model(SWITCHES[switches]), window()
    options = CurvatureOptions("recursive", tau=0)
    found = recursive.estimate(model, x, y, state, SEED, options)
    np.testing.assert_allclose(found.h, twin_recursion(model, x, y, state), rtol=1e-10, atol=1e-16)
