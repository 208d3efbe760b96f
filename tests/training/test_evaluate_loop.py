import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedOptions
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import ModelOptions
from bayesnas_tf.numerics import blocks, seeds
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.training.dynamic import DynamicOptions
from bayesnas_tf.training.evaluate_loop import EvaluateLoop
from bayesnas_tf.training.evaluate_settings import EvaluateSettings, build, evaluation_rows
from bayesnas_tf.training.records import Callbacks
from bayesnas_tf.training.settings import AveragingOptions, WeightOptions, WindowOptions
from tests.references import derived as reference

GENOTYPE = Genotype((Node(0, "tanh"), Node(1, "relu"), Node(0, "identity")), (1, 2, 3), "small")
U, V = 6, 9


class Listener(Callbacks):
    """Keeps what it hears; asks for a stop after the step `stop_at`."""

    def __init__(self, stop_at=None):
        self.stop_at, self.steps, self.epochs, self.stages = stop_at, [], [], []

    def on_step(self, record):
        self.steps.append(record)
        if record.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_stage(self, name, done, total):
        self.stages.append((name, done, total))

    def on_epoch(self, record):
        self.epochs.append(record)


def corpus(train=400, valid=60, test=30):
    """A text in which each word nearly determines the next one."""
    random = np.random.default_rng(0)
    lengths = (train, valid, test)
    ids = [0]
    for _ in range(sum(lengths) - 1):
        ids.append((ids[-1] + 1) % V if random.random() < 0.9 else int(random.integers(V)))
    streams = np.split(np.array(ids, np.int32), np.cumsum(lengths)[:-1])
    return Corpus("counting", Vocabulary((*"abcdefg", "<unk>", "<eos>")), *streams)


def settings(**changes):
    return EvaluateSettings(
        CorpusOptions(),
        DerivedOptions(units=U, input_dropout=0.2, hidden_dropout=0.2, init_range=0.3),
        ModelOptions(word_dropout=0.1, embedding_dropout=0.1, output_dropout=0.2, embedding_range=0.5),
        WindowOptions(batch_size=8, bptt=6),
        WeightOptions(lr=5.0, temporal_activation=1e-3),
        **{
            "averaging": AveragingOptions(),
            "dynamic": DynamicOptions(bptt=5, batch_size=4),
            "epochs": 2,
            "report_every": 1,
            "checkpoint_every": 4,
            **changes,
        },
    )


def loop(folder, listener=None, seed=3, **changes):
    chosen = settings(**changes)
    return EvaluateLoop(build(chosen, corpus(), GENOTYPE, seed), chosen, seed, folder, listener or Listener())


