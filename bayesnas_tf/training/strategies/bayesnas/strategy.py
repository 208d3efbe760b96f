"""BayesNAS as a strategy: steps 2 to 4 of Algorithm 2 at the end of each epoch."""

import dataclasses
import functools
import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from bayesnas_tf.bayes import gradual
from bayesnas_tf.bayes.update import Posterior
from bayesnas_tf.curvature import interface as curvature
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.fixed_windows import fixed_windows
from bayesnas_tf.training.records import UpdateRecord
from bayesnas_tf.training.strategies.bayesnas import oracle
from bayesnas_tf.training.strategies.bayesnas.decide import Decider, Situation
from bayesnas_tf.training.strategies.bayesnas.discretisation import Discretisation
from bayesnas_tf.training.strategies.bayesnas.priors import CellPrior
from bayesnas_tf.training.strategies.interface import Strategy

HESSIAN_SEED = 2  # slot of the run's seed; 0 is initialisation, 1 the masks
ORACLE_WINDOWS = 2


class BayesNas(Strategy):
    """Estimate h, update the prior, prune, derive; owns the prior."""

    def __init__(self, loop):
        """The prior starts at 1."""
        super().__init__(loop)
        gradual_search = self.settings.prune.share_per_update is not None
        self.discretisation = Discretisation(self.settings.epochs) if gradual_search else None
        self.prior = CellPrior(self.problem.model.cell)
        self.curvature = curvature.Diagonal(self.problem.model, self.settings.curvature)

    @property
    def trackables(self) -> dict[str, tf.Module]:
        """The prior, and what a gradual search tells of its removals."""
        told = {"discretisation": self.discretisation} if self.discretisation else {}
        return {"prior": self.prior, **told}

    @property
    def architecture_tokens(self) -> int:
        """Per update those of the windows of the Hessian, and of the oracle's passes where it decides."""
        rows, settings = self.problem.train_rows, self.settings
        windows = fixed_windows(rows, settings.windows.bptt, settings.curvature.windows)
        read = sum(x.shape[0] * x.shape[1] for x, _ in windows)
        if settings.prune.score == "oracle":
            passes = 1 + int(self.space.sites.exists.sum())
            read += passes * sum(x.shape[0] * x.shape[1] for x, _ in self.held_out())
        return settings.epochs * read

    def before_window(self, done: int, total: int) -> None:
        """Switches stay where they are until the kernels have learnt to use what they open."""
        first = int(self.loop.progress.epoch) == 0
        self.problem.step.hold(first and done < self.settings.switches.warm_up * total)

    def on_report(self) -> None:
        """Add up the squared gradients of w."""
        step = self.problem.step
        self.loop.progress.squared_gradient.assign_add(step.squared_gradient)
        step.squared_gradient.assign(0.0)

    def estimate(self) -> curvature.Estimate:
        """h on the first K windows of the training split, state carried, no dropout."""
        settings, loop, started = self.settings, self.loop, time.perf_counter()
        stream = fixed_windows(self.problem.train_rows, settings.windows.bptt, settings.curvature.windows)
        seed = seeds.fold(self.problem.seed, HESSIAN_SEED, tf.cast(loop.progress.epoch, tf.int32))
        state = self.problem.model.zero_state(settings.windows.batch_size)
        watched = loop.staged("hessian", stream, len(stream))
        estimate = self.curvature(watched, state, seed)
        loop.progress.hessian_seconds.assign_add(time.perf_counter() - started)
        return estimate

    def update(self, valid_nats: float, diagnose: bool) -> tuple[Genotype, UpdateRecord]:
        """Estimate, update, prune, derive (steps 2 to 4 of Algorithm 2), then the next epoch's ω.

        `valid_nats` are nats per token. Listeners get the record before anything is refused: what a search
        has computed stays on disk also where every node of the cell died.

        Raises:
          UserError: every node died.
        """
        loop, settings, progress = self.loop, self.settings, self.loop.progress
        estimate = self.estimate()
        changes = self.removals() if diagnose or settings.prune.score == "oracle" else None
        situation = Situation(
            epoch=int(progress.epoch) + 1,
            step=int(progress.step),
            steps=int(progress.window),
            train_nats=loop.train_nats,
            valid_nats=valid_nats,
            gradient_rms=math.sqrt(float(progress.squared_gradient) / max(int(progress.window), 1)),
            config_name=loop.config_name,
            seed=loop.seed,
        )
        decider = Decider(self.problem, settings, self.prior, estimate, changes)
        record, posterior, collapse = decider.decide(situation)
        genotype = record.genotype
        if genotype is not None:
            genotype = self.named(genotype)
            record = record._replace(genotype=genotype, proposals=self.proposals(decider))
            if self.discretisation:
                posterior, told = self.thinned(decider, posterior, valid_nats, self.discretisation)
                record = record._replace(health={**record.health, "discretisation": told})
        loop.callbacks.on_update(record)
        if genotype is None:
            raise UserError(collapse)
        self.prior.adopt(posterior, self.problem.step.omega)
        return genotype, record

    @property
    def last(self) -> bool:
        """Whether the update under way is the last one."""
        return int(self.loop.progress.epoch) + 1 == self.settings.epochs

    def proposals(self, decider: Decider) -> tuple[Genotype, ...]:
        """The cells that the options ask for, named after the run."""
        options = self.settings.strategy
        if not options.proposals or not self.last:
            return ()
        cells = decider.proposals(options.proposals, options.temperature, self.loop.seed)
        named = enumerate(map(self.named, cells), start=1)
        return tuple(
            dataclasses.replace(c, name=f"{c.name}-{k}", provenance={**c.provenance, "draw": k})
            for k, c in named
        )

    def thinned(
        self, decider: Decider, posterior: Posterior, before: float, measured: Discretisation
    ) -> tuple[Posterior, dict[str, Any]]:
        """Take what is gone out of the supernet; after the last update all but the cell, to measure it.

        Returns:
          The posterior of the next epoch, and what `Discretisation` tells of all updates so far; at the end
          also the nats of the `cell` with the weights of the supernet.
        """
        scalars, share = self.problem.model.cell.scalars, self.settings.prune.share_per_update
        number = int(self.loop.progress.epoch)
        gone = decider.not_taken() if self.last else decider.gone(share)
        kept = scalars.numpy()
        left = np.where(gone, 0.0, kept)
        scalars.assign(left)
        told = measured.record(number, int((~gone).sum()), before, self.loop.valid_nats())
        if not self.last:
            return gradual.without(posterior, gone), told
        scalars.assign(np.where(self.space.sites.edges[:, np.newaxis] | gone, left, 1.0))
        alone = self.loop.valid_nats()  # switches of a cell are on or off
        scalars.assign(kept)
        return posterior, {**told, "cell": alone}

    def removals(self) -> np.ndarray:
        """The one-shot oracle on held-out windows."""
        return oracle.loss_changes(
            self.problem.model, self.held_out(), functools.partial(self.loop.announce, "oracle")
        )

    def held_out(self) -> list:
        """The windows of the oracle."""
        return fixed_windows(self.problem.valid_rows, self.settings.windows.bptt, ORACLE_WINDOWS)
