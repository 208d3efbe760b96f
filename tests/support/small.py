"""Small language models and windows that the tests of cells and curvature share."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.curvature import ggn
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH

UNITS, NODES, BATCH, STEPS, WORDS = 4, 2, 3, 4, 7


def small_model(dtype="float64", seed=0, scale=0.5, execution=GRAPH, **options):
    """A model with weights so large that every nonlinearity is felt."""
    random = np.random.default_rng(seed)
    cell = SearchCell(CellOptions(**{"units": UNITS, "nodes": NODES, **options}), dtype=dtype)
    model = LanguageModel(WORDS, cell, ModelOptions(), execution=execution, dtype=dtype)
    for weight in model.weights:
        weight.assign(scale * random.normal(size=weight.shape))
    # Some scalars are negative, none is near 0 and, for norm "none", none makes the sums explode.
    signs = np.where(random.random(cell.scalars.shape) < 0.25, -1.0, 1.0)
    cell.scalars.assign(signs * random.uniform(0.2, 0.6, size=cell.scalars.shape))
    if cell.zero_scalars is not None:
        cell.zero_scalars.assign(random.uniform(0.5, 1.5, size=cell.zero_scalars.shape))
    return model


def small_window(dtype="float64", seed=1):
    """x, y `[B, T]` and the state before them."""
    random = np.random.default_rng(seed)
    x, y = random.integers(0, WORDS, size=(2, BATCH, STEPS)).astype(np.int32)
    return tf.constant(x), tf.constant(y), tf.constant(random.normal(size=(BATCH, UNITS)), dtype)


def by_probes(model, x, y, state, rounds, probes=16):
    """h of the scalars `[E, O]` by so many rounds of random probes, and the gradient.

    One graph serves all rounds: a probe has instructions of its own, and many of them take minutes to trace.
    """
    options = CurvatureOptions(probes=probes)
    estimate = tf.function(lambda seed: ggn.estimate(model, x, y, state, seed, options), autograph=False)
    found = [estimate(seeds.fold(seeds.run_seed(2), number)) for number in range(rounds)]
    return np.mean([one.h for one in found], axis=0), found[0].gradient.numpy()
