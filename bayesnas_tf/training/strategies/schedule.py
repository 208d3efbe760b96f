"""Trainings one after the other, each with its part of the windows of a search."""

import bisect
import dataclasses
import functools
import itertools


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which training a window belongs to: a function of its place, so that a resumed search finds it again.

    The windows of all epochs are divided in proportion to `parts`. A place is (epoch, done, total): in epoch
    0, 1, ... the window after the `done` first of `total`. All epochs count alike, also where one has a
    window more.
    """

    parts: tuple[int, ...]  # one for each training, in order; only their ratios count
    epochs: int = 1

    @functools.cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each training ends, in parts."""
        return tuple(itertools.accumulate(self.parts))

    @property
    def whole(self) -> bool:
        """Whether each epoch ends where a training ends."""
        ends, total = {0, *self.ends}, self.ends[-1]
        return all(
            epoch * total % self.epochs == 0 and epoch * total // self.epochs in ends
            for epoch in range(self.epochs)
        )

    def fits(self, total: int) -> bool:
        """Whether every training has a window in an epoch of `total`."""
        return min(self.parts) * self.epochs * total >= self.ends[-1]

    def ended(self, epochs: int) -> int:
        """How many trainings have ended where so many epochs have."""
        return bisect.bisect_right(self.ends, epochs * self.ends[-1] // self.epochs)

    def number(self, epoch: int, done: int, total: int) -> int:
        """The training at a place."""
        # whole numbers: as floats, a place on the border of two trainings would fall to either
        return bisect.bisect_right(self.ends, (epoch * total + done) * self.ends[-1] // (self.epochs * total))

    def share(self, epoch: int, done: int, total: int) -> float:
        """What part of the training at a place lies behind."""
        number, unit = self.number(epoch, done, total), self.epochs * total
        start = (self.ends[number] - self.parts[number]) * unit
        return ((epoch * total + done) * self.ends[-1] - start) / (self.parts[number] * unit)
