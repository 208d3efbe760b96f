"""`diagonal`: the second derivative of the mean loss in each architecture scalar, over fixed windows.

Every estimator is a function of one window that is testable eagerly:

    estimator(model, x, y, state, seed, options) -> WindowEstimate

with x, y int32 `[B, T]`, the state `[B, S]` before the window and a stateless seed int32 `[2]`. Dropout is
off and the norm uses the window's own statistics.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import gin
import numpy as np
import tensorflow as tf
from absl import logging

from bayesnas_tf.curvature import exact, ggn, recursive, thesis
from bayesnas_tf.curvature.window import WindowEstimate, WindowEstimator, relative_error
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds
from bayesnas_tf.options import NonNegative, Options, Range

Estimator = Literal["ggn", "recursive", "thesis", "exact"]
Truncation = Literal["slots", "chunks"]

ESTIMATORS: dict[str, WindowEstimator] = {
    "ggn": ggn.estimate,
    "recursive": recursive.estimate,
    "thesis": thesis.estimate,
    "exact": exact.estimate,
}


@gin.register
@dataclasses.dataclass(frozen=True)
class CurvatureOptions(Options):
    """Which estimator, on how many windows, and its own settings."""

    estimator: Estimator = "ggn"  # how h is computed; docs/curvature.md compares them
    windows: Annotated[int, Range(1, 100_000)] = 16  # K fixed training windows
    probes: Annotated[int, Range(1, 10_000)] = 2  # ggn: random cotangents per window
    target_error: NonNegative = (
        0.0  # ggn: > 0: as many probes as this relative standard error of h needs, or more
    )
    tau: Annotated[int, Range(0, 10_000)] = (
        5  # thesis, recursive: horizon in time steps; 0 (recursive alone): the whole window
    )
    truncation: Truncation = "chunks"  # recursive: cut every tau steps, or exactly, tau times the work
    d_term: bool = False  # thesis: the D that 4.16 and 4.20 leave out; recursive: all second derivatives

    def __post_init__(self):
        """Refuse what no estimator can do."""
        super().__post_init__()
        if self.tau < 1 and self.estimator != "recursive":
            raise ValueError(f"CurvatureOptions.tau={self.tau} must be at least 1 for {self.estimator!r}")
        if self.target_error and self.probes < 2:
            raise ValueError(
                f"CurvatureOptions.target_error={self.target_error} needs CurvatureOptions.probes of at "
                "least 2: it measures their spread"
            )


class Estimate(NamedTuple):
    """One row per window, in nats per token: float64 `[K, E, O]`, and `[K, E]` for the zero-edge switches."""

    h: np.ndarray
    gradient: np.ndarray
    h_zero: np.ndarray | None
    gradient_zero: np.ndarray | None
    variance: np.ndarray | None = None  # [K, E, O], of h over draws of the probes
    probes: int = 1  # per window, that were used

    def standard_error(self) -> np.ndarray | None:
        """Of the mean of h over the windows, `[E, O]`, from the probes alone: the windows count as given."""
        return None if self.variance is None else np.sqrt(self.variance.sum(axis=0)) / len(self.variance)

    def relative_error(self) -> float | None:
        """The median of it over h; None where nothing is drawn."""
        error = self.standard_error()
        return None if error is None else relative_error(np.mean(self.h, axis=0), error)


class Diagonal:
    """The estimator of a model, compiled once for all epochs of a search.

    TensorFlow never frees all of a graph: a new one at each epoch cost 15 MB, of a tiny model, and its time.
    """

    def __init__(self, model: LanguageModel, options: CurvatureOptions):
        """A `LanguageModel` around a `SearchCell`; the estimator and its settings."""
        self.model, self.options = model, options
        is_ggn, groups = options.estimator == "ggn", model.execution.replicas.groups
        self.adapts = is_ggn and options.target_error > 0.0
        self.estimator: WindowEstimator = ESTIMATORS[options.estimator]
        if is_ggn and groups > 1:
            self.estimator = ggn.of_groups(groups)
        self.pilot = tf.function(self._window, autograph=False)
        self.window = tf.function(self._window, jit_compile=model.execution.xla, autograph=False)

    def _window(
        self, x: tf.Tensor, y: tf.Tensor, state: tf.Tensor, seed: tf.Tensor, probes: int
    ) -> WindowEstimate:
        options = dataclasses.replace(self.options, probes=probes)
        return self.estimator(self.model, x, y, state, seed, options)

    def __call__(
        self, windows: Iterable[tuple[tf.Tensor, tf.Tensor]], state: tf.Tensor, seed: tf.Tensor
    ) -> Estimate:
        """h and the gradient of the mean loss at the present parameters, window by window, the state carried.

        Args:
          windows: (x, y) pairs, int32 `[B, T]`, all of one shape: the window is compiled once. Fewer than
            `CurvatureOptions.windows` are taken with a warning.
          state: state `[B, S]` before the first window.
          seed: stateless seed int32 `[2]`; window k uses `fold(seed, k)`.

        Raises:
          ValueError: there are no windows, or they differ in shape.
        """
        probes = self.options.probes
        if self.adapts:
            probes, windows = self._enough_probes(iter(windows), state, seed)
        rows, shape = [], None
        for k, (x, y) in enumerate(windows):
            shape = x.shape if shape is None else shape
            if x.shape != shape or y.shape != shape:
                raise ValueError(
                    f"window {k} has x of shape {x.shape} and y of shape {y.shape}, but the first x has "
                    f"shape {shape}. Cut all windows to one length"
                )
            estimate = self.window(x, y, state, seeds.fold(seed, k), probes)
            state = estimate.state
            parts = (*estimate[:4], estimate.variance)
            rows.append([None if part is None else part.numpy().astype(np.float64) for part in parts])
        if not rows:
            raise ValueError(
                "no window for the curvature: the split is shorter than one window. "
                "Lower WindowOptions.bptt or WindowOptions.batch_size"
            )
        _warn_of_few(len(rows), self.options.windows)
        stacked: list[Any] = [None if part[0] is None else np.stack(part) for part in zip(*rows, strict=True)]
        h, gradient, h_zero, gradient_zero, variance = stacked
        return Estimate(h, gradient, h_zero, gradient_zero, variance, probes)

    def _enough_probes(
        self, windows: Iterator, state: tf.Tensor, seed: tf.Tensor
    ) -> tuple[int, Iterable[tuple[tf.Tensor, tf.Tensor]]]:
        """As many probes as the first window says are needed, and all windows again."""
        first = next(windows, None)
        if first is None:
            return self.options.probes, windows
        pilot = self.pilot(*first, state, seed, self.options.probes)
        needed = ggn.probes_needed(pilot.h.numpy(), pilot.variance.numpy(), self.options)
        return needed, itertools.chain([first], windows)


def diagonal(
    model: LanguageModel,
    windows: Iterable[tuple[tf.Tensor, tf.Tensor]],
    state: tf.Tensor,
    options: CurvatureOptions,
    seed: tf.Tensor,
) -> Estimate:
    """`Diagonal` of a model for windows, pairs of `[B, T]`, that are computed once."""
    return Diagonal(model, options)(windows, state, seed)


def _warn_of_few(found: int, wanted: int) -> None:
    """Say that the split holds fewer windows than asked for."""
    if found < wanted:
        logging.warning(
            "h is the mean over %d windows, not over CurvatureOptions.windows = %d: the split has no more. "
            "Lower WindowOptions.bptt, WindowOptions.batch_size or CurvatureOptions.windows",
            found,
            wanted,
        )
