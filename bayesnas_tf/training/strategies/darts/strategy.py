"""DARTS as a strategy: the cell of the largest entries of the softmax."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.space import topology
from bayesnas_tf.training.strategies.interface import ChoosingStrategy, Found


class Darts(ChoosingStrategy):
    """All of the search is in `DartsStep`; here the cell is read off."""

    @property
    def architecture_tokens(self) -> int:
        """Those of the passes for α."""
        return int(self.problem.step.architecture_tokens)

    def found(self) -> Found:
        """The cell of α as it is."""
        p = tf.nn.softmax(tf.cast(self.problem.step.alpha, tf.float64)).numpy()
        probabilities, none = p[:, :-1], p[:, -1]
        entropy = -np.sum(p * np.log(p), axis=1)
        report = {
            "alpha_entropy": float(entropy.mean()),  # nats; ln 5 where nothing is chosen
            "alpha_margin": float(np.mean(margins(probabilities))),
            "none_share": float(none.mean()),
        }
        return Found(derive(probabilities), report, probabilities)


def derive(probabilities: np.ndarray) -> np.ndarray:
    """The choice `[n, 2]` of the largest entry into each node of `[E, O]`: its edge and its operation.

    Ties go to the lowest source, then to the lowest operation. "none" is no candidate, as in DARTS.
    """
    return np.array([divmod(int(into.argmax()), into.shape[1]) for into in _by_node(probabilities)])


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Per node the largest entry minus the next one, `[n]`."""
    return np.array([np.diff(np.sort(into, axis=None)[-2:])[0] for into in _by_node(probabilities)])


def _by_node(probabilities: np.ndarray) -> list[np.ndarray]:
    """The entries into node 1..n, each `[j, O]`."""
    nodes = topology.node_count(len(probabilities))
    return [probabilities[topology.incoming(node)] for node in range(1, nodes + 1)]
