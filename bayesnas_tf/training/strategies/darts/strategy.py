"""DARTS as a strategy: the cell of the largest entries of the softmax."""

import numpy as np
import tensorflow as tf
from scipy.special import xlogy

from bayesnas_tf.space.base import Sites, Space
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found


class Darts(ChoosingStrategy):
    """All of the search is in `DartsStep`; here the cell is read off."""

    @property
    def architecture_tokens(self) -> int:
        """Those of the passes for α."""
        return int(self.problem.step.architecture_tokens)

    def found(self) -> Found:
        """The cell of α as it is."""
        step = self.problem.step
        p = step.softmax.probabilities(tf.cast(step.alpha, tf.float64)).numpy()
        probabilities, none = p[:, :-1], p[:, -1]
        entropy = -np.sum(xlogy(p, p), axis=1)
        report = {
            "alpha_entropy": float(entropy.mean()),  # nats; ln 5 where nothing is chosen
            "alpha_margin": float(np.mean(margins(probabilities, self.space.sites))),
            "none_share": float(none.mean()),
        }
        return Found(derive(probabilities, self.space), report, probabilities)


def derive(probabilities: np.ndarray, space: Space) -> Genotype:
    """The cell of the largest entry into each node of `[E, O]`; "none" is no candidate, as in DARTS.

    A switch is on where that is likelier than "none".
    """
    switches = ~space.sites.edges[:, np.newaxis]
    cell = space.decode(
        space.decisions(probabilities, ~space.sites.exists | (switches & (probabilities <= 0.5)))
    )
    assert cell is not None  # every node has an entry
    return cell


def margins(probabilities: np.ndarray, sites: Sites) -> np.ndarray:
    """Per node the largest entry minus the next one, `[n]`."""
    return np.array([np.diff(np.sort(into, axis=None)[-2:])[0] for into in _by_node(probabilities, sites)])


def _by_node(probabilities: np.ndarray, sites: Sites) -> list[np.ndarray]:
    """The entries into node 1..n, each `[j, O]`."""
    return [probabilities[sites.into(node)] for node in sites.targets()]
