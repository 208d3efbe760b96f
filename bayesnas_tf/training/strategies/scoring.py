"""The score of a discrete cell: its nats on fixed validation windows under the weights that are set."""

import time

import numpy as np
import tensorflow as tf

from bayesnas_tf.training.fixed_windows import fixed_windows

MOST_NATS = 1e3  # per token: the score of cells that have none


class Scorer:
    """The fixed windows of a search, and what cells score on them."""

    def __init__(self, loop, count: int):
        """`count` whole windows of the validation split; 0: all."""
        self.loop = loop
        rows, bptt = loop.problem.valid_rows, loop.settings.windows.bptt
        self.windows = fixed_windows(rows, bptt, count or rows.shape[1])

    @property
    def tokens(self) -> int:
        """Tokens that one score reads."""
        return sum(x.shape[0] * x.shape[1] for x, _ in self.windows)

    def score(self, choice) -> np.ndarray:
        """Mean nats per token of each window, `[W]`, for a cell `[n, 2]`, which stays set; state carried.

        Finite: what is not counts as `MOST_NATS`, for NaN would sort first.
        """
        model, started = self.loop.model, time.perf_counter()
        model.cell.choose(choice)
        state, nats = model.zero_state(self.loop.settings.windows.batch_size), []
        for x, y in self.windows:
            total, state = self.loop.valid_window(x, y, tf.constant(x.shape[1]), state)
            nats.append(float(total) / (x.shape[0] * x.shape[1]))
        self.loop.count_elsewhere(time.perf_counter() - started)
        return np.fmin(nats, MOST_NATS)  # which passes over NaN

    def best(self, choices: np.ndarray) -> np.ndarray:
        """The scores of cells `[K, n, 2]`, `[K, W]`; the best of them stays set."""
        nats = np.stack(
            [self.score(choice) for choice in self.loop.staged("cells", choices, len(choices), 10)]
        )
        self.loop.model.cell.choose(choices[nats.mean(axis=1).argmin()])
        return nats
