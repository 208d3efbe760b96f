"""Random search with weight sharing: uniform candidates, scored with the shared weights."""

import numpy as np

from bayesnas_tf.training.strategies.cell_step import uniform_choices
from bayesnas_tf.training.strategies.shared_weights import SharedWeights


class RandomSharing(SharedWeights):
    """Uniform candidates."""

    def draw(self, seed) -> np.ndarray:
        """Uniform cells."""
        return uniform_choices(seed, self.options.cells, self.space.slots).numpy()
