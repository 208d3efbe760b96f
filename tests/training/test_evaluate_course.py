"""Between the epochs of an evaluation: the switch to averages, early stop, rollback, and kills."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.errors import UserError
from bayesnas_tf.training.settings import AveragingOptions, OptimizerOptions
from bayesnas_tf.training.train_loop import Diverged
from tests.training.test_evaluate_loop import Listener, loop, weights

AVERAGED = {"epochs": 4, "averaging": AveragingOptions(after_epoch=2)}


class Killed(Exception):
    """In place of SIGKILL: nothing is saved on its way out."""


class Killer(Listener):
    """Ends the process at one step, or in one validation."""

    def __init__(self, step=None, validation=None):
        super().__init__()
        self.step, self.validation = step, validation

    def on_step(self, record):
        if record.step == self.step:
            raise Killed

    def on_stage(self, name, done, total):
        super().on_stage(name, done, total)
        if name == "valid" and done == 1 and self.stages.count((name, done, total)) == self.validation:
            raise Killed


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """An unbroken run of four epochs that averages after the second."""
    listener = Listener()
    trained = loop(tmp_path_factory.mktemp("averaged"), listener, **AVERAGED)
    return trained, listener, trained.run()


def test_epochs_after_the_switch_are_validated_under_the_average(averaged):
    trained, listener, result = averaged
    assert [record.averaged for record in listener.epochs] == [False, False, True, True]
    assert result.asgd_epoch == 3
    steps = listener.epochs[-1].step - listener.epochs[1].step
    optimizer = trained.step.optimizer
    assert int(optimizer.iterations) - int(optimizer._start) == steps


def test_the_best_weights_are_the_average_and_training_goes_on_from_the_iterate(averaged):
    trained, listener, _ = averaged
    best = int(np.argmin([record.valid_nats for record in listener.epochs]))
    assert best == 3  # else this test says nothing
    variables = trained.model.trainable_variables
    for variable, average in zip(variables, trained.step.optimizer._averages, strict=True):
        np.testing.assert_array_equal(variable, average)
    iterate = loop(trained.directory, **AVERAGED)
    assert iterate.checkpoints.restore()  # of the last step
    assert not np.array_equal(iterate.model.embedding, trained.model.embedding)


KILLS = (
    {"step": 6},  # before the switch
    {"validation": 2},  # that switches
    {"step": 18},  # in the first averaged epoch
    {"validation": 1},  # of that epoch, while the averages are in place
    {"step": 27},  # in the last epoch
)


def test_kills_leave_no_trace(tmp_path, averaged):
    whole, heard, expected = averaged
    ends = [record.step for record in heard.epochs]
    assert ends[0] > 6 and ends[1] < 18 < ends[2] < 27 < ends[3]
    for kill in KILLS:
        with pytest.raises(Killed):
            loop(tmp_path, Killer(**kill), **AVERAGED).run()
    resumed = loop(tmp_path, Listener(), **AVERAGED)
    result = resumed.run()
    assert result[:6] == expected[:6]
    for found, wanted in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)
    optimizers = resumed.step.optimizer.variables, whole.step.optimizer.variables
    for found, wanted in zip(*optimizers, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("losses", "asgd_epoch"), [((3.0, 2.0, 2.5, 2.2, 1.0), 5), ((3.0, 2.9, 2.8, 2.7, 2.6), 0)]
)
def test_the_trigger_looks_at_the_losses(tmp_path, monkeypatch, losses, asgd_epoch):
    trained = loop(tmp_path, epochs=5, averaging=AveragingOptions(nonmono=1))
    script = iter(losses)
    monkeypatch.setattr(trained, "measure", lambda *_: SimpleNamespace(mean=next(script)))
    for _ in losses:
        trained.validate()
        trained.end_epoch()
    assert int(trained.course.asgd_epoch) == asgd_epoch


def test_training_ends_when_validation_stops_improving(tmp_path):
    trained = loop(tmp_path, epochs=50, patience=2)
    validate = trained.validate

    def worsen():
        if int(trained.progress.epoch) >= 1:
            trained.model.decoder_bias.assign(10.0 * np.arange(9))
        validate()

    trained.validate = worsen
    result = trained.run()
    assert result.epochs == 3
    assert int(trained.progress.epoch) == 3


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_validation_that_is_not_finite_is_the_worst_and_stops_nothing(tmp_path, monkeypatch, odd):
    script = [odd, 3.0, 2.0, 1.9, 1.8, 1.7]
    trained = loop(tmp_path, epochs=6, patience=3, averaging=AveragingOptions(nonmono=1))
    left = iter(script)
    monkeypatch.setattr(trained, "measure", lambda *_: SimpleNamespace(mean=next(left)))
    for _ in script:
        assert not trained.ended()  # an improving run goes on
        trained.validate()
        trained.end_epoch()
    assert float(trained.progress.best_nats) == 1.7
    assert int(trained.course.asgd_epoch) == 0


def test_a_run_without_any_finite_validation_says_so(tmp_path, monkeypatch):
    trained = loop(tmp_path, epochs=2)
    monkeypatch.setattr(trained, "measure", lambda *_: SimpleNamespace(mean=float("nan")))
    with pytest.raises(
        UserError, match=r"none of 2 epochs in .* has a finite validation loss.*Lower WeightOptions\.lr"
    ):
        trained.run()


def test_averaging_that_was_planned_and_never_done_is_not_told(tmp_path, monkeypatch):
    # the trigger fires after the epoch with which patience ends the run
    trained = loop(tmp_path, epochs=50, patience=2, averaging=AveragingOptions(nonmono=1))
    script = iter([3.0, 3.5, 4.0])
    measure = trained.measure
    monkeypatch.setattr(
        trained,
        "measure",
        lambda split, rows: SimpleNamespace(mean=next(script)) if split == "valid" else measure(split, rows),
    )
    while not trained.ended():
        trained.train_epoch()
        trained.validate()
        trained.end_epoch()
    assert (int(trained.progress.epoch), int(trained.course.asgd_epoch)) == (3, 4)
    assert trained.averaged_from() is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 3, "averaging": AveragingOptions(after_epoch=3)}, ["averages nothing in 3 epochs"]),
        ({"epochs": 9, "patience": 5}, ["ends training before averaging begins"]),
        ({"epochs": 9, "patience": 6}, []),
        ({"epochs": 9, "patience": 2, "averaging": AveragingOptions(after_epoch=1)}, []),
        ({"epochs": 9, "patience": 2, "optimizer": OptimizerOptions(rule="adam")}, []),
    ],
)
def test_what_cannot_work_together_is_noted(tmp_path, settings, words):
    notes = loop(tmp_path, **settings).settings.notes()
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


def poison(trained, at, times):
    """Make the carried state infinite before the step number `at`, so many times."""
    window, left = trained.train_window, [times]

    def poisoned(x, y, length, step):
        if int(step) == at and left[0]:
            left[0] -= 1
            trained.step.state.assign(tf.fill(trained.step.state.shape, np.float32(np.nan)))
        window(x, y, length, step)

    trained.train_window = poisoned


def test_after_a_nan_training_goes_on_from_the_last_good_state_with_other_masks(tmp_path, averaged):
    class Rolled(Listener):
        def __init__(self):
            super().__init__()
            self.rollbacks = []

        def on_rollback(self, facts, number):
            self.rollbacks.append((facts.step, number))

    listener = Rolled()
    trained = loop(tmp_path, listener, **AVERAGED)
    poison(trained, at=6, times=1)
    result = trained.run()
    assert listener.rollbacks == [(4, 1)]
    assert result.rollbacks == 1
    assert np.isfinite(result.test.nats)
    whole = averaged[1]
    steps = [record.step for record in listener.steps]
    assert steps[:7] == [1, 2, 3, 4, 5, 6, 5]
    assert listener.steps[3].nats == whole.steps[3].nats
    assert listener.steps[6].nats != whole.steps[4].nats


def test_a_rollback_is_counted_even_if_the_process_dies_after_it(tmp_path):
    trained = loop(tmp_path, epochs=1, rollbacks=1)
    poison(trained, at=6, times=9)
    with pytest.raises(Diverged):
        trained.run()
    again = loop(tmp_path, epochs=1, rollbacks=1)
    poison(again, at=6, times=9)
    with pytest.raises(Diverged):
        again.run()
    assert int(again.course.rollbacks) == 1


def test_without_a_good_state_there_is_no_rollback(tmp_path):
    trained = loop(tmp_path, epochs=1)
    poison(trained, at=1, times=1)
    with pytest.raises(Diverged, match="none yet"):
        trained.run()
