"""Random search: every cell trained by itself on an equal share of the tokens."""

import numpy as np
import tensorflow as tf
from absl import logging

from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.strategies.cell_step import uniform_choices
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found, candidate_health
from bayesnas_tf.training.strategies.scoring import MOST_NATS, Scorer

CELLS_SEED, WEIGHTS_SEED = 6, 7  # slots of the run's seed


class Tried(tf.Module):
    """What the cells scored, `[K, W]` mean nats, infinity where not yet tried."""

    def __init__(self, cells: int, windows: int):
        """Nothing tried."""
        super().__init__()
        self.nats = tf.Variable(tf.fill([cells, windows], tf.constant(np.inf, tf.float64)), trainable=False)


class RandomSearch(ChoosingStrategy):
    """An epoch's windows are divided among `cells / epochs` cells; each is scored where its share ends."""

    def __init__(self, loop):
        """The cells are a function of the run's seed."""
        super().__init__(loop)
        options = self.settings.strategy
        self.per_epoch = options.cells // self.settings.epochs
        self.scorer = Scorer(loop, options.valid_windows)
        self.tried = Tried(options.cells, len(self.scorer.windows))
        seed = seeds.fold(self.problem.seed, CELLS_SEED)
        self.choices = uniform_choices(seed, options.cells, self.space.slots).numpy()

    @property
    def trackables(self) -> dict[str, tf.Module]:
        """The scores."""
        return {"tried": self.tried}

    @property
    def architecture_tokens(self) -> int:
        """Those of the scores; nothing is read for a cell that is lost."""
        return int(np.sum(~lost(self.scores))) * self.scorer.tokens

    def number(self, done: int, total: int) -> int:
        """The cell that trains on the window after the `done` first of this epoch's `total`."""
        return int(self.loop.progress.epoch) * self.per_epoch + done * self.per_epoch // total

    def before_window(self, done: int, total: int) -> None:
        """Where a share ends, score its cell and start the next from new weights.

        Raises:
          UserError: there are fewer windows than cells.
        """
        if total < self.per_epoch:
            raise UserError(
                f"{self.per_epoch} cells cannot share the {total} windows of an epoch. "
                "Lower RandomOptions.cells, or give a longer text"
            )
        number = self.number(done, total)
        if done and number == self.number(done - 1, total):
            return
        if done:
            self.score(number - 1)
        self.begin(number)

    def begin(self, number: int) -> None:
        """New weights and a zero state for a cell."""
        problem, model = self.problem, self.problem.model
        model.decoder_bias.assign(tf.zeros_like(model.decoder_bias))  # it keeps what it has otherwise
        model.initialise(seeds.fold(problem.seed, WEIGHTS_SEED, number), problem.corpus.log_frequencies())
        model.cell.choose(self.choices[number])
        problem.step.state.assign(tf.zeros_like(problem.step.state))
        problem.step.lost.assign(False)
        problem.step.forget()

    def score(self, number: int) -> None:
        """Score a cell that is trained, the worst if its training diverged; keep a checkpoint of the best."""
        if self.problem.step.lost:
            logging.warning("cell %d of %d diverged and scores last", number + 1, len(self.choices))
            nats = np.full(len(self.scorer.windows), MOST_NATS)
        else:
            nats = self.scorer.score(self.choices[number])
        self.tried.nats[number].assign(nats)
        mean, progress = float(nats.mean()), self.loop.progress
        if mean < float(progress.best_nats):
            progress.best_nats.assign(mean)
            self.loop.checkpoints.save_best()

    @property
    def scores(self) -> np.ndarray:
        """What was scored so far, `[K, W]`."""
        return self.tried.nats.numpy()

    def validate(self) -> float:
        """Mean nats of the best cell so far, the last of this epoch included."""
        self.score((int(self.loop.progress.epoch) + 1) * self.per_epoch - 1)
        return float(self.scores.mean(axis=1).min())

    def found(self) -> Found:
        """The best cell so far.

        Raises:
          UserError: there will be none, for all diverged.
        """
        done = (int(self.loop.progress.epoch) + 1) * self.per_epoch
        nats = self.scores[:done]
        if lost(self.scores).all():
            raise UserError(f"the training of all {done} cells diverged. {self.loop.advice}")
        return Found(
            cell=self.space.of_choice(self.choices[nats.mean(axis=1).argmin()]),
            health={**candidate_health(nats), "candidates_lost": int(np.sum(lost(nats)))},
            candidates=self.choices[:done],
            candidate_nats=nats,
        )


def lost(nats: np.ndarray) -> np.ndarray:
    """Which cells of scores `[K, W]` have none, booleans `[K]`."""
    return np.all(nats == MOST_NATS, axis=1)
