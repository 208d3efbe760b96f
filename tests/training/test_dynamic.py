import contextlib
import math

import numpy as np
import pytest

from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from bayesnas_tf.training.dynamic import DynamicEvaluation, DynamicOptions, adapted, factors
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


def as_in_the_model(twin):
    """The twin's weights as the model's matrices: W_0 in two, the kernels of one source side by side."""
    embedding, bias, w_0, node_1, node_2, node_3, node_4 = twin
    sides = [np.concatenate(pair, axis=1) for pair in ((node_1, node_4), (node_2, node_3))]
    return [embedding, bias, *np.split(w_0, 2), *sides]


def test_both_passes_equal_the_twin():
    model = model_of(GENOTYPE)
    weights = twin_weights(model)
    dynamic = DynamicEvaluation(model, SMALL)
    train, valid = text(31), text(17, seed=1)
    dynamic.gather(train)
    rms = reference.root_mean_squares(weights, GENOTYPE, batching.rows(train, 2), SMALL.bptt)
    for found, wanted in zip(dynamic.root_mean_squares(), as_in_the_model(rms), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    mean = np.mean([part.mean() for part in as_in_the_model(rms)])
    expected = reference.total_nats(weights, GENOTYPE, batching.rows(valid, 1), rms, mean, SMALL)
    nats = dynamic.nats(valid, "valid")
    assert (nats.tokens, nats.rows) == (16, 1)
    np.testing.assert_allclose(nats.nats, expected, rtol=1e-12)
    assert abs(nats.nats - static(model, valid).nats) > 1e-3  # it did adapt


def test_an_update_equals_the_twin_where_the_decay_is_cut_off_and_where_it_is_not():
    random, options = np.random.default_rng(0), DynamicOptions(lr=0.1, decay=0.5, epsilon=0.01)
    weights, gradients, starts = ([random.normal(size=n) for n in ((4, 3), (5,))] for _ in range(3))
    rms = [np.geomspace(1e-3, 10.0, 12).reshape(4, 3), np.linspace(0.0, 4.0, 5)]
    mean = np.mean([part.mean() for part in rms])
    cut = [options.decay * part / mean > 1.0 for part in rms]
    assert all(part.any() and not part.all() for part in cut)
    fixed = factors(rms, options)
    for k in range(2):
        found = adapted(weights[k], gradients[k], starts[k], fixed.rates[k], fixed.pulls[k])
        wanted = reference.update(weights[k], gradients[k], rms[k], starts[k], mean, options)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_one_graph_serves_all_windows_of_a_pass(monkeypatch):
    dynamic, traced, gradients = DynamicEvaluation(model_of(GENOTYPE), SMALL), [], DynamicEvaluation.gradients
    monkeypatch.setattr(dynamic, "gradients", lambda *x: traced.append(x) or gradients(dynamic, *x))
    dynamic.gather(text(30))  # five windows, the last one shorter
    assert len(traced) == 1
    dynamic.nats(text(21), "valid")
    assert len(traced) == 2


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
            if name == "valid" and number == 3:
                assert not np.array_equal(weights_of(model)[0], before[0])
                if fails:
                    raise Stopped
            yield item

    model = model_of(GENOTYPE)
    before = weights_of(model)
    dynamic = DynamicEvaluation(model, SMALL, staged)
    dynamic.gather(text(31))
    with pytest.raises(Stopped) if fails else contextlib.nullcontext():
        dynamic.nats(text(23), "valid")
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
    "wrong",
    [
        {"lr": -1.0},
        {"lr": math.nan},
        {"decay": -1.0},
        {"decay": math.inf},
        {"epsilon": 0.0},
        {"epsilon": math.inf},
        {"bptt": 0},
        {"batch_size": 0},
        {"windows": -1},
    ],
)
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"DynamicOptions\.{next(iter(wrong))}="):
        DynamicOptions(**wrong)


def test_weights_that_run_away_are_an_error_and_come_back():
    model = model_of(GENOTYPE)
    before = weights_of(model)
    dynamic = DynamicEvaluation(model, DynamicOptions(lr=1e6, bptt=3, batch_size=2))
    dynamic.gather(text(31))
    with pytest.raises(UserError, match=r"diverged.*'valid'.*DynamicOptions\.lr=1e\+06"):
        dynamic.nats(text(300), "valid")
    for found, wanted in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_statistics_come_first():
    with pytest.raises(ValueError, match="gather"):
        DynamicEvaluation(model_of(GENOTYPE), SMALL).nats(text(9), "valid")
