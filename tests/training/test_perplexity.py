"""Perplexities that pencil and paper know."""

import math

import numpy as np
import pytest

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data import batching
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.validation import stream_nats, window_nats

# p(next | word); the text 0 1 1 2 0 0 has the probabilities 1/4, 3/4, 1/8, 1/3, 1/2, together 1/256
BIGRAMS = np.array([[1 / 2, 1 / 4, 1 / 4], [1 / 8, 3 / 4, 1 / 8], [1 / 3, 1 / 3, 1 / 3]])
TEXT = np.array([0, 1, 1, 2, 0, 0], np.int32)
SCALE = 4.0  # above every |log p|


def model_of(vocabulary, units, genotype):
    cell = DerivedCell(genotype, DerivedOptions(units=units), dtype="float64")
    return LanguageModel(vocabulary, cell, ModelOptions(), dtype="float64")


def bigram_model():
    """A model that knows BIGRAMS and nothing else.

    Its output is node 0. A unit that every embedding sets to 1 opens its gate for good, σ(50) = 1, so that
    h_t = tanh(a) depends on the present word alone. Word k is SCALE · e_k beside that unit, and the rows of
    W_0 are such that SCALE · tanh(a_j) = log p(j | k).
    """
    vocabulary = len(BIGRAMS)
    model = model_of(vocabulary, vocabulary + 1, published.parse("relu0", (0,), "bigrams", "test"))
    units = vocabulary + 1
    model.embedding.assign(np.concatenate([SCALE * np.eye(vocabulary), np.ones((vocabulary, 1))], axis=1))
    candidates = np.arctanh(np.log(BIGRAMS) / SCALE) / SCALE
    kernel = np.zeros((units, 2 * units))
    kernel[-1, :units] = 50.0
    kernel[:vocabulary, units : units + vocabulary] = candidates
    model.cell.kernel.assign(kernel)
    for weight in (model.cell.recurrent_kernel, model.cell.source_kernels["0"]):
        weight.assign(np.zeros(weight.shape))
    return model


def random_model():
    """A model in which everything before a word matters."""
    model = model_of(11, 7, published.named("DARTS_V2"))
    model.initialise(seeds.run_seed(5))
    for weight in model.cell.weights:
        weight.assign(12.0 * weight)
    return model


def measure(model, rows, bptt=35, bucket=1):
    plan = batching.plan(rows.shape[1], bptt, 0, jitter=False)
    run = window_function(window_nats(model), len(rows), False)
    return stream_nats(run, model, batching.windows(rows, plan, bucket), len(rows))


@pytest.mark.parametrize("vocabulary", [2, 1000, 33_278])
def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(vocabulary):
    model = model_of(vocabulary, 3, published.parse("tanh0", (), "any", "test"))
    model.embedding.assign(np.zeros(model.embedding.shape))
    stream = np.random.default_rng(0).integers(0, vocabulary, size=(2, 40)).astype(np.int32)
    result = measure(model, stream)
    assert result.tokens == 2 * 39
    # a sum of n terms is off by n half units of its last place at most, and exp multiplies that by log V
    bound = (result.tokens * math.log(vocabulary) + 1.0) * 2.0**-53
    assert math.exp(result.mean) == pytest.approx(vocabulary, rel=bound)


def test_a_bigram_model_has_the_perplexity_of_its_products():
    one_row = measure(bigram_model(), TEXT[np.newaxis])
    assert one_row.tokens == 5
    assert one_row.nats == pytest.approx(8 * math.log(2), rel=1e-14)
    assert math.exp(one_row.mean) == pytest.approx(2 ** (8 / 5), rel=1e-14)


def test_the_first_token_of_each_row_is_not_predicted():
    # 0 1 1 and 2 0 0: 1/4 · 3/4 and 1/3 · 1/2 make 1/32
    two_rows = measure(bigram_model(), batching.rows(TEXT, 2))
    assert (two_rows.tokens, two_rows.rows) == (4, 2)
    assert two_rows.nats == pytest.approx(5 * math.log(2), rel=1e-14)


@pytest.mark.parametrize(("bptt", "bucket"), [(1, 1), (7, 1), (7, 10), (35, 1), (35, 40)])
def test_windows_change_nats_by_rounding_alone(bptt, bucket):
    model, rows = random_model(), np.random.default_rng(1).integers(0, 11, size=(3, 90)).astype(np.int32)
    whole = measure(model, rows, bptt=89)
    found = measure(model, rows, bptt, bucket)
    assert found.tokens == whole.tokens == 3 * 89
    assert found.nats == pytest.approx(whole.nats, rel=1e-12)
    # a state that was not carried would show
    halves = [measure(model, rows[:, :46]), measure(model, rows[:, 45:])]
    assert sum(half.tokens for half in halves) == whole.tokens
    assert sum(half.nats for half in halves) != pytest.approx(whole.nats, rel=1e-6)


def test_rows_are_texts_of_their_own():
    model, stream = random_model(), np.random.default_rng(2).integers(0, 11, size=120).astype(np.int32)
    rows = batching.rows(stream, 4)
    alone = [measure(model, row[np.newaxis]) for row in rows]
    together = measure(model, rows)
    assert together.nats == pytest.approx(sum(part.nats for part in alone), rel=1e-12)
    assert together.tokens == sum(part.tokens for part in alone)


def test_darts_counts_as_its_own_loop_does():
    model, bptt = random_model(), 35
    rows = np.random.default_rng(3).integers(0, 11, size=(10, 104)).astype(np.int32)
    # its evaluate(): total_loss += loss · len(data) over windows of `bptt`, then / len(data_source)
    total, state = 0.0, model.zero_state(len(rows))
    for start in range(0, rows.shape[1] - 1, bptt):
        x, y = rows[:, start : start + bptt], rows[:, start + 1 : start + 1 + bptt]
        x = x[:, : y.shape[1]]
        nats, state = window_nats(model)(x, y, y.shape[1], state)
        total += float(nats) / y.size * y.shape[1]
    assert measure(model, rows).darts_mean == pytest.approx(total / rows.shape[1], rel=1e-12)
