"""Train a finished cell epoch by epoch, keep the best weights, measure their perplexity."""

import functools
import math
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import seeds
from bayesnas_tf.optim import trigger
from bayesnas_tf.training import checkpoints
from bayesnas_tf.training.dynamic import DynamicEvaluation
from bayesnas_tf.training.evaluate_settings import EvaluateProblem, EvaluateSettings
from bayesnas_tf.training.execution import blocks_for, window_function
from bayesnas_tf.training.records import Callbacks
from bayesnas_tf.training.stopping import stop_request
from bayesnas_tf.training.train_loop import MASK_SEED, Diverged, TrainLoop
from bayesnas_tf.training.validation import StreamNats, stream_nats, window_nats


class EvaluateResult(NamedTuple):
    """What a finished evaluation hands over; all sums are those of the best weights."""

    valid: StreamNats
    valid_stream: StreamNats  # the validation split as one row, all of its tokens but the first predicted
    test: StreamNats
    epochs: int
    asgd_epoch: int | None  # the first epoch whose iterates were averaged
    rollbacks: int
    train_seconds: float
    tokens_per_second: float


class DynamicResult(NamedTuple):
    """Both splits as one row each, under the best weights that adapt while they read."""

    valid: StreamNats
    test: StreamNats


class Course(tf.Module):
    """What an evaluation remembers of its epochs, as variables so that a checkpoint holds them."""

    def __init__(self):
        """Nothing validated, nothing averaged."""
        super().__init__()
        # one loss per epoch; of no fixed length, because a run may be extended
        self.valid_nats = tf.Variable(tf.zeros([0], tf.float64), shape=[None], trainable=False)
        self.asgd_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)  # 0: not averaged
        self.rollbacks = tf.Variable(0, dtype=tf.int64, trainable=False)


