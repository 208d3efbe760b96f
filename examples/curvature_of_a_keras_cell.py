"""How much the loss feels each weight of a cell: the diagonal curvature h, and a use of it.

    python -m examples.curvature_of_a_keras_cell            # the published cell DARTS_V2
    python -m examples.curvature_of_a_keras_cell LSTM       # or another one, by its name or its genotype.json

`fit` trains a cell to count: each row goes on by its own step, with some slips. Then half of the weights
between the cell's nodes become 0: those with the smallest h w² / 2, which is what h says each one costs. Two
other choices stand beside it: the smallest weights, and random ones.

It works for cells that this package writes as a program: a `DerivedCell` of any genotype (published,
searched, LSTM, GRU, of a space of your own) and a `SearchCell`, in the package's `LanguageModel` with one
softmax. It does not work for `keras.layers.LSTM`, for a Keras cell that you wrote, or for a `DerivedCell`
under another head, such as a classifier: the method needs a rule for all that lies between weight and loss.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.curvature import weights
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space import known

WORDS, SHARE = 12, 0.5


def counting(rows: int, steps: int, seed: int) -> np.ndarray:
    """Rows that go on by 1, 2 or 3 modulo 12; one number of ten is a slip."""
    draw = np.random.default_rng(seed)
    stride, slips = draw.integers(1, 4, (rows, 1)), draw.random((rows, steps)) < 0.1
    regular = (draw.integers(0, WORDS, (rows, 1)) + stride * np.arange(steps)) % WORDS
    return np.where(slips, draw.integers(0, WORDS, (rows, steps)), regular).astype(np.int32)


def train(cell: DerivedCell, text: np.ndarray) -> tuple[LanguageModel, keras.Model]:
    """The language model around the cell, and the Keras model from ids to logits that trained it."""
    language_model = LanguageModel(WORDS, cell, ModelOptions())
    language_model.initialise(seeds.run_seed(0))
    ids = keras.Input([None], dtype="int32")
    logits, _ = language_model(ids)
    network = keras.Model(ids, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    network.fit(text[:, :-1], text[:, 1:], batch_size=64, epochs=8, verbose=2)
    return language_model, network


def curvature(model: LanguageModel, text: np.ndarray) -> dict[str, np.ndarray]:
    """h of the mean loss in nats, by the name of each weight, in its shape."""
    window = tf.constant(text[:, :-1]), tf.constant(text[:, 1:])
    state, options = model.zero_state(len(text)), CurvatureOptions(probes=4)
    found = weights.diagonal(model, [window], state, options, seeds.run_seed(1))
    names = [variable.name for variable in weights.weight_variables(model)]
    return dict(zip(names, found.weights, strict=True))


def main(name: str = "DARTS_V2") -> None:
    """Train, take the curvature, and set weights to 0 by it."""
    keras.utils.set_random_seed(0)
    text, fresh = counting(2048, 21, seed=1), counting(512, 21, seed=2)
    options = DerivedOptions(units=16, init_range=0.2)
    model, network = train(DerivedCell(known.find_genotype(name, seed=0), options), text)
    h = curvature(model, text[:256])
    for weight, values in h.items():
        print(f"{weight:18} {values.shape!s:10} median h {np.median(values):.1e}, largest {values.max():.1e}")

    kernels, draw = model.cell.kernels(), np.random.default_rng(0)
    trained = {key: kernel.numpy() for key, kernel in kernels.items()}
    scores = {
        "none": {key: np.ones(w.shape) for key, w in trained.items()},
        "smallest h w² / 2": {key: h[key] * w**2 / 2 for key, w in trained.items()},
        "smallest |w|": {key: np.abs(w) for key, w in trained.items()},
        "random": {key: draw.random(w.shape) for key, w in trained.items()},
    }
    for removed, score in scores.items():
        limit = np.quantile(np.concatenate([values.ravel() for values in score.values()]), SHARE)
        for key, kernel in kernels.items():
            kernel.assign(np.where(score[key] < limit, 0.0, trained[key]))
        nats = network.evaluate(fresh[:, :-1], fresh[:, 1:], verbose=0)
        print(f"removed {removed:18} {nats:.3f} nats")


if __name__ == "__main__":
    main(*sys.argv[1:2])
