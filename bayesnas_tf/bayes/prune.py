"""Which edge-operations go, and the discrete cell that is left (section 5).

Masks are bool `[E, O]`, True = removed. A node is live while one edge-op into it is left; node 0 always is.
"""

import dataclasses
import math
from typing import Literal

import gin
import numpy as np

from bayesnas_tf.bayes.scores import Context, Score, evidence
from bayesnas_tf.options import Below1, NonNegative, Options, Positive
from bayesnas_tf.space.base import Sites, Space
from bayesnas_tf.space.genotype import Genotype

Criterion = Literal["entropy", "evidence"]

ZERO_ENTROPY = 1.0 / (2.0 * math.pi * math.e)


class CollapsedCell(ValueError):
    """Every node is dead: there is no cell to derive."""


@gin.register
@dataclasses.dataclass(frozen=True)
class PruneOptions(Options):
    """What is removed and what is kept.

    `threshold` is the gamma whose entropy is 0. With `target_pruned_share` the lowest edge-ops of that share
    go instead of those at a constant. `identity_penalty` multiplies a positive score of identity and
    divides a negative one, so that below 1 it always counts against it. `share_per_update` prunes gradually:
    after each update but the last, what is pruned leaves the supernet for good, and at least this share of
    the edge-ops that are left; None: nothing leaves before the end.
    """

    # largest gamma that is pruned; the default is the gamma whose entropy is 0
    threshold: NonNegative = ZERO_ENTROPY
    score: Score = "gamma"  # ranks what a node may take (M12)
    # entropy: gamma at most `threshold` goes (M11); evidence: evidence at most 0 goes
    criterion: Criterion = "entropy"
    keep_all_nodes: bool = False  # True: no node dies; its best entry stays, whatever its gamma
    # share of edge operations that goes, lowest first, instead of a constant threshold
    target_pruned_share: Below1 | None = None
    identity_penalty: Positive = 1.0  # multiplies a positive score of identity and divides a negative one
    # least share that leaves the supernet after an update: gradual pruning; None: none leaves
    share_per_update: Below1 | None = None


def entropy(gamma: np.ndarray) -> np.ndarray:
    """ln(2 pi e gamma) / 2: entropy in nats of a Gaussian of variance gamma > 0; 0 at the threshold."""
    return 0.5 * np.log(2.0 * math.pi * math.e * gamma)


def closed(context: Context, options: PruneOptions) -> np.ndarray:
    """Edges [E] whose own zero-edge switch is off, by the threshold of M11; none without such switches.

    3.9 lets the switch of an edge act on the edges behind it; proposition 1 also wants the edge itself gone.
    """
    if context.s_zero is None:
        return np.zeros(len(context.gamma), dtype=bool)
    return context.s_zero <= options.threshold


def constant(options: PruneOptions) -> float:
    """The value at and below which an entry goes, whatever the others are."""
    return options.threshold if options.criterion == "entropy" else 0.0


def cutoff(values: np.ndarray, options: PruneOptions) -> float:
    """The value at and below which an edge-op goes.

    With a target share it is the k-th smallest of the values, k the rounded share. Equal values go
    together, so that more may go, never less.
    """
    if options.target_pruned_share is None:
        return constant(options)
    count = round(options.target_pruned_share * values.size)
    return -math.inf if count == 0 else float(np.sort(values, axis=None)[count - 1])


def pruned(context: Context, options: PruneOptions, space: Space) -> np.ndarray:
    """The edge-ops to remove (M11): gamma at most the threshold, or evidence at most 0.

    What goes with them (`Space.closure`) and what lies behind closed edges goes too. With `keep_all_nodes`
    no node dies. A target share is one of edge-ops: switches go by the constant alone.
    """
    values = context.gamma if options.criterion == "entropy" else evidence(context)
    values = np.where(closed(context, options)[:, None], -math.inf, values)  # goes whatever the cutoff is
    exists, edges = space.sites.exists, space.sites.edges
    by_row = np.where(edges, cutoff(values[edges][exists[edges]], options), constant(options))
    mask = (values <= by_row[:, np.newaxis]) | ~exists
    return mask if options.keep_all_nodes else space.closure(mask)


def penalised(scores: np.ndarray, factor: float, sites: Sites) -> np.ndarray:
    """The scores with `factor` applied to the identity operation; a negative score is divided by it."""
    scores = np.array(scores, dtype=np.float64)
    column = sites.options.index("identity")
    identity = scores[:, column]
    scores[:, column] = np.where(identity > 0.0, identity * factor, identity / factor)
    return scores


def choices(scores: np.ndarray, mask: np.ndarray, options: PruneOptions, space: Space) -> np.ndarray:
    """What is chosen at each node (`Space.decisions`, M12); `ValueError` when a score is NaN."""
    if np.isnan(scores).any():
        raise ValueError(
            f"{int(np.isnan(scores).sum())} scores are NaN, so that no edge-op can be chosen. The network "
            "has diverged: lower the learning rate or set a norm in the cell"
        )
    scores = penalised(scores, options.identity_penalty, space.sites)
    return space.decisions(scores, mask, options.keep_all_nodes)


def derive(scores: np.ndarray, mask: np.ndarray, options: PruneOptions, space: Space) -> Genotype:
    """The discrete cell (M12): the best option left of each live node.

    `mask` is what `pruned` returned. The provenance holds the score and the identity penalty.
    `CollapsedCell` when every node is dead.
    """
    chosen = choices(scores, mask, options, space)
    cell = space.decode(chosen)
    if cell is None:
        raise CollapsedCell(
            f"the cell has collapsed: all {len(chosen)} nodes are dead. Lower ScalarOptions.lambda_w or "
            "ScalarOptions.lr, set ScalarOptions.gauge to 'rms', or set PruneOptions.target_pruned_share"
        )
    origin = {"score": options.score, "identity_penalty": options.identity_penalty}
    return dataclasses.replace(cell, provenance=origin)
