"""Algorithm 2 by epochs: train the supernet, estimate h, update the prior, prune, derive the cell."""

import functools
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
from bayesnas_tf.training.checkpoints import Checkpoints, stop_request
from bayesnas_tf.training.decide import Decider, Situation
from bayesnas_tf.training.priors import CellPrior
from bayesnas_tf.training.records import Callbacks, UpdateRecord
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings
from bayesnas_tf.training.train_loop import TrainLoop

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


class SearchLoop(TrainLoop):
    """One search run: owns progress, prior and checkpoints; tells `callbacks` what happened."""

    advice = "Lower WeightOptions.lr or ScalarOptions.lr, or give the cell a norm"

    def __init__(
        self,
        problem: SearchProblem,
        settings: SearchSettings,
        seed: int,
        directory: Path,
        callbacks: Callbacks,
        config_name: str,
    ):
        """Nothing is read or written until `run`; the genotype is named after `config_name` and `seed`."""
        super().__init__(problem, settings, seed, callbacks)
        self.config_name = config_name
        self.prior = CellPrior(self.model.cell)
        self.checkpoints = Checkpoints(
            directory, model=self.model, step=self.step, progress=self.progress, prior=self.prior
        )
        self.valid_window = compiling.window_function(
            validation.window_nats(self.model), settings.windows.batch_size, False
        )

    def run(self, diagnose: bool = False) -> SearchResult:
        """Algorithm 2 from where the last checkpoint left it.

        Raises:
          UserError: the loss or a weight is no longer finite, or the cell collapsed.
          KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self.checkpoints.restore()
        progress, epochs = self.progress, self.settings.epochs
        self.callbacks.on_start(self.facts("search", self.problem.corpus.name))
        with stop_request() as self.stop:
            while int(progress.epoch) < epochs:
                self.train_epoch()
                genotype, record = self.update(self.validate(), diagnose)
                if int(progress.epoch) + 1 == epochs:
                    break  # not saved as ended: a run killed before its summary decides once more
                self.end_epoch()
        return SearchResult(
            genotype,
            record,
            record.health["travel"],
            float(progress.train_seconds),
            float(progress.hessian_seconds),
            self.tokens_per_second,
        )

    def report(self, epoch: int, steps: int, clock: float) -> float:
        """As every loop, and the sum of squared gradients of w."""
        self.progress.squared_gradient.assign_add(self.step.squared_gradient)
        self.step.squared_gradient.assign(0.0)
        return super().report(epoch, steps, clock)

    def validate(self) -> float:
        """Mean nats of the supernet on the validation split, in the batch of training, as its norm is."""
        windows, rows = self.settings.windows, self.problem.valid_rows
        plan = batching.plan(rows.shape[1], windows.bptt, 0, jitter=False)
        stream = self.staged("valid", batching.windows(rows, plan, 1), len(plan.lengths))
        total = validation.stream_nats(self.valid_window, self.model, stream, windows.batch_size)
        self.validated(total.mean)
        return total.mean

    def estimate(self) -> curvature.Estimate:
        """h on the first K windows of the training split, state carried, no dropout."""
        settings, started = self.settings, time.perf_counter()
        count = settings.curvature.windows
        stream = fixed_windows(self.problem.train_rows, settings.windows.bptt, count)
        seed = masks.fold(self.problem.seed, HESSIAN_SEED, tf.cast(self.progress.epoch, tf.int32))
        state = self.model.zero_state(settings.windows.batch_size)
        watched = self.staged("hessian", stream, len(stream))
        estimate = curvature.diagonal(self.model, watched, state, settings.curvature, seed, self.xla)
        self.progress.hessian_seconds.assign_add(time.perf_counter() - started)
        return estimate

    def update(self, valid_nats: float, diagnose: bool) -> tuple[Genotype, UpdateRecord]:
        """Estimate, update, prune, derive (steps 2 to 4 of Algorithm 2), then the next epoch's ω."""
        progress, settings = self.progress, self.settings
        estimate = self.estimate()
        changes = self.removals() if diagnose or settings.prune.score == "oracle" else None
        situation = Situation(
            epoch=int(progress.epoch) + 1,
            step=int(progress.step),
            steps=int(progress.window),
            train_nats=self.train_nats,
            valid_nats=valid_nats,
            gradient_rms=math.sqrt(float(progress.squared_gradient) / max(int(progress.window), 1)),
            config_name=self.config_name,
            seed=self.seed,
        )
        decision = Decider(self.problem, settings, self.prior, estimate, changes).decide(situation)
        self.callbacks.on_update(decision.record)
        genotype = decision.record.genotype
        if genotype is None:
            raise UserError(decision.collapse)
        self.prior.adopt(decision.posterior, self.step.omega)
        return genotype, decision.record

    def removals(self) -> np.ndarray:
        """The one-shot oracle on held-out windows."""
        rows, bptt = self.problem.valid_rows, self.settings.windows.bptt
        held_out = fixed_windows(rows, bptt, ORACLE_WINDOWS)
        return oracle.loss_changes(self.model, held_out, functools.partial(self.announce, "oracle"))


def fixed_windows(rows: np.ndarray, bptt: int, count: int) -> list:
    """The first `count` windows of `bptt` steps as (x, y) pairs, fewer where the rows are short."""
    bptt = min(bptt, rows.shape[1] - 1)
    count = max(1, min(count, (rows.shape[1] - 1) // bptt))
    starts = [k * bptt for k in range(count)]
    return [
        (tf.constant(rows[:, start : start + bptt]), tf.constant(rows[:, start + 1 : start + 1 + bptt]))
        for start in starts
    ]
