"""Regularised evolution: every cell is trained from a start of its own, and lives for a while."""

import numpy as np

from bayesnas_tf.training.strategies.evolution import ageing
from bayesnas_tf.training.strategies.interface import Found
from bayesnas_tf.training.strategies.trials import Trials


class Evolution(Trials):
    """Uniform cells first; each later one is a mutation of the best of a sample of the living."""

    def __init__(self, loop):
        """The first population is a function of the run's seed."""
        super().__init__(loop)
        self.choices = list(self.uniform()[: self.options.population])

    def choice(self, number: int) -> np.ndarray:
        """See `Trials`. A resumed search makes its children once more, from the scores it has."""
        while len(self.choices) <= number:
            self.choices.append(self.child(len(self.choices)))
        return self.choices[number]

    def child(self, number: int) -> np.ndarray:
        """One mutation of a parent; a function of the run's seed and of the scores of the living."""
        draw = ageing.stream(self.loop.seed, number)
        living = ageing.alive(number, self.options.population)
        parent = ageing.parent(living, self.scores.mean(axis=1), self.options.sample, draw)
        return self.space.mutated(self.choices[parent], draw)

    def found(self) -> Found:
        """The best cell ever seen, dead or alive, and what those share that live."""
        found, living = super().found(), ageing.alive(self.ended, self.options.population)
        cells = np.stack([self.choices[number] for number in living])
        median = float(np.median(self.scores[living.start : living.stop].mean(axis=1)))
        return found._replace(
            health={**found.health, "population_median_nats": median},
            probabilities=self.space.shares(cells),
        )
