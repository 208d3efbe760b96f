import dataclasses

import numpy as np
import pytest

from bayesnas_tf.training.strategies.bayesnas import oracle
from tests.references import cell as reference
from tests.support.small import UNITS, WORDS, small_model

BATCH, STEPS, WINDOWS = 3, 4, 2


def fixed_windows():
    ids = np.random.default_rng(0).integers(0, WORDS, size=(BATCH, WINDOWS * STEPS + 1)).astype(np.int32)
    starts = range(0, WINDOWS * STEPS, STEPS)
    return [(ids[:, k : k + STEPS], ids[:, k + 1 : k + 1 + STEPS]) for k in starts]


def mean_nats(cell):
    """The windows at once: the state is carried over them."""
    x, y = (np.concatenate(parts, axis=1) for parts in zip(*fixed_windows(), strict=True))
    return reference.nats(cell, x, y, np.zeros((BATCH, UNITS)))


def test_each_change_is_that_of_the_twin_without_the_edge_op():
    model, told = small_model(norm="layer"), []
    kept = model.cell.scalars.numpy()
    changes = oracle.loss_changes(model, fixed_windows(), lambda done, total: told.append((done, total)))
    twin = reference.copy_of(model.cell, model)
    for entry in np.ndindex(kept.shape):
        without = kept.copy()
        without[entry] = 0.0
        expected = mean_nats(dataclasses.replace(twin, scalars=without)) - mean_nats(twin)
        np.testing.assert_allclose(changes[entry], expected, rtol=1e-8, atol=1e-13)
    np.testing.assert_array_equal(model.cell.scalars, kept)
    assert told == [(k, kept.size) for k in range(1, kept.size + 1)]


def test_an_interrupted_oracle_puts_the_scalars_back():
    model = small_model(norm="mean")
    kept = model.cell.scalars.numpy()

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oracle.loss_changes(model, fixed_windows(), stop)
    np.testing.assert_array_equal(model.cell.scalars, kept)
