import numpy as np
import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.training import validation
from bayesnas_tf.training.execution import window_function
from tests.references import cell as reference
from tests.support.small import BATCH, WORDS, small_model

COLUMNS = 12


def rows():
    return np.random.default_rng(0).integers(0, WORDS, size=(BATCH, COLUMNS)).astype(np.int32)


def nats_by_windows(model, bptt, bucket=1, compiled=False):
    plan = batching.plan(COLUMNS, bptt, 0, jitter=False)
    run = validation.window_nats(model)
    if compiled:
        run = window_function(run, BATCH, False)
    return validation.stream_nats(run, model, batching.windows(rows(), plan, bucket), BATCH)


def test_the_sum_over_windows_is_that_over_the_stream_whatever_the_windows():
    model = small_model(norm="mean")
    cell, ids = reference.copy_of(model.cell, model), rows()
    hidden = reference.run(cell, cell.embedding[ids[:, :-1]], np.zeros((BATCH, cell.units)))
    expected = reference.token_nats(reference.logits(cell, hidden), ids[:, 1:]).sum()
    for bptt, bucket, compiled in ((COLUMNS, 1, False), (4, 1, True), (4, 3, False)):
        total = nats_by_windows(model, bptt, bucket, compiled)
        np.testing.assert_allclose(total.nats, expected, rtol=1e-12)
        assert total.tokens == BATCH * (COLUMNS - 1)
        np.testing.assert_allclose(total.mean, expected / total.tokens, rtol=1e-12)


def test_a_uniform_model_has_the_nats_of_its_vocabulary():
    model = small_model(norm="mean")
    for weight in (model.embedding, model.decoder_bias):
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_allclose(nats_by_windows(model, 4).mean, np.log(WORDS), rtol=1e-12)