class EvaluateLoop(TrainLoop):
    """One evaluation: NT-ASGD for all epochs, then validation and test split under the best weights."""

    def __init__(
        self,
        problem: EvaluateProblem,
        settings: EvaluateSettings,
        seed: int,
        directory: Path,
        callbacks: Callbacks,
    ):
        """Nothing is read or written until `run`; checkpoints go below `directory`."""
        super().__init__(problem, settings, seed, callbacks)
        self.directory, self.course = directory, Course()
        self.begun = False
        self.checkpoints = checkpoints.Checkpoints(
            directory,
            self.replicas,
            self.step.added,
            model=self.model,
            step=self.step,
            progress=self.progress,
            course=self.course,
        )
        self.kernel_blocks = blocks_for(self.model)
        nats = window_nats(self.model, kernel_blocks=self.kernel_blocks)
        self.window_nats = {
            batch: window_function(nats, batch, False)
            for batch in {len(problem.valid_rows), len(problem.test_rows), 1}
        }

    def run(self) -> EvaluateResult:
        """Train from where the last checkpoint left it, then measure.

        Raises:
          UserError: the loss or a weight is no longer finite, for the last time that is forgiven.
          KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self.begin()
        problem = self.problem
        with stop_request() as self.stop:
            while not self.ended():
                try:
                    self.train_epoch()
                except Diverged as error:
                    self.roll_back(error)
                    continue
                self.validate()
                self.end_epoch()
            self.check_any_best()
            self.replicas.wait()  # for the first process to have written it
            checkpoints.restore_best(self.directory, self.model)
            valid, test = self.measure("valid", problem.valid_rows), self.measure("test", problem.test_rows)
            stream = self.measure("valid as one row", batching.rows(problem.corpus.valid, 1))
        return EvaluateResult(
            valid=valid,
            valid_stream=stream,
            test=test,
            epochs=int(self.progress.epoch),
            asgd_epoch=self.averaged_from(),
            rollbacks=int(self.course.rollbacks),
            train_seconds=float(self.progress.train_seconds),
            tokens_per_second=self.tokens_per_second,
        )

    def adapt(self) -> DynamicResult:
        """Measure with weights that adapt, from the best ones on; each split begins with those.

        Raises:
          UserError: no epoch has ended yet.
          KeyboardInterrupt: SIGINT or SIGTERM came.
        """
        self.begin()
        corpus = self.problem.corpus
        watched = functools.partial(self.staged, every=self.settings.report_every)
        with stop_request() as self.stop:
            checkpoints.restore_best(self.directory, self.model)
            dynamic = DynamicEvaluation(self.model, self.settings.dynamic, watched)
            dynamic.gather(corpus.train)
            return DynamicResult(
                dynamic.nats(corpus.valid, "dynamic valid"), dynamic.nats(corpus.test, "dynamic test")
            )

    def begin(self) -> None:
        """Go to the last checkpoint and tell the listeners, once per process."""
        if not self.begun:
            self.checkpoints.restore()
            if int(self.progress.window) == 0:
                self.average_after(int(self.progress.epoch))  # where a run that is extended did not ask
            self.callbacks.on_start(self.evaluation_facts())
            self.begun = True

    def evaluation_facts(self):
        """What listeners hear when training begins or goes on."""
        return self.facts("evaluate", f"{self.problem.name} on {self.problem.corpus.name}")

    def ended(self) -> bool:
        """Whether all epochs are done, or too many of them without a better validation loss."""
        epoch, patience = int(self.progress.epoch), self.settings.patience
        if epoch == self.settings.epochs:
            return True
        losses = self.course.valid_nats.numpy()[:epoch]
        return epoch > 0 and 0 < patience <= trigger.epochs_since_best(list(losses))

    def mask_seed(self, step):
        """It also depends on the rollbacks: what led to a NaN is not drawn again."""
        return seeds.fold(self.problem.seed, MASK_SEED, self.course.rollbacks, step)

    def validate(self) -> None:
        """Nats of the validation split under the averaged weights, where there are any; then the trigger."""
        with self.step.averages():
            nats = self.replicas.agreed(self.measure("valid", self.problem.valid_rows).mean)
            self.validated(nats, self.step.averaging)
        done = int(self.progress.epoch)
        if not math.isfinite(nats):
            logging.warning(
                "the validation loss of epoch %d is not finite: the epoch counts as the worst", done + 1
            )
        self.course.valid_nats.assign(tf.concat([self.course.valid_nats[:done], [nats]], axis=0))
        self.average_after(done + 1)

    def averaged_from(self) -> int | None:
        """The first epoch whose iterates were averaged; None where none were, though it was planned."""
        first = int(self.course.asgd_epoch)
        return first if 0 < first <= int(self.progress.epoch) else None

    def check_any_best(self) -> None:
        """Refuse to measure where no epoch's validation was finite: there are no best weights.

        Raises:
          UserError: it says what helps.
        """
        if not math.isfinite(float(self.progress.best_nats)):
            raise UserError(
                f"none of {int(self.progress.epoch)} epochs in {self.directory} has a finite validation "
                f"loss. {self.advice}, and choose another --run_dir"
            )

    def average_after(self, epochs: int) -> None:
        """Begin to average the iterates if the trigger says so after `epochs` epochs."""
        if int(self.course.asgd_epoch) == 0 and self.begins(epochs):
            self.step.optimizer.start_averaging()
            self.course.asgd_epoch.assign(epochs + 1)

    def begins(self, epochs: int) -> bool:
        """Whether averaging begins after `epochs` epochs; after the last one nothing is left to average."""
        averaging = self.settings.averaging
        if epochs in (0, self.settings.epochs) or self.settings.optimizer.rule != "asgd":
            return False
        if averaging.after_epoch:
            return epochs == averaging.after_epoch
        return trigger.non_monotone(list(self.course.valid_nats.numpy()[:epochs]), averaging.nonmono)

    def roll_back(self, error: Diverged) -> None:
        """Go back to the last good state and on from there with other masks.

        Raises:
          UserError: there is no such state, or it was tried `evaluate.rollbacks` times.
        """
        before = int(self.course.rollbacks)
        if before >= self.settings.rollbacks or not self.checkpoints.restore():
            raise error
        self.course.rollbacks.assign(before + 1)
        self.checkpoints.save()
        self.callbacks.on_rollback(self.evaluation_facts(), before + 1)

    def measure(self, split: str, rows) -> StreamNats:
        """Total nats of the present weights over rows, the state carried from zero, no dropout."""
        plan = batching.plan(rows.shape[1], self.settings.windows.bptt, 0, jitter=False)
        windows = self.staged(
            split, batching.windows(rows, plan, 1), len(plan.lengths), self.settings.report_every
        )
        self.kernel_blocks.refresh()
        return stream_nats(self.window_nats[len(rows)], self.model, windows, len(rows))
