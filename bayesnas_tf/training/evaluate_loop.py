"""Train a finished cell epoch by epoch, keep the best weights, measure their perplexity."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.data import batching
from bayesnas_tf.training import checkpoints
from bayesnas_tf.training import compile as compiling
from bayesnas_tf.training.evaluate_settings import EvaluateProblem, EvaluateSettings
from bayesnas_tf.training.records import Callbacks
from bayesnas_tf.training.train_loop import TrainLoop
from bayesnas_tf.training.validation import StreamNats, stream_nats, window_nats


class EvaluateResult(NamedTuple):
    """What a finished evaluation hands over; both sums are those of the best weights."""

    valid: StreamNats
    test: StreamNats
    train_seconds: float
    tokens_per_second: float


class EvaluateLoop(TrainLoop):
    """One evaluation: SGD for all epochs, then validation and test split under the best weights."""

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
        self.directory = directory
        self.checkpoints = checkpoints.Checkpoints(
            directory, model=self.model, step=self.step, progress=self.progress
        )
        self.window_nats = {
            batch: compiling.window_function(window_nats(self.model), batch, False)
            for batch in {len(problem.valid_rows), len(problem.test_rows)}
        }

    def run(self) -> EvaluateResult:
        """Train from where the last checkpoint left it, then measure.

        Raises:
          UserError: the loss or a weight is no longer finite.
          KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved.
        """
        self.checkpoints.restore()
        progress, problem, epochs = self.progress, self.problem, self.settings.epochs
        name = f"{problem.genotype.name} on {problem.corpus.name}"
        self.callbacks.on_start(self.facts("evaluate", name))
        with checkpoints.stop_request() as self.stop:
            while int(progress.epoch) < epochs:
                self.train_epoch()
                self.validate()
                self.end_epoch()
            checkpoints.restore_best(self.directory, self.model)
            valid, test = self.measure("valid", problem.valid_rows), self.measure("test", problem.test_rows)
        return EvaluateResult(valid, test, float(progress.train_seconds), self.tokens_per_second)

    def validate(self) -> None:
        """Nats of the validation split; the weights are kept if none were better."""
        self.validated(self.measure("valid", self.problem.valid_rows).mean)

    def measure(self, split: str, rows: np.ndarray) -> StreamNats:
        """Total nats of the present weights over rows, the state carried from zero, no dropout."""
        plan = batching.plan(rows.shape[1], self.settings.windows.bptt, 0, jitter=False)
        windows = self.staged(
            split, batching.windows(rows, plan, 1), len(plan.lengths), self.settings.report_every
        )
        return stream_nats(self.window_nats[len(rows)], self.model, windows, len(rows))