def weights(trained):
    return [variable.numpy() for variable in trained.model.variables]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A run from beginning to end, what its listener heard, and its result."""
    listener = Listener()
    trained = loop(tmp_path_factory.mktemp("whole"), listener)
    return trained, listener, trained.run()


def test_training_learns_and_tells_its_listeners(unbroken):
    trained, listener, result = unbroken
    assert listener.steps[-1].nats < 0.95 * listener.steps[0].nats
    assert [record.epoch for record in listener.epochs] == [1, 2]
    assert result.valid.mean == min(record.valid_nats for record in listener.epochs)
    assert listener.steps[-1].step == int(trained.progress.step)
    assert {name for name, _, _ in listener.stages} == {"valid", "valid as one row", "test"}
    assert result.valid.tokens == 10 * (60 // 10 - 1)
    assert result.test.tokens == 30 - 1


def test_test_nats_equal_the_twin_token_by_token(unbroken):
    trained, _, result = unbroken
    cell = trained.model.cell
    w_0 = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()]).astype(np.float64)
    first, third = np.split(cell.source_kernels["0"].numpy(), 2, axis=1)
    kernels = [first, cell.source_kernels["1"].numpy(), third]

    def step(x, h):
        return reference.step(x, h, w_0, kernels, GENOTYPE.nodes, GENOTYPE.output)

    embedding, bias = trained.model.embedding.numpy(), trained.model.decoder_bias.numpy()
    expected = reference.token_nats(trained.problem.corpus.test, embedding, bias, step)
    assert result.test.nats == pytest.approx(expected.sum(), rel=1e-5)


def test_validation_in_blocks_is_that_of_the_weights_of_each_epoch(tmp_path, unbroken, monkeypatch):
    monkeypatch.setattr(blocks, "VALUES", 1)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    heard, (_, plainly, plain) = Listener(), unbroken
    trained = loop(tmp_path, heard)
    assert trained.kernel_blocks.kernels
    result = trained.run()
    for found, expected in zip(heard.epochs, plainly.epochs, strict=True):
        assert found.valid_nats == pytest.approx(expected.valid_nats, rel=1e-5)
    for found, expected in zip(result[:3], plain[:3], strict=True):
        assert found.nats == pytest.approx(expected.nats, rel=1e-5)


def test_the_best_weights_are_kept_when_training_gets_worse(tmp_path):
    trained = loop(tmp_path)
    validate, best = trained.validate, []

    def worsen():
        if int(trained.progress.epoch) == 1:
            trained.model.decoder_bias.assign(10.0 * np.arange(V))
        validate()
        best.append(float(trained.progress.best_nats))

    trained.validate = worsen
    result = trained.run()
    assert best[0] == best[1] == pytest.approx(result.valid.mean)


@pytest.mark.parametrize("stop_at", [3, "end of epoch"])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, unbroken, stop_at):
    whole, heard, expected = unbroken
    stop_at = heard.epochs[0].step if stop_at == "end of epoch" else stop_at
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path, Listener(stop_at)).run()
    listener = Listener()
    resumed = loop(tmp_path, listener)
    result = resumed.run()
    assert listener.steps[0].step == stop_at + 1
    assert result[:2] == expected[:2]
    for found, wanted in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_killed_run_repeats_what_was_not_saved_and_an_ended_one_trains_no_more(tmp_path, unbroken):
    class Killed(Exception):
        pass

    class Killer(Listener):
        def on_step(self, record):
            if record.step == 7:  # the last checkpoint is of step 4
                raise Killed

    with pytest.raises(Killed):
        loop(tmp_path, Killer()).run()
    listener = Listener()
    assert loop(tmp_path, listener).run()[:2] == unbroken[2][:2]
    assert listener.steps[0].step == 5
    listener = Listener()
    assert loop(tmp_path, listener).run()[:2] == unbroken[2][:2]
    assert listener.steps == []


def test_divergence_names_the_rate_and_leaves_the_last_good_state(tmp_path):
    stopped, trained = loop(tmp_path, Listener(stop_at=2)), loop(tmp_path, rollbacks=0)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    good = stopped.checkpoints.last_path
    trained.lr = tf.constant(np.inf, tf.float32)
    with pytest.raises(UserError, match=r"diverged.*Lower WeightOptions\.lr.*last/ckpt-1"):
        trained.run()
    assert trained.checkpoints.last_path == good


def test_a_padded_window_trains_as_an_exact_one():
    x = np.arange(8 * 5, dtype=np.int32).reshape(8, 5) % V
    results = []
    for padding in (0, 4):
        problem = build(settings(), corpus(), GENOTYPE, 3)
        pairs = [tf.constant(np.pad(array, [[0, 0], [0, padding]])) for array in (x, (x + 1) % V)]
        problem.step(*pairs, tf.constant(5), tf.constant(2.0), seeds.run_seed(1))
        results.append(
            [v.numpy() for v in (*problem.model.variables, problem.step.state, *problem.step.totals)]
        )
    for exact, padded in zip(*results, strict=True):
        np.testing.assert_allclose(padded, exact, rtol=1e-5, atol=1e-7)
    assert results[0][-1] == 8 * 5


def test_the_rate_of_a_window_is_in_proportion_to_its_length():
    moved = []
    for bptt in (6, 12):
        chosen = settings()
        problem = build(chosen, corpus(), GENOTYPE, 3)
        before = problem.model.decoder_bias.numpy()
        problem.step.bptt = bptt
        x = tf.constant(np.arange(48).reshape(8, 6) % V, tf.int32)
        problem.step(x, x, tf.constant(6), tf.constant(2.0), seeds.run_seed(1))
        moved.append(problem.model.decoder_bias.numpy() - before)
    np.testing.assert_allclose(moved[0], 2.0 * moved[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("tokens", "batch", "rows"), [(100, 10, 10), (19, 10, 9), (3, 10, 1), (2, 10, 1)])
def test_rows_shrink_to_what_a_short_split_can_fill(tokens, batch, rows):
    assert len(evaluation_rows(np.arange(tokens, dtype=np.int32), batch, "tiny")) == rows


def test_a_training_split_without_one_window_is_refused_and_a_short_valid_one_is_not():
    chosen = settings()  # 8 rows, windows of 6 steps
    assert build(chosen, corpus(train=56, valid=2, test=2), GENOTYPE, 0).train_rows.shape == (8, 7)
    with pytest.raises(UserError, match=r"counting \(train\) is too short: 55 tokens.* 6 steps.*at least 7"):
        build(chosen, corpus(train=55), GENOTYPE, 0)


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_split_without_one_prediction_is_refused(tokens):
    with pytest.raises(UserError, match=r"tiny \(valid\) is too short"):
        evaluation_rows(np.zeros(tokens, np.int32), 10, "tiny (valid)")


@pytest.mark.parametrize("name", ["epochs", "eval_batch_size", "test_batch_size", "report_every"])
def test_impossible_settings_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"evaluate\.{name}=0"):
        settings(**{name: 0})
