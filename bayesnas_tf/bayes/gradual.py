"""Gradual pruning: what leaves the supernet after an update, while the weights go on in what remains.

The thesis' Algorithm 2 with T_max > 1: an entry whose gamma is 0 has a prior without width, so its scalar
stays 0 under an L1 weight omega without bound. NumPy only; masks are bool `[E, O]`, True = removed.
"""

import collections
import math

import numpy as np

from bayesnas_tf.bayes.update import Posterior, Prior
from bayesnas_tf.space.base import Space

UNBOUNDED = 1e30  # omega of what is gone; no infinity, which a rate of 0 would make NaN


def removed(scores: np.ndarray, pruned: np.ndarray, prior: Prior, share: float, space: Space) -> np.ndarray:
    """What is gone after this update: what was gone before, what is pruned, and more up to a share.

    At least `share` of the edge operations that were left before the update go, those of the lowest score
    first. By its score alone no node loses its last operation. Switches go where they are pruned. Removals
    stay: an entry whose gamma was 0 is among them in every later update.

    Args:
      scores: `[E, O]`, larger means keep.
      pruned: bool `[E, O]`, what M11 removes, closed (`Space.closure`).
      prior: of the update; its gamma is 0 where an entry was removed before.
      share: see `PruneOptions.share_per_update`.
      space: whose sites the arrays have.

    Returns:
      bool `[E, O]`, closed: what leaves a node that died goes too, beyond the share.
    """
    sites = space.sites
    of_edges = sites.exists & sites.edges[:, np.newaxis]
    before = of_edges & (prior.gamma > 0.0)
    gone = pruned | ~sites.exists | (prior.gamma == 0.0)
    wanted = math.ceil(share * before.sum()) - int((before & gone).sum())
    rows, columns = np.nonzero(of_edges & ~gone)
    left = collections.Counter(sites.target[rows].tolist())  # by node
    for entry in np.argsort(scores[rows, columns], kind="stable"):
        if wanted <= 0:
            break
        node = int(sites.target[rows[entry]])
        if left[node] > 1:
            gone[rows[entry], columns[entry]] = True
            left[node], wanted = left[node] - 1, wanted - 1
    return space.closure(gone)


def without(posterior: Posterior, gone: np.ndarray) -> Posterior:
    """The posterior with which the next epoch begins: what is gone can never come back."""
    return posterior._replace(
        gamma=np.where(gone, 0.0, posterior.gamma),
        omega=np.where(gone, UNBOUNDED, posterior.omega),
        s=np.where(gone, 0.0, posterior.s),
    )
