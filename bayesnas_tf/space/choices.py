"""Discrete cells as arrays: (source, op) of each node, int `[n, 2]`, as programs draw and compare them."""

from typing import Any

import numpy as np

from bayesnas_tf.space import primitives, topology
from bayesnas_tf.space.genotype import Genotype, Node


def genotype(choice: np.ndarray, name: str = "cell", provenance: dict[str, Any] | None = None) -> Genotype:
    """The cell of a choice `[n, 2]`; its output is the mean of all nodes. `ValueError` if there is none."""
    nodes = tuple(Node(int(source), primitives.OP_NAMES[op]) for source, op in choice)
    return Genotype(nodes, tuple(range(1, len(nodes) + 1)), name, provenance or {})


def array(cell: Genotype) -> np.ndarray:
    """The choice of a cell, int32 `[n, 2]`."""
    return np.array([(node.source, primitives.OP_NAMES.index(node.op)) for node in cell.nodes], np.int32)


def shares(choices: np.ndarray) -> np.ndarray:
    """How many of the choices `[K, n, 2]` have each edge-op, as a share; float64 `[E, O]`."""
    count, nodes = choices.shape[:2]
    result = np.zeros((topology.edge_count(nodes), len(primitives.OPS)))
    for node in range(1, nodes + 1):
        into = result[topology.incoming(node)]
        np.add.at(into, (choices[:, node - 1, 0], choices[:, node - 1, 1]), 1.0 / count)
    return result
