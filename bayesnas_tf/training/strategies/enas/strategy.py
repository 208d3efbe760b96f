"""ENAS: candidates of the controller, scored with the shared weights."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.training.strategies.interface import Found
from bayesnas_tf.training.strategies.shared_weights import SharedWeights


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
