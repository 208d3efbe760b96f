"""Strategies that train cells one after the other, each with weights of its own, and score them."""

import numpy as np
import tensorflow as tf
from absl import logging

from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.strategies.cell_step import uniform_choices
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found, candidate_health
from bayesnas_tf.training.strategies.schedule import Schedule
from bayesnas_tf.training.strategies.scoring import MOST_NATS, Scorer

CELLS_SEED, WEIGHTS_SEED = 6, 7  # slots of the run's seed


class Tried(tf.Module):
    """What the cell scored after each training, `[N, W]` mean nats, infinity where that has not ended."""

    def __init__(self, trainings: int, windows: int):
        """Nothing tried."""
        super().__init__()
        start = tf.fill([trainings, windows], tf.constant(np.inf, tf.float64))
        self.nats = tf.Variable(start, trainable=False)


class Trials(ChoosingStrategy):
    """The windows of a search are divided among trainings; a cell is scored where one ends.

    Which cell a training has, `choice`, may depend on the scores of those before it. What a subclass keeps
    besides follows from the scores, or is among its `trackables`.
    """

    schedule: Schedule

    def __init__(self, loop):
        """Nothing is trained yet."""
        super().__init__(loop)
        self.options = self.settings.strategy
        self.schedule = self.options.schedule(self.settings.epochs)
        self.scorer = Scorer(loop, self.options.valid_windows)
        self.tried = Tried(len(self.schedule.parts), len(self.scorer.windows))

    @property
    def trackables(self) -> dict[str, tf.Module]:
        """The scores."""
        return {"tried": self.tried}

    @property
    def architecture_tokens(self) -> int:
        """Those of the scores; nothing is read for a cell that is lost."""
        return int(np.sum(~lost(self.scores))) * self.scorer.tokens

    @property
    def scores(self) -> np.ndarray:
        """What was scored so far, `[N, W]`."""
        return self.tried.nats.numpy()

    def uniform(self) -> np.ndarray:
        """Uniform cells, `[cells, ...]`: the same for all strategies with this seed and so many cells."""
        seed = seeds.fold(self.problem.seed, CELLS_SEED)
        return uniform_choices(seed, self.options.cells, self.space.slots).numpy()

    def choice(self, number: int) -> np.ndarray:
        """The cell of a training, of the shape of `Space.slots`; those before it are scored."""
        raise NotImplementedError

    def before_window(self, done: int, total: int) -> None:
        """Where a training ends, score its cell and begin the next.

        Raises:
          UserError: there are too few windows.
        """
        epoch = int(self.loop.progress.epoch)
        number = self.schedule.number(epoch, done, total)
        if done and number == self.schedule.number(epoch, done - 1, total):
            return
        if not self.schedule.fits(total):
            count = self.schedule.ended(epoch + 1) - self.schedule.ended(epoch)
            raise UserError(
                f"{count} trainings cannot share the {total} windows of an epoch: each needs at least one. "
                f"Lower {type(self.options).__name__}.cells, or give a longer text"
            )
        if done:
            self.score(number - 1)
        self.begin(number)

    def begin(self, number: int) -> None:
        """New weights and a zero state for the cell of a training."""
        problem, model = self.problem, self.problem.model
        model.decoder_bias.assign(tf.zeros_like(model.decoder_bias))  # it keeps what it has otherwise
        model.initialise(seeds.fold(problem.seed, WEIGHTS_SEED, number), problem.corpus.log_frequencies())
        model.cell.choose(self.choice(number))
        problem.step.state.assign(tf.zeros_like(problem.step.state))
        problem.step.lost.assign(False)
        problem.step.forget()

    def score(self, number: int) -> None:
        """Score a cell that is trained, the worst if its training diverged; keep a checkpoint of the best."""
        if self.problem.step.lost:
            count = len(self.schedule.parts)
            logging.warning("training %d of %d diverged: its cell gets the worst score", number + 1, count)
            nats = np.full(len(self.scorer.windows), MOST_NATS)
        else:
            nats = self.scorer.score(self.choice(number))
        self.tried.nats[number].assign(nats)
        mean, progress = float(nats.mean()), self.loop.progress
        if mean < float(progress.best_nats):
            progress.best_nats.assign(mean)
            self.loop.checkpoints.save_best()

    @property
    def ended(self) -> int:
        """How many trainings have ended where this epoch does."""
        return self.schedule.ended(int(self.loop.progress.epoch) + 1)

    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """The cells that have a score, `[K, ...]`, and the last score of each, `[K, W]`."""
        return np.stack([self.choice(number) for number in range(self.ended)]), self.scores[: self.ended]

    def validate(self) -> float:
        """Mean nats of the best cell so far, the last of this epoch included."""
        self.score(self.ended - 1)
        return float(self.candidates()[1].mean(axis=1).min())

    def found(self) -> Found:
        """The best cell so far.

        Raises:
          UserError: there will be none, for all diverged.
        """
        choices, nats = self.candidates()
        if lost(self.scores).all():
            raise UserError(f"the training of all {len(choices)} cells diverged. {self.loop.advice}")
        return Found(
            cell=self.space.of_choice(choices[nats.mean(axis=1).argmin()]),
            health={**candidate_health(nats), "candidates_lost": int(np.sum(lost(nats)))},
            candidates=choices,
            candidate_nats=nats,
        )


def lost(nats: np.ndarray) -> np.ndarray:
    """Which rows of scores `[N, W]` are those of lost cells, booleans `[N]`."""
    return np.all(nats == MOST_NATS, axis=1)
