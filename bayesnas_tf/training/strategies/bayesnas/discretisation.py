"""What a search that prunes gradually tells of its removals."""

import tensorflow as tf


class Discretisation(tf.Module):
    """What each removal of a gradual search left of the scalars, and validation nats before and after it."""

    NAMES = ("left", "before", "after")

    def __init__(self, updates: int):
        """For so many updates."""
        super().__init__()
        self.numbers = tf.Variable(tf.zeros([updates, len(self.NAMES)], tf.float64), trainable=False)

    def record(self, update: int, left: int, before: float, after: float) -> dict[str, list[float]]:
        """Keep the numbers of an update, from 0 on; returns those so far, by name."""
        self.numbers[update].assign([float(left), before, after])
        columns = self.numbers.numpy()[: update + 1].T.tolist()
        return dict(zip(self.NAMES, columns, strict=True))
