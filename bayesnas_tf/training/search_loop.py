"""Algorithm 2 by epochs: train the supernet, estimate h, update the prior, prune, derive the cell."""

import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.curvature import interface as curvature
from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training import compile as compiling
from bayesnas_tf.training import oracle, validation
from bayesnas_tf.training.checkpoints import Checkpoints, all_finite, stop_request
from bayesnas_tf.training.decide import Decider, Situation
from bayesnas_tf.training.priors import CellPrior
from bayesnas_tf.training.progress import Progress
from bayesnas_tf.training.records import Callbacks, EpochRecord, RunFacts, StepRecord, UpdateRecord
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings

HESSIAN_SEED = 2  # slot of the run's seed; 0 is initialisation, 1 the masks
ORACLE_WINDOWS = 2


class SearchResult(NamedTuple):
    """What a finished search hands over."""

    genotype: Genotype
    update: UpdateRecord
    travel: float
    train_seconds: float
    hessian_seconds: float
    tokens_per_second: float


class SearchLoop:
    """One search run: owns progress, prior and checkpoints; tells `callbacks` what happened."""

    def __init__(
        self,
        problem: SearchProblem,
        settings: SearchSettings,
        seed: int,
        directory: Path,
        callbacks: Callbacks,
    ):
        """Nothing is read or written until `run`."""
        self.problem, self.settings, self.seed, self.callbacks = problem, settings, seed, callbacks
        self.model, self.step = problem.model, problem.step
        self.progress = Progress()
        self.prior = CellPrior(self.model.cell)
        self.checkpoints = Checkpoints(
            directory, model=self.model, step=self.step, progress=self.progress, prior=self.prior
        )
        batch = settings.windows.batch_size
        self.xla = compiling.use_xla(settings.compile)
        self.train_window = compiling.window_function(self._train_window, batch, self.xla)
        self.valid_window = compiling.window_function(validation.window_nats(self.model), batch, False)
        self.lr = tf.constant(settings.weights.lr, self.model.embedding.dtype)

    def _train_window(self, x, y, length, step):
        seed = masks.fold(self.problem.seed, 1, step)
        self.step(x, y, length, self.lr, seed)

    def run(self, diagnose: bool = False) -> SearchResult:
        """Algorithm 2 from where the last checkpoint left it.

        Raises:
          UserError: the loss or a weight is no longer finite, or the cell collapsed.
          KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self.checkpoints.restore()
        settings, progress = self.settings, self.progress
        facts = RunFacts(
            "search", self.problem.corpus.name, settings.epochs, int(progress.step), self.model.count_params()
        )
        self.callbacks.on_start(facts)
        record = None
        with stop_request() as stop:
            while int(progress.epoch) < settings.epochs:
                self.train_epoch(stop)
                valid_nats = self.validate()
                record = self.update(valid_nats, diagnose)
        if record is None:
            raise UserError(
                "this search has ended already. its results are complete. use --overwrite to repeat it"
            )
        seconds = float(progress.train_seconds)
        return SearchResult(
            record.genotype,
            record,
            record.health["travel"],
            seconds,
            float(progress.hessian_seconds),
            int(progress.total_tokens) / max(seconds, 1e-9),
        )

    def train_epoch(self, stop) -> None:
        """The windows of one epoch, from the first that is not done yet."""
        settings, progress = self.settings, self.progress
        epoch, rows, windows = int(progress.epoch) + 1, self.problem.train_rows, settings.windows
        plan = batching.plan(rows.shape[1], windows.bptt, (self.seed, epoch), windows.jitter)
        first = int(progress.window)
        if first == 0:
            self.step.state.assign(tf.zeros_like(self.step.state))
        bucket = compiling.bucket(windows, self.xla)
        clock = time.perf_counter()
        for done, window in enumerate(batching.windows(rows, plan, bucket, first), start=first + 1):
            self.train_window(window.x, window.y, window.length, tf.cast(progress.step, tf.int32))
            progress.step.assign_add(1)
            progress.window.assign(done)
            last = done == len(plan.lengths)
            if last or done % settings.report_every == 0:
                clock = self.report(epoch, len(plan.lengths), clock)
            if last or stop.asked or int(progress.step) % settings.checkpoint_every == 0:
                self.save()
            if stop.asked:
                raise KeyboardInterrupt

    def report(self, epoch: int, steps: int, clock: float) -> float:
        """Read the running totals, add them to the epoch's, tell the listeners; returns the time."""
        progress, totals, now = self.progress, self.step.totals, time.perf_counter()
        nats, tokens = float(totals.nats), int(totals.tokens)
        if not math.isfinite(nats):
            self.diverged()
        progress.nats.assign_add(nats)
        progress.tokens.assign_add(tokens)
        progress.total_tokens.assign_add(tokens)
        progress.squared_gradient.assign_add(totals.squared_gradient)
        progress.train_seconds.assign_add(now - clock)
        done, step = int(progress.window), int(progress.step)
        per_step = float(progress.train_seconds) / step
        left = per_step * (steps - done + steps * (self.settings.epochs - epoch))
        rate = tokens / max(now - clock, 1e-9)
        self.callbacks.on_step(
            StepRecord(step, epoch, steps, nats / tokens, self.settings.weights.lr, rate, left, done)
        )
        for total in totals:
            total.assign(tf.zeros_like(total))
        return now

    def save(self) -> None:
        """Write a checkpoint, unless a weight has gone: the last good state is to stay."""
        if not all_finite(self.model.variables):
            self.diverged()
        self.checkpoints.save(int(self.progress.step))

    def diverged(self):
        """Say where it happened and what helps."""
        good = self.checkpoints.last_path or "none yet"
        raise UserError(
            f"training diverged: loss or weights are no longer finite at step {int(self.progress.step)}, "
            f"learning rate {self.settings.weights.lr:g}. Lower WeightOptions.lr or ScalarOptions.lr, "
            f"or give the cell a norm (last good checkpoint: {good})"
        )

    def validate(self) -> float:
        """Mean nats of the supernet on the validation split, in the batch of training, as its norm is."""
        windows, rows = self.settings.windows, self.problem.valid_rows
        plan = batching.plan(rows.shape[1], windows.bptt, 0, jitter=False)
        stream = batching.windows(rows, plan, 1)
        total = validation.stream_nats(self.valid_window, self.model, stream, windows.batch_size)
        progress = self.progress
        train_nats = float(progress.nats) / max(int(progress.tokens), 1)
        record = EpochRecord(
            int(progress.epoch) + 1, int(progress.step), train_nats, total.mean, float(progress.train_seconds)
        )
        self.callbacks.on_epoch(record)
        if total.mean < float(progress.best_nats):
            progress.best_nats.assign(total.mean)
            self.checkpoints.save_best(int(progress.step))
        return total.mean

    def estimate(self) -> curvature.Estimate:
        """h on the first K windows of the training split, state carried, no dropout."""
        settings, started = self.settings, time.perf_counter()
        count = settings.curvature.windows
        stream = fixed_windows(self.problem.train_rows, settings.windows.bptt, count)
        seed = masks.fold(self.problem.seed, HESSIAN_SEED, tf.cast(self.progress.epoch, tf.int32))
        state = self.model.zero_state(settings.windows.batch_size)
        watched = self.staged("hessian", stream)
        estimate = curvature.diagonal(self.model, watched, state, settings.curvature, seed, self.xla)
        self.progress.hessian_seconds.assign_add(time.perf_counter() - started)
        return estimate

    def staged(self, name, items):
        """The items, each announced when it is done."""
        self.callbacks.on_stage(name, 0, len(items))
        for done, item in enumerate(items, start=1):
            yield item
            self.callbacks.on_stage(name, done, len(items))

    def update(self, valid_nats: float, diagnose: bool) -> UpdateRecord:
        """Estimate, update, prune, derive (steps 2 to 4 of Algorithm 2), then the next epoch's ω."""
        progress, settings = self.progress, self.settings
        estimate = self.estimate()
        changes = self.removals() if diagnose or settings.prune.score == "oracle" else None
        situation = Situation(
            epoch=int(progress.epoch) + 1,
            step=int(progress.step),
            steps=int(progress.window),
            train_nats=float(progress.nats) / max(int(progress.tokens), 1),
            valid_nats=valid_nats,
            gradient_rms=math.sqrt(float(progress.squared_gradient) / max(int(progress.window), 1)),
            seed=self.seed,
        )
        decision = Decider(self.problem, settings, self.prior, estimate, changes).decide(situation)
        self.callbacks.on_update(decision.record)
        if decision.record.genotype is None:
            raise UserError(decision.collapse)
        self.prior.adopt(decision.posterior, self.step.omega)
        progress.epoch.assign_add(1)
        progress.begin_epoch()
        self.save()
        return decision.record

    def removals(self) -> np.ndarray:
        """The one-shot oracle on held-out windows."""
        rows, bptt = self.problem.valid_rows, self.settings.windows.bptt
        held_out = fixed_windows(rows, bptt, ORACLE_WINDOWS)
        return oracle.loss_changes(
            self.model, held_out, lambda done, total: self.callbacks.on_stage("oracle", done, total)
        )


def fixed_windows(rows: np.ndarray, bptt: int, count: int) -> list:
    """The first `count` windows of `bptt` steps as (x, y) pairs, fewer where the rows are short."""
    bptt = min(bptt, rows.shape[1] - 1)
    count = max(1, min(count, (rows.shape[1] - 1) // bptt))
    starts = [k * bptt for k in range(count)]
    return [
        (tf.constant(rows[:, start : start + bptt]), tf.constant(rows[:, start + 1 : start + 1 + bptt]))
        for start in starts
    ]
