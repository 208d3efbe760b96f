"""Edges of the cell's DAG and their flat index.

Node 0 is fixed; nodes 1..n are learned, and node j receives an edge from every node i < j. Edges are
kept destination-major: the j edges into node j lie side by side, ordered by their source.
"""

import numpy as np


def edge_count(nodes: int) -> int:
    """E = n (n + 1) / 2 edges between node 0 and n learned nodes."""
    return nodes * (nodes + 1) // 2


def edge_index(source: int, target: int) -> int:
    """Flat index of the edge source -> target; needs 0 <= source < target."""
    if not 0 <= source < target:
        raise ValueError(f"no edge {source} -> {target}: an edge goes from a lower node to a higher one")
    return target * (target - 1) // 2 + source


def incoming(target: int) -> slice:
    """The slice of the edge axis that holds the edges into node `target`, by source."""
    start = target * (target - 1) // 2
    return slice(start, start + target)


def outgoing(source: int, nodes: int) -> np.ndarray:
    """Flat indices of the edges that leave node `source`, by target."""
    return np.array([edge_index(source, j) for j in range(source + 1, nodes + 1)], dtype=np.int64)


def edges(nodes: int) -> np.ndarray:
    """All (source, target) pairs in flat order, int64 [E, 2]."""
    return np.array([(i, j) for j in range(1, nodes + 1) for i in range(j)], dtype=np.int64).reshape(-1, 2)


def node_count(edge_total: int) -> int:
    """n for a given E; `ValueError` when no n fits."""
    nodes = int((np.sqrt(8 * edge_total + 1) - 1) // 2)
    if edge_count(nodes) != edge_total:
        raise ValueError(f"no number of nodes has {edge_total} edges: E must be n (n + 1) / 2")
    return nodes
