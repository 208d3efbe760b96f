"""The epochs of a training run: windows in, reports out, checkpoints that resume bit for bit."""

import math
import time
from collections.abc import Iterable, Iterator

import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.checkpoints import Checkpoints, all_finite
from bayesnas_tf.training.execution import bucket, window_function
from bayesnas_tf.training.progress import Progress
from bayesnas_tf.training.records import Callbacks, EpochRecord, RunFacts, StepRecord
from bayesnas_tf.training.stopping import StopRequest

MASK_SEED = 1  # slot of the run's seed; 0 is initialisation


class Diverged(UserError):
    """Loss or weights are no longer finite; the message tells where, and what helps."""


class TrainLoop:
    """One epoch after another of a problem's step; subclasses say what stands between the epochs.

    Of `problem` it uses `model`, `step`, `train_rows` and `seed`; of `settings` what both roots have.
    """

    advice = "Lower WeightOptions.lr"

    def __init__(self, problem, settings, seed: int, callbacks: Callbacks):
        """A subclass adds `self.checkpoints` for what it trains."""
        self.problem, self.settings, self.seed, self.callbacks = problem, settings, seed, callbacks
        self.model, self.step = problem.model, problem.step
        self.progress = Progress()
        self.checkpoints: Checkpoints
        self.stop = StopRequest()
        self.counted = 0.0  # the time up to which the run's training time is counted
        self.inherited = 0  # tokens in the step's totals that an earlier process trained on
        self.replicas, self.xla = self.model.execution.replicas, self.model.execution.xla
        batch, alone = settings.windows.batch_size, self.replicas.count == 1
        self.train_window = window_function(self._train_window, batch, self.xla, whole=alone)
        self.lr = tf.constant(settings.weights.lr, self.model.embedding.dtype)
        self.done = tf.Variable(0.0, dtype=tf.float64, trainable=False)  # see `share`

    def _train_window(self, x, y, length, step):
        self.step(x, y, length, self.rate(), self.mask_seed(step))

    def mask_seed(self, step):
        """Of the masks of one window."""
        return seeds.fold(self.problem.seed, MASK_SEED, step)

    def rate(self):
        """The learning rate of the window under way."""
        return self.lr / tf.cast(self.lr_divisor(), self.lr.dtype)

    def lr_divisor(self):
        """What `OptimizerOptions` divide the rate by, float64; it reads variables: one graph does for all."""
        options = self.settings.optimizer
        late = tf.maximum(self.progress.epoch + 1 - options.full_rate_epochs, 0)
        by_epoch = tf.constant(options.lr_divisor, tf.float64) ** tf.cast(late, tf.float64)
        return by_epoch / (1.0 - self.done) if options.decay == "linear" else by_epoch

    def share(self, done: int, total: int) -> float:
        """What part of a training lies behind, after the `done` first of this epoch's `total` windows."""
        return (int(self.progress.epoch) + done / total) / self.settings.epochs

    def train_epoch(self) -> None:
        """The windows of one epoch, from the first that is not done yet.

        Raises:
          Diverged: the loss or a weight is no longer finite.
          KeyboardInterrupt: a stop was asked for; the state was saved.
        """
        settings, progress = self.settings, self.progress
        epoch, rows, windows = int(progress.epoch) + 1, self.problem.train_rows, settings.windows
        plan = batching.plan(rows.shape[1], windows.bptt, (self.seed, epoch), windows.jitter)
        first = int(progress.window)
        if first == 0:
            self.step.state.assign(tf.zeros_like(self.step.state))
        padded = bucket(windows, self.xla)
        clock = self.counted = time.perf_counter()
        self.inherited = int(self.step.totals.tokens)
        for done, window in enumerate(batching.windows(rows, plan, padded, first), start=first + 1):
            self.done.assign(self.share(done - 1, len(plan.lengths)))
            self.before_window(done - 1, len(plan.lengths))
            self.train_window(window.x, window.y, window.length, tf.cast(progress.step, tf.int32))
            progress.step.assign_add(1)
            progress.window.assign(done)
            last = done == len(plan.lengths)
            if last or done % settings.report_every == 0:
                clock = self.report(epoch, len(plan.lengths), clock)
            if last or self.stop.asked or int(progress.step) % settings.checkpoint_every == 0:
                self.count_seconds()
                self.save()
            if self.stop.asked:
                raise KeyboardInterrupt

    def before_window(self, done: int, total: int) -> None:
        """A subclass may act before the window after the `done` first of an epoch's `total`."""

    def report(self, epoch: int, steps: int, clock: float) -> float:
        """Read the running totals, add them to the epoch's, tell the listeners; returns the time."""
        progress, totals = self.progress, self.step.totals
        nats, tokens = float(totals.nats), int(totals.tokens)
        now = self.count_seconds()  # after the totals were read: a GPU has done its steps by then
        if not math.isfinite(nats):
            self.diverged()
        progress.nats.assign_add(nats)
        progress.tokens.assign_add(tokens)
        progress.total_tokens.assign_add(tokens)
        done, step = int(progress.window), int(progress.step)
        per_step = float(progress.train_seconds) / step
        left = per_step * (steps - done + steps * (self.settings.epochs - epoch))
        rate, self.inherited = (tokens - self.inherited) / max(now - clock, 1e-9), 0
        lr = self.settings.weights.lr / float(self.lr_divisor())
        self.callbacks.on_step(StepRecord(step, epoch, steps, nats / tokens, lr, rate, left, done))
        for total in totals:
            total.assign(tf.zeros_like(total))
        return now

    def count_seconds(self) -> float:
        """Add the time since the last call to the run's training time; returns the time."""
        now = time.perf_counter()
        self.progress.train_seconds.assign_add(now - self.counted)
        self.counted = now
        return now

    def staged(self, name: str, items: Iterable, total: int, every: int = 1) -> Iterator:
        """The items; listeners hear of every `every`-th, and a stop that was asked for ends them."""
        self.announce(name, 0, total)
        for done, item in enumerate(items, start=1):
            yield item
            if done % every == 0 or done == total:
                self.announce(name, done, total)

    def announce(self, name: str, done: int, total: int) -> None:
        """Tell the listeners how far a phase without training steps is.

        Raises:
          KeyboardInterrupt: a stop was asked for; what was trained is saved.
        """
        if self.stop.asked:
            raise KeyboardInterrupt
        self.callbacks.on_stage(name, done, total)

    def facts(self, kind: str, name: str) -> RunFacts:
        """What is known before the first step of this process."""
        progress, parameters = self.progress, self.model.count_params()
        return RunFacts(kind, name, self.settings.epochs, int(progress.step), parameters, int(progress.epoch))

    def validated(self, nats: float, averaged: bool = False) -> None:
        """Tell of an epoch with `nats` per validation token; keep the weights if none were better."""
        progress = self.progress
        self.callbacks.on_epoch(
            EpochRecord(
                epoch=int(progress.epoch) + 1,
                step=int(progress.step),
                train_nats=self.train_nats,
                valid_nats=nats,
                seconds=float(progress.train_seconds),
                averaged=averaged,
            )
        )
        if nats < float(progress.best_nats):
            progress.best_nats.assign(nats)
            self.checkpoints.save_best()

    def end_epoch(self) -> None:
        """Count the epoch and save: nothing of it is done again."""
        self.progress.epoch.assign_add(1)
        self.progress.begin_epoch()
        self.save()

    def save(self) -> None:
        """Write a checkpoint, unless a weight of model or step has gone: the last good state is to stay."""
        if not all_finite([*self.model.variables, *self.step.variables]):
            self.diverged()
        self.checkpoints.save()

    def diverged(self):
        """Say where it happened and what helps."""
        good = self.checkpoints.last_path or "none yet"
        raise Diverged(
            f"training diverged: loss or weights are no longer finite at step {int(self.progress.step)}, "
            f"learning rate {self.settings.weights.lr / float(self.lr_divisor()):g}. {self.advice} "
            f"(last good checkpoint: {good})"
        )

    @property
    def train_nats(self) -> float:
        """Mean nats per training token of the epoch under way."""
        return float(self.progress.nats) / max(int(self.progress.tokens), 1)

    @property
    def tokens_per_second(self) -> float:
        """Training speed over the whole run."""
        return int(self.progress.total_tokens) / max(float(self.progress.train_seconds), 1e-9)
