"""Random search: every cell trained by itself on an equal share of the tokens."""

import numpy as np

from bayesnas_tf.training.strategies.trials import Trials


class RandomSearch(Trials):
    """An epoch's windows are divided among `cells / epochs` uniform cells."""

    def __init__(self, loop):
        """The cells are a function of the run's seed."""
        super().__init__(loop)
        self.choices = self.uniform()

    def choice(self, number: int) -> np.ndarray:
        """See `Trials`."""
        return self.choices[number]
