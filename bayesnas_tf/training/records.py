"""What a training loop tells those who listen: the loop computes, a listener writes and draws.

The loops import nothing from `reporting`; an entry module passes them listeners that follow `Callbacks`.
Steps are counted from the start of the run, over all epochs; epochs are counted from 1.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from bayesnas_tf.space.base import Sites
from bayesnas_tf.space.genotype import Genotype


class RunFacts(NamedTuple):
    """What is known before the first step."""

    kind: str  # "search" or "evaluate"
    name: str  # how the run is called on the terminal: its corpus, its cell
    epochs: int
    step: int  # steps done before this process started: 0, or where the run resumes
    parameters: int
    epochs_done: int = 0  # epochs ended before this process started, their validation and update included


class StepRecord(NamedTuple):
    """The state of training after `step` steps, made once per reporting interval."""

    step: int
    epoch: int
    steps_per_epoch: int  # steps of this epoch: window lengths are drawn, so epochs differ
    nats: float  # mean training nats per token since the last record
    lr: float
    tokens_per_second: float
    seconds_left: float  # to the end of the last epoch; NaN while unknown
    step_in_epoch: int  # steps of this epoch that are done, 1..steps_per_epoch


class EpochRecord(NamedTuple):
    """The end of one epoch of training, before any update."""

    epoch: int
    step: int
    train_nats: float  # mean over the epoch
    valid_nats: float | None  # None where the epoch was not validated
    seconds: float
    averaged: bool = False  # whether the validated weights are averages of iterates


class UpdateRecord(NamedTuple):
    """One Bayesian update; every array is [E, O], as the update left it."""

    epoch: int
    step: int
    sites: Sites
    w: np.ndarray
    h: np.ndarray  # as estimated, before kappa
    c: np.ndarray
    omega: np.ndarray
    s: np.ndarray
    gamma: np.ndarray
    pruned: np.ndarray  # bool; True also where a site has no such option
    genotype: Genotype | None  # None when every node died
    live_nodes: int
    train_nats: float
    valid_nats: float
    unigram_nats: float
    health: dict[str, Any]
    kappa: float = math.nan  # factor from h to the curvature that the update used
    h_windows: np.ndarray | None = None  # [K, E, O], one estimate per probe window
    h_standard_error: np.ndarray | None = None  # [E, O], of h over draws of the probes
    gradient: np.ndarray | None = None  # [E, O], of the mean loss at the probe windows
    proposals: tuple[Genotype, ...] = ()  # cells drawn from the posterior, if any were asked for

    @property
    def pruned_fraction(self) -> float:
        """The share of the edge operations that are pruned."""
        return float(np.mean(self.pruned[self.sites.exists]))


class ChoiceRecord(NamedTuple):
    """The cell that a search without a posterior holds best after an epoch."""

    epoch: int
    step: int
    sites: Sites
    genotype: Genotype
    train_nats: float
    valid_nats: float
    unigram_nats: float
    health: dict[str, Any]
    probabilities: np.ndarray | None = None  # [E, O], of each edge-op
    candidates: np.ndarray | None = None  # int [K, n, 2], the choices of the cells that were scored
    candidate_nats: np.ndarray | None = None  # [K, W], mean nats of each cell on each validation window
    proposals: tuple[Genotype, ...] = ()  # none: there is no posterior to draw from


class Callbacks:
    """A listener; inherit from it and override what is of interest, the rest does nothing."""

    def on_start(self, facts: RunFacts) -> None:
        """Training begins or resumes."""

    def on_rollback(self, facts: RunFacts, number: int) -> None:
        """Training diverged and goes on from the good state in `facts`, for the `number`-th time."""

    def on_step(self, record: StepRecord) -> None:
        """A reporting interval ended."""

    def on_stage(self, name: str, done: int, total: int) -> None:
        """A phase without training steps (the Hessian probes, a validation) got to `done` of `total`."""

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch ended."""

    def on_update(self, record: UpdateRecord) -> None:
        """A Bayesian update ended."""

    def on_choice(self, record: ChoiceRecord) -> None:
        """A search without a posterior has chosen a cell."""

    def on_end(self, summary: dict[str, Any]) -> None:
        """The run is complete; `summary` is what summary.json holds."""
