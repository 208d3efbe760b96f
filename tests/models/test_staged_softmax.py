"""The staged loss equals the softmax that TensorFlow differentiates, in values and in gradients."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.models import staged_softmax
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.settings import WeightOptions, WindowOptions

B, U, V = 3, 5, 11


def model_of(dtype="float64", matmul_dtype="float32", staged=False):
    """A model whose weights are not small: logits of all sizes."""
    cell = DerivedCell(published.named("DARTS_V2"), DerivedOptions(U), dtype=dtype)
    options, execution = ModelOptions(matmul_dtype=matmul_dtype), Execution(head=staged)
    model = LanguageModel(V, cell, options, execution=execution, dtype=dtype)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    return model


def loss_and_gradients(model, steps, compiled=True):
    """Nats `[B, T]`, and the gradients of hidden states, embedding and bias for a random upstream."""
    random = np.random.default_rng(steps)
    hidden = tf.constant(4.0 * random.normal(size=(B, steps, U)), model.embedding.dtype)
    targets = tf.constant(random.integers(0, V, size=(B, steps)), tf.int32)
    upstream = tf.constant(random.normal(size=(B, steps)), hidden.dtype)
    weights = [model.embedding.value, model.decoder_bias.value]

    def run(hidden):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            nats = model.token_nats(hidden, targets)
        return nats, tape.gradient(nats, [hidden, *weights], upstream)

    nats, gradients = tf.function(run, autograph=False)(hidden) if compiled else run(hidden)
    return [nats.numpy(), *(tf.convert_to_tensor(gradient).numpy() for gradient in gradients)]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("steps", [1, 4])
def test_nats_and_gradients_equal_those_of_the_plain_softmax(steps, compiled):
    plain, staged = (loss_and_gradients(model_of(staged=form), steps, compiled) for form in (False, True))
    for left, right in zip(plain, staged, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-12, atol=1e-13)


def test_bfloat16_rounds_what_the_plain_form_rounds_and_the_bias_gradient():
    models = (model_of("float32", "bfloat16", form) for form in (False, True))
    plain, staged = (loss_and_gradients(model, 6) for model in models)
    for left, right in zip(plain[:3], staged[:3], strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-2, atol=1e-2 * np.abs(left).max())
    np.testing.assert_allclose(staged[0], plain[0], rtol=1e-5, atol=1e-5)  # the logits are the same ones
    np.testing.assert_allclose(staged[3], plain[3], rtol=1e-2, atol=1e-2 * np.abs(plain[3]).max())


def test_large_logits_neither_overflow_nor_vanish():
    model = model_of("float32", staged=True)
    model.decoder_bias.assign(tf.one_hot(2, V) * 1000.0)
    nats, *gradients = loss_and_gradients(model, 4)
    assert np.isfinite(nats).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert nats.max() > 900.0


def test_a_stage_is_traced_once_for_windows_of_all_lengths():
    model = model_of(staged=True)
    step = EvaluateStep(model, WindowOptions(batch_size=B, bptt=4), WeightOptions())
    run, before = window_function(step, B, xla=False), traces()
    for steps in (4, 7, 2):
        ids = tf.zeros([B, steps], tf.int32)
        run(ids, ids, tf.constant(steps), tf.constant(1.0, tf.float64), tf.constant([0, 1]))
    assert [after - then for after, then in zip(traces(), before, strict=True)] in ([0, 0], [1, 1])


def traces():
    """How often each of the two stages has been traced so far."""
    return [
        stage.experimental_get_tracing_count() for stage in (staged_softmax._nats, staged_softmax._of_logits)
    ]


def test_stages_run_one_after_the_other():
    model = model_of(staged=True)
    hidden, targets = tf.zeros([B, 4, U], tf.float64), tf.zeros([B, 4], tf.int32)

    def gradient(hidden):
        return tf.gradients(model.token_nats(hidden, targets), hidden)

    graph = tf.function(gradient, autograph=False).get_concrete_function(hidden).graph
    loops = [op.get_attr("parallel_iterations") for op in graph.get_operations() if "While" in op.type]
    assert loops == [1, 1]


@pytest.mark.parametrize(("rows", "words"), [(3, 11), (64, 33_278), (32, 10_000)])
def test_a_sum_over_words_is_none_over_many_values(rows, words):
    def compiled(stage, *arguments):
        return stage.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")

    plain = tf.function(lambda x: tf.reduce_sum(tf.exp(x), axis=-1), jit_compile=True, autograph=False)
    if "ynn" not in compiled(plain, tf.zeros([64, 10_000])):
        pytest.skip("no sum that this XLA compiles is named after YNNPACK: it hands none over, or renamed it")
    ours = compiled(
        staged_softmax._nats, tf.zeros([rows, words]), tf.zeros([words]), tf.zeros([rows], tf.int32)
    )
    assert "ynn" not in ours  # not safe to run twice at the same time


def test_slices_of_the_words_lose_none():
    logits = np.random.default_rng(0).normal(size=(3, 33_000)).astype(np.float32) * 3.0
    bias, targets = np.linspace(-1.0, 1.0, 33_000, dtype=np.float32), np.array([0, 32_999, 7])
    nats, log_sums = staged_softmax._nats(*map(tf.constant, (logits, bias, targets)))
    precise = (logits + bias).astype(np.float64)
    expected = np.log(np.exp(precise - precise.max(axis=1, keepdims=True)).sum(axis=1)) + precise.max(axis=1)
    np.testing.assert_allclose(log_sums, expected, rtol=1e-6)
    np.testing.assert_allclose(nats, expected - precise[[0, 1, 2], targets], rtol=1e-5)
