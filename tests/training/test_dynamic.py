import numpy as np
import pytest

from bayesnas_tf.data import batching
from bayesnas_tf.training.dynamic import DynamicEvaluation, DynamicOptions
from bayesnas_tf.training.validation import stream_nats, window_nats
from tests.references import dynamic as reference
from tests.training.test_evaluate_step import GENOTYPES, V, model_of, twin_weights

GENOTYPE = GENOTYPES["shared sources"]  # sigmoid0 relu1 relu1 tanh0
SMALL = DynamicOptions(lr=0.02, decay=0.05, epsilon=1e-3, bptt=3, batch_size=2)


def text(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, V, size=tokens).astype(np.int32)


def weights_of(model):
    return [weight.numpy() for weight in model.trainable_variables]


def static(model, stream):
    rows = batching.rows(stream, 1)
    plan = batching.plan(rows.shape[1], 4, 0, jitter=False)
    return stream_nats(window_nats(model), model, batching.windows(rows, plan, 1), 1)


def split_w_0(weights):
    """The twin's weights with W_0 as its two matrices: input and recurrent rows."""
    embedding, bias, w_0, *kernels = weights
    return [embedding, bias, *np.split(w_0, 2), *kernels]


def test_both_passes_equal_the_twin():
    model = model_of(GENOTYPE)
    weights = twin_weights(model)
    dynamic = DynamicEvaluation(model, SMALL)
    train, valid = text(31), text(17, seed=1)
    dynamic.gather(train)
    rms = reference.root_mean_squares(weights, GENOTYPE, batching.rows(train, 2), SMALL.bptt)
    found = [np.sqrt(s.numpy() / dynamic.windows.numpy()) for s in dynamic.squares]
    np.testing.assert_allclose(
        sorted(np.concatenate([f.ravel() for f in found])),
        sorted(np.concatenate([r.ravel() for r in rms])),
        rtol=1e-9,
    )
    # the model's matrices: embedding, bias, W_0 above and below, kernels of nodes (1, 4) and (2, 3)
    means = [part.mean() for part in split_w_0(rms)[:4]]
    means += [np.concatenate([rms[3], rms[6]]).mean(), np.concatenate([rms[4], rms[5]]).mean()]
    rows = batching.rows(valid, 1)
    expected = reference.total_nats(weights, GENOTYPE, rows, rms, np.mean(means), SMALL)
    nats = dynamic.nats(valid, "valid")
    assert (nats.tokens, nats.rows) == (16, 1)
    np.testing.assert_allclose(nats.nats, expected, rtol=1e-10)
    assert abs(nats.nats - static(model, valid).nats) > 1e-3  # it did adapt


def test_each_window_is_predicted_before_it_is_learnt():
    model = model_of(GENOTYPE)
    dynamic = DynamicEvaluation(model, SMALL)
    dynamic.gather(text(31))
    first = text(SMALL.bptt + 1, seed=2)
    assert dynamic.nats(first, "one window").nats == pytest.approx(static(model, first).nats, rel=1e-12)


def test_without_rate_nothing_adapts():
    model, stream = model_of(GENOTYPE), text(23)
    dynamic = DynamicEvaluation(model, DynamicOptions(lr=0.0, bptt=3, batch_size=2))
    dynamic.gather(text(31))
    assert dynamic.nats(stream, "still").nats == pytest.approx(static(model, stream).nats, rel=1e-12)


def test_a_text_that_repeats_itself_is_learnt():
    model, stream = model_of(GENOTYPE), np.tile(text(7, seed=3), 20)
    dynamic = DynamicEvaluation(model, SMALL)
    dynamic.gather(text(101))
    assert dynamic.nats(stream, "repeats").mean < 0.9 * static(model, stream).mean


@pytest.mark.parametrize("fails", [False, True])
def test_the_weights_come_back_to_the_bit(fails):
    class Stopped(Exception):
        pass

    def staged(name, items, total):
        for number, item in enumerate(items):
            if fails and name == "valid" and number == 3:
                raise Stopped
            yield item

    model = model_of(GENOTYPE)
    before = weights_of(model)
    dynamic = DynamicEvaluation(model, SMALL, staged)
    dynamic.gather(text(31))
    try:
        dynamic.nats(text(23), "valid")
    except Stopped:
        assert fails
    for found, wanted in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_statistics_of_fewer_windows_and_of_a_short_text():
    dynamic = DynamicEvaluation(model_of(GENOTYPE), DynamicOptions(bptt=3, batch_size=2, windows=2))
    dynamic.gather(text(31))
    assert int(dynamic.windows) == 2
    short = DynamicEvaluation(model_of(GENOTYPE), DynamicOptions(bptt=3, batch_size=100))
    short.gather(text(9))
    assert int(short.windows) == 1
    assert all(np.all(np.isfinite(square)) for square in short.squares)


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"decay": -1.0}, {"epsilon": 0.0}, {"bptt": 0}, {"windows": -1}]
)
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"DynamicOptions\.{next(iter(wrong))}="):
        DynamicOptions(**wrong)
