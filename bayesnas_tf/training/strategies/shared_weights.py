"""Strategies that score many cells with shared weights: random search with weight sharing, and ENAS."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found, candidate_health
from bayesnas_tf.training.strategies.scoring import Scorer

CANDIDATE_SEED = 5  # slot of the run's seed


class SharedWeights(ChoosingStrategy):
    """After an epoch candidates are drawn and scored; the best is validated and taken."""

    def __init__(self, loop):
        """Nothing is drawn yet."""
        super().__init__(loop)
        self.options = self.settings.strategy
        self.scorer = Scorer(loop, self.options.valid_windows)
        self.candidates = self.nats = np.zeros(0)

    @property
    def architecture_tokens(self) -> int:
        """Those of the scores."""
        return self.settings.epochs * self.options.cells * self.scorer.tokens

    def draw(self, seed) -> np.ndarray:
        """The candidates `[K, n, 2]` of an epoch."""
        raise NotImplementedError

    def validate(self) -> float:
        """Mean nats of the best candidate under the shared weights."""
        epoch = tf.cast(self.loop.progress.epoch, tf.int32)
        self.candidates = self.draw(seeds.fold(self.problem.seed, CANDIDATE_SEED, epoch))
        self.nats = self.scorer.best(self.candidates)
        return super().validate()

    def found(self) -> Found:
        """The best candidate, and how often each edge-op is among them all."""
        return Found(
            cell=self.space.of_choice(self.candidates[self.nats.mean(axis=1).argmin()]),
            health=candidate_health(self.nats),
            probabilities=self.space.shares(self.candidates),
            candidates=self.candidates,
            candidate_nats=self.nats,
        )
