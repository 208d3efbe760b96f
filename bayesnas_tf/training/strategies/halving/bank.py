"""Where cells wait until they are trained on."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

NOBODY = -1


class Bank(tf.Module):
    """What a few cells were trained to, one row for each; a checkpoint holds all of it."""

    def __init__(self, rows: int, variables: Sequence):
        """Room for the values of `variables` of so many cells."""
        super().__init__()
        self.owners = tf.Variable(tf.fill([rows], tf.constant(NOBODY, tf.int64)), trainable=False)
        self.kept = [
            tf.Variable(tf.zeros([rows, *variable.shape], variable.dtype), trainable=False)
            for variable in (variables if rows else ())
        ]

    def row(self, cell: int) -> int:
        """The row of a cell; `ValueError` where it has none."""
        return self.owners.numpy().tolist().index(cell)

    def keep(self, cell: int, variables: Sequence, wanted: np.ndarray) -> None:
        """Copy `variables` into the row of a cell, or into one whose cell is not among the `wanted`.

        `wanted` has at most as many cells as there are rows, and `cell` is one of them.
        """
        owners = self.owners.numpy()
        row = int(np.argmax((owners == cell) if cell in owners else ~np.isin(owners, wanted)))
        self.owners[row].assign(cell)
        for kept, variable in zip(self.kept, variables, strict=True):
            kept[row].assign(tf.convert_to_tensor(variable))

    def give(self, cell: int, variables: Sequence) -> None:
        """Set `variables` to what is kept of a cell."""
        row = self.row(cell)
        for kept, variable in zip(self.kept, variables, strict=True):
            variable.assign(kept[row])
