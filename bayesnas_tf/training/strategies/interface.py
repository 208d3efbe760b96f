"""What a strategy is to the loop of a search, and what all but BayesNAS have in common."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.bayes import health
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.records import ChoiceRecord, UpdateRecord
from bayesnas_tf.training.strategies.schedule import Schedule


class Strategy:
    """How a search learns which cell to take, between and after the steps of its loop.

    What a step learns (α, a controller) belongs to the step, which the loop saves; what a strategy itself
    carries from epoch to epoch it names in `trackables`. `loop` is the `SearchLoop`: its problem, settings,
    progress and listeners.
    """

    schedule: Schedule | None = None  # of trainings that share the epochs; None: all epochs are one training

    def __init__(self, loop):
        """Nothing is computed yet."""
        self.loop, self.problem, self.settings = loop, loop.problem, loop.settings
        self.space = loop.model.cell.space

    @property
    def trackables(self) -> dict[str, tf.Module]:
        """What a checkpoint holds besides model, step and progress."""
        return {}

    @property
    def architecture_tokens(self) -> int:
        """Tokens that were read to choose the cell, once per pass, besides those that W trained on."""
        raise NotImplementedError

    def before_window(self, done: int, total: int) -> None:
        """The loop is about to train on the window after the `done` first of this epoch's `total`."""

    def on_report(self) -> None:
        """A reporting interval has ended."""

    def validate(self) -> float:
        """Mean nats on the validation split that stand for this epoch."""
        return self.loop.valid_nats()

    def update(self, valid_nats: float, diagnose: bool) -> tuple[Genotype, UpdateRecord | ChoiceRecord]:
        """Choose the cell at the end of an epoch, tell the listeners, prepare the next epoch.

        Raises:
          UserError: there is no cell to choose.
        """
        raise NotImplementedError

    def named(self, cell: Genotype) -> Genotype:
        """The cell with the name of this run, and the strategy in its provenance."""
        loop = self.loop
        origin = {
            "config": loop.config_name,
            "seed": loop.seed,
            "corpus": self.problem.corpus.name,
            **cell.provenance,
            "strategy": self.settings.strategy.name,
        }
        return dataclasses.replace(cell, name=f"{loop.config_name}-seed{loop.seed}", provenance=origin)


class Found(NamedTuple):
    """What a strategy has chosen, and what it knows about it."""

    cell: Genotype
    health: dict[str, Any]  # of this strategy alone
    probabilities: np.ndarray | None = None  # [E, O]
    candidates: np.ndarray | None = None  # [K, ...], choices
    candidate_nats: np.ndarray | None = None  # [K, W], mean nats of each validation window


class ChoosingStrategy(Strategy):
    """A strategy that chooses a cell without a posterior."""

    def found(self) -> Found:
        """The choice after this epoch's training and validation."""
        raise NotImplementedError

    def update(self, valid_nats: float, diagnose: bool) -> tuple[Genotype, ChoiceRecord]:
        """Choose and tell; `diagnose` measures what these strategies have no part in."""
        progress, unigram = self.loop.progress, self.problem.corpus.unigram_nats("valid")
        found = self.found()
        cell = self.named(found.cell)
        report = health.Health(
            unigram_nats=unigram,
            train_nats=self.loop.train_nats,
            valid_nats=valid_nats,
            choice_stability=self.stability(found),
            **health.structure(cell)._asdict(),
        )
        record = ChoiceRecord(
            epoch=int(progress.epoch) + 1,
            step=int(progress.step),
            sites=self.space.sites,
            genotype=cell,
            train_nats=self.loop.train_nats,
            valid_nats=valid_nats,
            unigram_nats=unigram,
            health={**report.to_dict(), **found.health},
            probabilities=found.probabilities,
            candidates=found.candidates,
            candidate_nats=found.candidate_nats,
        )
        self.loop.callbacks.on_choice(record)
        return cell, record

    def stability(self, found: Found) -> tuple[float, ...]:
        """Per node the share of resampled validation windows that choose alike; empty without candidates."""
        if found.candidates is None or found.candidate_nats is None:
            return ()
        cells, nats = found.candidates, found.candidate_nats
        sizes = self.space.slots.max(axis=0)
        radix = np.append(np.cumprod(sizes[:0:-1])[::-1], 1)  # one number for each row of a choice
        share = health.choice_stability(
            nats.T,
            lambda mean: cells[np.argmin(mean)] @ radix,
            self.settings.resamples,
            self.loop.seed,
        )
        return tuple(share)


def candidate_health(nats: np.ndarray) -> dict[str, float | None]:
    """What the scores `[K, W]` of candidates say: best, median, deviation, agreement of two halves."""
    means, reliability = nats.mean(axis=1), health.h_reliability(nats.T)
    return {
        "candidates": len(means),
        "candidate_best_nats": float(means.min()),
        "candidate_median_nats": float(np.median(means)),
        "candidate_deviation": float(means.std()),
        "candidate_reliability": None if math.isnan(reliability) else reliability,
    }
