"""Which edge-operations go, and the discrete cell that is left (section 5).

Masks are bool `[E, O]`, True = removed. A node is live while one edge-op into it is left; node 0 always is.
"""

import dataclasses
import math
from typing import Any, Literal

import gin
import numpy as np

from bayesnas_tf.bayes.scores import Context, Score, evidence
from bayesnas_tf.options import Below1, NonNegative, Options, Positive
from bayesnas_tf.space import primitives, topology
from bayesnas_tf.space.genotype import Genotype, Node

Criterion = Literal["entropy", "evidence"]

ZERO_ENTROPY = 1.0 / (2.0 * math.pi * math.e)
DEAD = -1


class CollapsedCell(ValueError):
    """Every node is dead: there is no cell to derive."""


@gin.register
@dataclasses.dataclass(frozen=True)
class PruneOptions(Options):
    """What is removed and what is kept.

    `threshold` is the gamma whose entropy is 0. With `target_pruned_share` the lowest edge-ops of that share
    go instead of those at a constant. `identity_penalty` multiplies a positive score of identity and
    divides a negative one, so that below 1 it always counts against it.
    """

    threshold: NonNegative = ZERO_ENTROPY
    score: Score = "gamma"
    criterion: Criterion = "entropy"
    keep_all_nodes: bool = False
    target_pruned_share: Below1 | None = None
    identity_penalty: Positive = 1.0


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


def cutoff(values: np.ndarray, options: PruneOptions) -> float:
    """The value at and below which an edge-op goes.

    With a target share it is the k-th smallest of the E*O values, k the rounded share. Equal values go
    together, so that more may go, never less.
    """
    if options.target_pruned_share is None:
        return options.threshold if options.criterion == "entropy" else 0.0
    count = round(options.target_pruned_share * values.size)
    return -math.inf if count == 0 else float(np.sort(values, axis=None)[count - 1])


def without_dead_nodes(mask: np.ndarray) -> np.ndarray:
    """Also remove what leaves a dead node, until nothing changes.

    3.19 looks one level up only. One pass in node order is enough: edges go from lower nodes to higher ones.
    """
    mask = np.array(mask, dtype=bool)
    nodes = topology.node_count(len(mask))
    for node in range(1, nodes):
        if mask[topology.incoming(node)].all():
            mask[topology.outgoing(node, nodes)] = True
    return mask


def pruned(context: Context, options: PruneOptions) -> np.ndarray:
    """The edge-ops to remove (M11): gamma at most the threshold, or evidence at most 0.

    Those behind dead nodes and closed edges go too. With `keep_all_nodes` no node dies.
    """
    values = context.gamma if options.criterion == "entropy" else evidence(context)
    values = np.where(closed(context, options)[:, None], -math.inf, values)  # goes whatever the cutoff is
    mask = values <= cutoff(values, options)
    return mask if options.keep_all_nodes else without_dead_nodes(mask)


def live_nodes(mask: np.ndarray) -> list[int]:
    """The nodes of 1..n with an edge-op left."""
    nodes = topology.node_count(len(mask))
    return [j for j in range(1, nodes + 1) if not mask[topology.incoming(j)].all()]


def penalised(scores: np.ndarray, factor: float) -> np.ndarray:
    """The scores with `factor` applied to the identity operation; a negative score is divided by it."""
    scores = np.array(scores, dtype=np.float64)
    column = primitives.OP_NAMES.index("identity")
    identity = scores[:, column]
    scores[:, column] = np.where(identity > 0.0, identity * factor, identity / factor)
    return scores


def choices(scores: np.ndarray, mask: np.ndarray, options: PruneOptions) -> np.ndarray:
    """Per node 1..n the best edge-op left, as source * O + op, or `DEAD`; int64 [n] (M12).

    Ties go to the lowest source, then to the lowest op. With `keep_all_nodes` a node with nothing left takes
    the best of all its edge-ops. `ValueError` when a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN: no edge-op can be chosen by them")
    scores = penalised(scores, options.identity_penalty)
    chosen = []
    for node in range(1, topology.node_count(len(mask)) + 1):
        values = scores[topology.incoming(node)].ravel()
        left = np.flatnonzero(~mask[topology.incoming(node)])
        if left.size == 0 and options.keep_all_nodes:
            left = np.arange(values.size)
        chosen.append(left[np.argmax(values[left])] if left.size else DEAD)
    return np.array(chosen, dtype=np.int64)


def derive(
    scores: np.ndarray,
    mask: np.ndarray,
    options: PruneOptions,
    name: str = "cell",
    provenance: dict[str, Any] | None = None,
) -> Genotype:
    """The discrete cell (M12): one edge-op per live node, dead nodes dropped, the rest renumbered.

    `mask` is what `pruned` returned. The output is the mean of all live nodes. The provenance gains the score
    and the identity penalty. `CollapsedCell` when every node is dead.
    """
    chosen = choices(scores, mask, options)
    number = {0: 0}
    nodes = []
    for node, choice in enumerate(chosen, start=1):
        if choice == DEAD:
            continue
        source, op = divmod(int(choice), mask.shape[1])
        nodes.append(Node(number[source], primitives.OP_NAMES[op]))
        number[node] = len(nodes)
    if not nodes:
        raise CollapsedCell(
            f"the cell has collapsed: all {len(chosen)} nodes are dead. Lower lambda_w or lr_w, use gauge "
            "'rms', or set PruneOptions.target_pruned_share"
        )
    origin = {"score": options.score, "identity_penalty": options.identity_penalty}
    return Genotype(tuple(nodes), tuple(range(1, len(nodes) + 1)), name, {**(provenance or {}), **origin})
