"""Algorithm 2 by epochs: train the supernet, then let the strategy choose: BayesNAS or another."""

from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.data import batching
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training import validation
from bayesnas_tf.training.checkpoints import Checkpoints
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.records import Callbacks, ChoiceRecord, UpdateRecord
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings
from bayesnas_tf.training.stopping import stop_request
from bayesnas_tf.training.strategies import registry
from bayesnas_tf.training.train_loop import TrainLoop


class SearchResult(NamedTuple):
    """What a finished search hands over."""

    genotype: Genotype
    update: UpdateRecord | ChoiceRecord
    train_tokens: int
    architecture_tokens: int  # read to choose the cell, once per pass
    train_seconds: float
    hessian_seconds: float  # or those of scores, for a strategy that scores cells
    tokens_per_second: float


class SearchLoop(TrainLoop):
    """One search run: owns progress, strategy and checkpoints; tells `callbacks` what happened."""

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
        self.strategy = registry.strategy(self)
        self.checkpoints = Checkpoints(
            directory,
            self.replicas,
            model=self.model,
            step=self.step,
            progress=self.progress,
            **self.strategy.trackables,
        )
        self.valid_window = window_function(
            validation.window_nats(self.model, self.replicas.groups), settings.windows.batch_size, False
        )

    def run(self, diagnose: bool = False) -> SearchResult:
        """Train and choose, epoch by epoch, from where the last checkpoint left it.

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
                genotype, record = self.strategy.update(self.validate(), diagnose)
                if int(progress.epoch) + 1 == epochs:
                    break  # not saved as ended: a run killed before its summary decides once more
                self.end_epoch()
        return SearchResult(
            genotype,
            record,
            int(progress.total_tokens),
            self.strategy.architecture_tokens,
            float(progress.train_seconds),
            float(progress.hessian_seconds),
            self.tokens_per_second,
        )

    def share(self, done: int, total: int) -> float:
        """As every loop; where a strategy divides the epochs among trainings, of the one under way."""
        schedule = self.strategy.schedule
        if schedule is None:
            return super().share(done, total)
        return schedule.share(int(self.progress.epoch), done, total)

    def before_window(self, done: int, total: int) -> None:
        """The strategy's turn."""
        self.strategy.before_window(done, total)

    def report(self, epoch: int, steps: int, clock: float) -> float:
        """As every loop, and what the strategy adds up."""
        self.strategy.on_report()
        return super().report(epoch, steps, clock)

    def validate(self) -> float:
        """Mean nats on the validation split that stand for this epoch, told to the listeners."""
        nats = self.replicas.agreed(self.strategy.validate())
        self.validated(nats)
        return nats

    def count_elsewhere(self, seconds: float) -> None:
        """Count seconds that went into choosing, perhaps between two steps, apart from those of training."""
        self.progress.hessian_seconds.assign_add(seconds)
        self.counted += seconds

    def valid_nats(self) -> float:
        """Mean nats of the supernet on the validation split, in the batch of training, as its norm is."""
        windows, rows = self.settings.windows, self.problem.valid_rows
        plan = batching.plan(rows.shape[1], windows.bptt, 0, jitter=False)
        stream = self.staged("valid", batching.windows(rows, plan, 1), len(plan.lengths))
        return validation.stream_nats(self.valid_window, self.model, stream, windows.batch_size).mean
