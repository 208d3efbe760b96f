"""Strategies that score many cells with shared weights: random search with weight sharing, and ENAS."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.space import choices
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found, candidate_health
from bayesnas_tf.training.strategies.sampled_step import uniform_choices
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
        self.candidates = self.draw(masks.fold(self.problem.seed, CANDIDATE_SEED, epoch))
        self.nats = self.scorer.best(self.candidates)
        return super().validate()

    def found(self) -> Found:
        """The best candidate, and how often each edge-op is among them all."""
        return Found(
            choice=self.candidates[self.nats.mean(axis=1).argmin()],
            health=candidate_health(self.nats),
            probabilities=choices.shares(self.candidates),
            candidates=self.candidates,
            candidate_nats=self.nats,
        )


class RandomSharing(SharedWeights):
    """Uniform candidates."""

    def draw(self, seed) -> np.ndarray:
        """Uniform cells."""
        return uniform_choices(seed, self.options.cells, self.settings.cell.nodes).numpy()


class Enas(SharedWeights):
    """Candidates of the controller."""

    @property
    def architecture_tokens(self) -> int:
        """Those of the rewards and of the scores."""
        return int(self.problem.step.architecture_tokens) + super().architecture_tokens

    def draw(self, seed) -> np.ndarray:
        """Cells that the controller writes."""
        return self.problem.step.controller.sample(seed, self.options.cells).choices.numpy()

    def found(self) -> Found:
        """The best candidate, and what the controller has learned."""
        found, step = super().found(), self.problem.step
        log_prob = step.controller.log_prob(tf.constant(self.candidates)).numpy()
        report = {"controller_entropy": float(-log_prob.mean()), "reward_baseline": float(step.baseline)}
        return found._replace(health={**found.health, **report})
