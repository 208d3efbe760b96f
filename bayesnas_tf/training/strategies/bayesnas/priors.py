"""The prior of the scalars as variables, so that a checkpoint holds it."""

import tensorflow as tf

from bayesnas_tf.bayes import update


class Prior(tf.Module):
    """gamma, omega and s of one array of scalars, float64."""

    def __init__(self, shape):
        """The start of Algorithm 2: all ones."""
        super().__init__()
        self.gamma, self.omega, self.s = (
            tf.Variable(array, dtype=tf.float64, trainable=False) for array in update.Prior.start(*shape)
        )

    def arrays(self) -> update.Prior:
        """As NumPy, for `bayes`."""
        return update.Prior(self.gamma.numpy(), self.omega.numpy(), self.s.numpy())

    def assign(self, posterior: update.Posterior) -> None:
        """What one update leaves for the next epoch."""
        for variable, array in zip((self.gamma, self.omega, self.s), posterior.prior, strict=True):
            variable.assign(array)


class CellPrior(tf.Module):
    """The priors of a search cell: its scalars, and its zero-edge switches where it has them."""

    def __init__(self, cell):
        """`cell` is a built `SearchCell`."""
        super().__init__()
        self.scalars = Prior(cell.scalars.shape)
        self.zero = None if cell.zero_scalars is None else Prior(cell.zero_scalars.shape)

    def adopt(self, posterior: update.Posterior, omegas) -> None:
        """The update becomes this prior and, in `omegas` (variables), the L1 weights of the next epoch."""
        parts = [(self.scalars, posterior), (self.zero, posterior.zero)]
        present = [(prior, part) for prior, part in parts if prior is not None and part is not None]
        for (prior, part), omega in zip(present, omegas, strict=True):
            prior.assign(part)
            omega.assign(tf.cast(part.omega, omega.dtype))
