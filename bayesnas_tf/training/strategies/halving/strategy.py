"""Successive halving: many cells are trained a little, and the best of them are trained on."""

import bisect
import itertools

import numpy as np
import tensorflow as tf

from bayesnas_tf.training.strategies.halving import rungs
from bayesnas_tf.training.strategies.halving.bank import Bank
from bayesnas_tf.training.strategies.interface import Found, candidate_health
from bayesnas_tf.training.strategies.trials import Trials, lost


class Halving(Trials):
    """The cells of a rung are trained one after the other, from where the rung before left them.

    Training `starts[r] + j` is that of the j-th cell on rung r. The hidden state and the decay of the
    learning rate begin anew with each training; weights and the slots of the optimizer go on.
    """

    def __init__(self, loop):
        """The cells are a function of the run's seed."""
        super().__init__(loop)
        self.sizes = self.options.sizes
        self.starts = [0, *itertools.accumulate(self.sizes)]
        self.choices = self.uniform()
        # of the first rung only the cells that are among the best so far can go on
        self.bank = Bank(self.sizes[1] if len(self.sizes) > 1 else 0, self.carried)

    @property
    def trackables(self) -> dict[str, tf.Module]:
        """The scores, and the cells that may be trained on."""
        return {**super().trackables, "bank": self.bank}

    @property
    def carried(self) -> list:
        """The variables that a cell takes from rung to rung."""
        return [*self.problem.model.variables, *self.problem.step.slots]

    def rung(self, number: int) -> int:
        """The rung of a training."""
        return bisect.bisect_right(self.starts, number) - 1

    def on_rung(self, rung: int) -> np.ndarray:
        """The cells on a rung, ascending, which the scores on the rung before decide."""
        if rung == 0:
            return np.arange(self.sizes[0])
        before = self.scores[self.starts[rung - 1] : self.starts[rung]]
        return self.on_rung(rung - 1)[rungs.best(before, self.sizes[rung])]

    def cell(self, number: int) -> int:
        """The cell of a training, by its number on the first rung."""
        rung = self.rung(number)
        return int(self.on_rung(rung)[number - self.starts[rung]])

    def choice(self, number: int) -> np.ndarray:
        """See `Trials`."""
        return self.choices[self.cell(number)]

    def begin(self, number: int) -> None:
        """As every trial on the first rung; above it from where the cell was left. A lost one stays lost."""
        super().begin(number)
        if self.rung(number):
            cell = self.cell(number)
            self.bank.give(cell, self.carried)
            self.problem.step.lost.assign(bool(lost(self.latest()[cell : cell + 1])[0]))

    def score(self, number: int) -> None:
        """As every trial; what may go on is kept."""
        super().score(number)
        rung, cell = self.rung(number), self.cell(number)
        if rung + 1 == len(self.sizes):
            return
        wanted = rungs.best(self.scores[: number + 1], self.sizes[1]) if rung == 0 else self.on_rung(1)
        if cell in wanted:
            self.bank.keep(cell, self.carried, wanted)

    def latest(self) -> np.ndarray:
        """The last score of each cell, `[cells, W]`; infinity where it has none."""
        nats, scores = self.scores[: self.sizes[0]].copy(), self.scores
        for rung in range(1, len(self.sizes)):
            of_rung = scores[self.starts[rung] : self.starts[rung + 1]]
            done = np.isfinite(of_rung).all(axis=1)
            if not done.any():
                break
            nats[self.on_rung(rung)[done]] = of_rung[done]
        return nats

    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """All cells that have a score, those of lower rungs too."""
        count = min(self.ended, self.sizes[0])
        return self.choices[:count], self.latest()[:count]

    def found(self) -> Found:
        """The cell with the best last score: one of the last rung, unless all of those grew worse.

        Numbers about all candidates are those of the first rung, on which all have as many tokens.
        """
        found = super().found()
        first = candidate_health(self.scores[: min(self.ended, self.sizes[0])])
        names = ("candidate_best_nats", "candidates_lost")
        return found._replace(health={**first, **{name: found.health[name] for name in names}})
