"""From h to a cell: the Bayesian update, pruning and health of one epoch, put together from arrays."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from bayesnas_tf.bayes import gauge, gradual, health, proposals, prune, scores, update
from bayesnas_tf.curvature.interface import Estimate
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.records import UpdateRecord
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings
from bayesnas_tf.training.strategies.bayesnas.priors import CellPrior


class Situation(NamedTuple):
    """Where the search stands when it decides."""

    epoch: int
    step: int
    steps: int  # of this epoch
    train_nats: float
    valid_nats: float
    gradient_rms: float  # of the loss without L1 in w, over this epoch's steps and all scalars
    config_name: str  # what the run, and so the genotype, is named after
    seed: int


class Decision(NamedTuple):
    """The record for listeners, the update for the next epoch, and why there is no cell if there is none."""

    record: UpdateRecord
    posterior: update.Posterior
    collapse: str


class Decider:
    """The rules of one search, closed over its prior and its estimate; `h` is what they are functions of."""

    def __init__(
        self,
        problem: SearchProblem,
        settings: SearchSettings,
        prior: CellPrior,
        estimate: Estimate,
        removals: np.ndarray | None,
    ):
        """`removals`: the measured loss change of each edge-op `[E, O]`, or None if not measured."""
        cell = problem.model.cell
        self.problem, self.settings, self.prior, self.estimate = problem, settings, prior, estimate
        self.space = cell.space
        self.w = cell.scalars.numpy().astype(np.float64)
        self.removals = removals
        self.kappa = self._kappa(settings.scalars.lambda_w)
        of_switches = self._kappa(settings.switches.lambda_w) if self.space.sites.switches else self.kappa
        kappa = self.space.sites.by_row(self.kappa, of_switches)
        if settings.bayes.scale.endswith("over_lambda"):
            kappa = kappa / self.space.prices(settings.scalars.cost_share)
        self.rules = update.Rules(settings.bayes, kappa, self.space)

    def _kappa(self, lambda_w: float) -> float:
        windows = self.settings.windows
        tokens = windows.batch_size * windows.bptt
        return update.kappa(self.settings.bayes.scale, tokens, len(self.problem.corpus.train), lambda_w)

    def windows(self) -> np.ndarray:
        """What was estimated per probe window, `[K, 3, E, O]`: h, gradient, h of the switches (or 0)."""
        h, gradient, h_zero = self.estimate[:3]
        of_switches = np.zeros_like(h[..., 0]) if h_zero is None else h_zero
        return np.stack([h, gradient, np.broadcast_to(of_switches[..., np.newaxis], h.shape)], axis=1)

    def posterior(self, h, h_zero) -> update.Posterior:
        """M6 to M10, from the curvature of the scalars `[E, O]` and of their switches `[E]`."""
        zero = None
        if self.prior.zero is not None:
            switches = self.problem.model.cell.zero_scalars.numpy().astype(np.float64)
            zero = update.ZeroEdge(self.prior.zero.arrays(), switches, h_zero)
        return update.update(self.prior.scalars.arrays(), self.w, h, self.rules, zero)

    def context(self, averages: np.ndarray) -> tuple[update.Posterior, scores.Context]:
        """The update, and what the scores may look at, from a mean over `windows`, `[3, E, O]`."""
        h, gradient, of_switches = averages
        posterior = self.posterior(h, of_switches[:, 0])
        return posterior, scores.Context.of(posterior, self.w, gradient, self.removals)

    def mean(self) -> np.ndarray:
        """The mean over all `windows`, `[3, E, O]`."""
        return np.mean(self.windows(), axis=0)

    def average(self) -> tuple[update.Posterior, scores.Context]:
        """`context` of the mean over all windows, by which the search decides."""
        return self.context(self.mean())

    def scored(self, context: scores.Context) -> tuple[np.ndarray, np.ndarray]:
        """Scores and the mask of what is pruned (M11), each `[E, O]`."""
        options = self.settings.prune
        return scores.score(options.score, context), prune.pruned(context, options, self.space)

    def choices(self, averages: np.ndarray) -> np.ndarray:
        """The chosen edge-op of each node, as the bootstrap over windows compares them."""
        values, mask = self.scored(self.context(averages)[1])
        return prune.choices(values, mask, self.settings.prune, self.space)

    def health(
        self, situation: Situation, context: scores.Context, genotype: Genotype | None
    ) -> dict[str, Any]:
        """The report of method section 8, as summary.json holds it."""
        sites, estimate = self.space.sites, self.estimate
        pull, travel = self.pulls(situation)
        of_edges = sites.exists & sites.edges[:, np.newaxis]
        of_edges &= self.prior.scalars.arrays().omega < gradual.UNBOUNDED  # what is gone tells nothing
        rms = np.full(int(of_edges.sum()), situation.gradient_rms)
        shape = health.structure(genotype) if genotype else health.Structure(*[float("nan")] * 3)
        stability = health.choice_stability(
            self.windows(), self.choices, self.settings.resamples, situation.seed
        )
        report = health.Health(
            unigram_nats=self.problem.corpus.unigram_nats("valid"),
            train_nats=situation.train_nats,
            valid_nats=situation.valid_nats,
            pull_ratio=float(np.median(health.pull_ratio(rms, pull[of_edges]))),
            travel=float(np.median(travel[of_edges])),
            h_reliability=health.h_reliability(estimate.h[:, sites.exists]),
            choice_stability=tuple(stability),
            star_share=shape.star_share,
            mean_depth=shape.mean_depth,
            identity_share=shape.identity_share,
            oracle_correlations=(
                {} if self.removals is None else health.oracle_correlations(context.only(sites.exists))
            ),
        )
        found: dict[str, Any] = {
            "gradient_rms": situation.gradient_rms,
            "l1_pull": float(np.median(pull[of_edges])),
        }
        told = report.to_dict()
        if sites.switches:
            found["switches"] = self.switches(context, travel)
            told["warnings"] += health.switch_warnings(found["switches"], self.switch_pulls(pull))
        return {**told, **found}

    def pulls(self, situation: Situation) -> tuple[np.ndarray, np.ndarray]:
        """Of each scalar the L1 pull (λ / T) ω, and how far it alone moves it in this epoch; `[E, O]`."""
        scalars, switches = self.settings.scalars, self.settings.switches
        omega, bptt = self.prior.scalars.arrays().omega, self.settings.windows.bptt
        by_row = self.space.sites.by_row
        l1 = by_row(scalars.l1(bptt), scalars.per_window(switches.lambda_w, bptt))
        l1 = l1 * self.space.prices(scalars.cost_share)
        warm = switches.warm_up if situation.epoch == 1 else 0.0
        rate = by_row(scalars.lr, switches.lr * (1.0 - warm))
        return l1 * omega, gauge.travel(rate, l1, omega, situation.steps)

    def places(self) -> dict[str, tuple[int, int]]:
        """Of each switch its row and column."""
        sites = self.space.sites
        return {name: (row, int(np.argmax(sites.exists[row]))) for row, name in sites.switches.items()}

    def switch_pulls(self, pull: np.ndarray) -> dict[str, float]:
        """Of each switch the L1 pull on it, nats per token."""
        return {name: float(pull[at]) for name, at in self.places().items()}

    def switches(self, context: scores.Context, travel: np.ndarray) -> dict[str, dict[str, Any]]:
        """Of each switch its value, gamma, saliency in nats, travel, and whether it is kept.

        Of one that has left the supernet the travel is None: nothing can move it.
        """
        pruned = prune.pruned(context, self.settings.prune, self.space)
        gone = self.prior.scalars.arrays().omega >= gradual.UNBOUNDED
        saliency, found = scores.saliency(context), {}
        for name, at in self.places().items():
            numbers = {"w": context.w, "gamma": context.gamma, "saliency": saliency}
            values = {key: float(array[at]) for key, array in numbers.items()}
            moved = None if gone[at] else float(travel[at])
            found[name] = {**values, "travel": moved, "kept": bool(~pruned[at])}
        return found

    def decide(self, situation: Situation) -> Decision:
        """Update (M6 to M10), prune (M11), derive (M12), and say how far to trust it.

        Arrays of the record are `[E, O]`, those of the windows `[K, E, O]`; nats are per token. That every
        node died is no error here: the record is complete without a cell, and `collapse` says why.
        """
        posterior, context = self.average()
        values, mask = self.scored(context)
        genotype, collapse = None, ""
        try:
            cell = prune.derive(values, mask, self.settings.prune, self.space)
            origin = self.provenance(situation) | cell.provenance
            name = f"{situation.config_name}-seed{situation.seed}"
            genotype = dataclasses.replace(cell, name=name, provenance=origin)
        except prune.CollapsedCell as error:
            collapse = str(error)
        record = UpdateRecord(
            epoch=situation.epoch,
            step=situation.step,
            sites=self.space.sites,
            w=self.w,
            h=posterior.h,
            c=posterior.c,
            omega=posterior.omega,
            s=posterior.s,
            gamma=posterior.gamma,
            pruned=mask,
            genotype=genotype,
            live_nodes=len(genotype.nodes) if genotype else 0,
            train_nats=situation.train_nats,
            valid_nats=situation.valid_nats,
            unigram_nats=self.problem.corpus.unigram_nats("valid"),
            health={
                **self.health(situation, context, genotype),
                "clipped": posterior.clipped,
                "h_error": self.estimate.relative_error(),
            },
            kappa=self.kappa,
            h_windows=self.estimate.h,
            h_standard_error=self.estimate.standard_error(),
            gradient=np.mean(self.estimate.gradient, axis=0),
        )
        return Decision(record, posterior, collapse)

    def proposals(self, count: int, temperature: float, seed: int) -> list[Genotype]:
        """Cells drawn from the posterior; see `bayes.proposals`."""
        context, options = self.average()[1], self.settings.prune
        return proposals.proposals(context, options, self.space, temperature, count, seed)

    def gone(self, share: float) -> np.ndarray:
        """What leaves the supernet after this update, bool `[E, O]`; see `gradual.removed`."""
        values, mask = self.scored(self.average()[1])
        return gradual.removed(values, mask, self.prior.scalars.arrays(), share, self.space)

    def not_taken(self) -> np.ndarray:
        """What the cell of this update lacks, bool `[E, O]`."""
        return ~self.space.taken(self.choices(self.mean()))

    def provenance(self, situation: Situation) -> dict[str, Any]:
        """Where a genotype comes from."""
        return {
            "config": situation.config_name,
            "seed": situation.seed,
            "corpus": self.problem.corpus.name,
            "lambda_w": self.settings.scalars.lambda_w,
            "estimator": self.settings.curvature.estimator,
            "kappa": self.kappa,
        }
