"""From h to a cell: the Bayesian update, pruning and health of one epoch, put together from arrays."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.bayes import gauge, health, prune, scores, update
from bayesnas_tf.curvature.interface import Estimate
from bayesnas_tf.space import topology
from bayesnas_tf.training.records import UpdateRecord
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings


class Priors(tf.Module):
    """gamma, omega and s of the scalars, as float64 variables that a checkpoint holds."""

    def __init__(self, shape):
        """The start: all ones."""
        super().__init__()
        self.gamma, self.omega, self.s = (
            tf.Variable(array, dtype=tf.float64, trainable=False) for array in update.Prior.start(*shape)
        )

    def arrays(self) -> update.Prior:
        """As NumPy, for `bayes`."""
        return update.Prior(self.gamma.numpy(), self.omega.numpy(), self.s.numpy())

    def assign(self, posterior: update.Posterior) -> None:
        """What the update leaves for the next epoch."""
        for variable, array in zip((self.gamma, self.omega, self.s), posterior.prior, strict=True):
            variable.assign(array)


class PriorPair(tf.Module):
    """The priors of the scalars and, where there are any, of the zero-edge switches."""

    def __init__(self, main: Priors, zero: Priors | None):
        """See the class."""
        super().__init__()
        self.main, self.zero = main, zero


def new_priors(cell) -> PriorPair:
    """Priors of one search cell before its first update."""
    zero = None if cell.zero_scalars is None else Priors(cell.zero_scalars.shape)
    return PriorPair(Priors(cell.scalars.shape), zero)


class Situation(NamedTuple):
    """Where the search stands when it decides."""

    epoch: int
    step: int
    steps: int  # of this epoch
    train_nats: float
    valid_nats: float
    gradient_rms: float  # of the data loss in w, over this epoch's steps and all scalars
    seed: int


class Decision(NamedTuple):
    """The record for the listeners, the update for the next epoch, and why there is no cell if there is none."""

    record: UpdateRecord
    posterior: update.Posterior
    collapse: str


def decide(
    problem: SearchProblem,
    settings: SearchSettings,
    priors: PriorPair,
    estimate: Estimate,
    situation: Situation,
    changes: np.ndarray | None,
) -> Decision:
    """Update (M6-M10), prune (M11), derive (M12), and say how far to trust it (section 8)."""
    w = problem.model.cell.scalars.numpy().astype(np.float64)
    windows, l1 = settings.windows, settings.scalars.l1(settings.windows.bptt)
    kappa = update.kappa(
        settings.bayes.scale, windows.batch_size * windows.bptt, len(problem.corpus.train), settings.scalars.lambda_w
    )
    gradient = np.mean(estimate.gradient, axis=0)

    def posterior_of(h):
        zero = None
        if priors.zero is not None:
            zero_w = problem.model.cell.zero_scalars.numpy().astype(np.float64)
            zero = update.ZeroEdge(priors.zero.arrays(), zero_w, np.mean(estimate.h_zero, axis=0))
        return update.update(priors.main.arrays(), w, h, settings.bayes, kappa, zero)

    def choose(h):
        context = scores.Context.of(posterior_of(h), w, gradient, changes)
        mask = prune.pruned(context, settings.prune)
        return prune.choices(scores.score(settings.prune.score, context), mask, settings.prune)

    posterior = posterior_of(np.mean(estimate.h, axis=0))
    context = scores.Context.of(posterior, w, gradient, changes)
    mask = prune.pruned(context, settings.prune)
    genotype, collapse = None, ""
    try:
        values = scores.score(settings.prune.score, context)
        genotype = prune.derive(values, mask, settings.prune, "cell", provenance(problem, settings, situation, kappa))
    except prune.CollapsedCell as error:
        collapse = str(error)
    travelled = gauge.travel(settings.scalars.lr, l1, priors.main.arrays().omega, situation.steps)
    pull = health.pull_ratio(np.full(w.shape, situation.gradient_rms), l1 * priors.main.arrays().omega)
    stability = health.choice_stability(estimate.h, choose, settings.resamples, situation.seed)
    shape = health.structure(genotype) if genotype else health.Structure(*[float("nan")] * 3)
    report = health.Health(
        unigram_nats=problem.corpus.unigram_nats("valid"),
        train_nats=situation.train_nats,
        valid_nats=situation.valid_nats,
        pull_ratio=float(np.median(pull)),
        travel=float(np.median(travelled)),
        h_reliability=health.h_reliability(estimate.h),
        choice_stability=tuple(stability),
        star_share=shape.star_share,
        mean_depth=shape.mean_depth,
        identity_share=shape.identity_share,
        oracle_correlations={} if changes is None else health.oracle_correlations(context),
    )
    facts = {**report.to_dict(), "clipped": posterior.clipped, "gradient_rms": situation.gradient_rms, "l1_pull": l1}
    record = UpdateRecord(
        situation.epoch,
        situation.step,
        w,
        posterior.h,
        posterior.c,
        posterior.omega,
        posterior.s,
        posterior.gamma,
        mask,
        genotype,
        len(prune.live_nodes(mask)) if genotype is None else len(genotype.nodes),
        situation.train_nats,
        situation.valid_nats,
        report.unigram_nats,
        facts,
        kappa,
        estimate.h,
        gradient,
    )
    return Decision(record, posterior, collapse)


def provenance(problem, settings, situation: Situation, kappa: float) -> dict:
    """Where a genotype comes from; the command adds its configuration's name."""
    return {
        "seed": situation.seed,
        "corpus": problem.corpus.name,
        "lambda_w": settings.scalars.lambda_w,
        "estimator": settings.curvature.estimator,
        "kappa": kappa,
    }


def adopt(priors: PriorPair, omegas, posterior: update.Posterior) -> None:
    """The update becomes the prior and the L1 weights of the next epoch."""
    for prior, omega, part in zip((priors.main, priors.zero), omegas, (posterior, posterior.zero), strict=False):
        prior.assign(part)
        omega.assign(tf.cast(part.omega, omega.dtype))


def edges_of(w: np.ndarray) -> np.ndarray:
    """(source, target) of each row of an `[E, O]` array."""
    return topology.edges(topology.node_count(len(w)))
