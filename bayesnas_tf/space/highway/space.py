"""The thesis' space: every node has one source before it and one operation behind a highway gate."""

import dataclasses
import functools

import numpy as np

from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import programs, topology
from bayesnas_tf.space.highway.operations import OP_NAMES, position


@base.register
@dataclasses.dataclass(frozen=True)
class Highway(base.Space):
    """Nodes 1..n behind a fixed node 0; node j takes the value of one node i < j. The output is a mean."""

    nodes: int = 8
    name = "highway"
    chosen = programs.CHOSEN

    @functools.cached_property
    def sites(self) -> base.Sites:
        """The edges, by target and then by source."""
        source, target = topology.edges(self.nodes).T
        exists = np.ones((len(source), len(OP_NAMES)), dtype=bool)
        return base.Sites(target, source, OP_NAMES, exists)

    @property
    def slots(self) -> np.ndarray:
        """A source and an operation for each node, `[n, 2]`."""
        return np.array([(node, len(OP_NAMES)) for node in range(1, self.nodes + 1)], dtype=np.int64)

    @property
    def script(self) -> tuple[base.Decision, ...]:
        """Source and operation of each node."""
        decisions: list[base.Decision] = []
        for node in range(1, self.nodes + 1):
            decisions += [base.Decision("source", node), base.Decision("option", len(OP_NAMES))]
        return tuple(decisions)

    def parents(self, site: int) -> np.ndarray:
        """All edges into the source; node 0 has none."""
        return self.sites.into(self.sites.source[site])

    def closure(self, pruned: np.ndarray) -> np.ndarray:
        """What leaves a dead node goes too, until nothing changes.

        3.19 looks one level up only. One pass in node order is enough: edges go from lower to higher nodes.
        """
        mask = np.array(pruned, dtype=bool)
        for node in range(1, self.nodes):
            if mask[topology.incoming(node)].all():
                mask[topology.outgoing(node, self.nodes)] = True
        return mask

    def decisions(self, scores: np.ndarray, pruned: np.ndarray, keep_all: bool = False) -> np.ndarray:
        """The best edge-op left of each node as source * O + op, `[n]` (M12).

        Ties go to the lowest source, then to the lowest operation.
        """
        chosen = []
        for node in range(1, self.nodes + 1):
            values = scores[topology.incoming(node)].ravel()
            left = np.flatnonzero(~pruned[topology.incoming(node)])
            if left.size == 0 and keep_all:
                left = np.arange(values.size)
            chosen.append(left[np.argmax(values[left])] if left.size else base.DEAD)
        return np.array(chosen, dtype=np.int64)

    def decode(self, decisions: np.ndarray) -> Genotype | None:
        """One node for each decision; the output is the mean of all."""
        number, nodes = {0: 0}, []
        for node, choice in enumerate(decisions, start=1):
            if choice == base.DEAD:
                continue
            source, op = divmod(int(choice), len(OP_NAMES))
            nodes.append(Node(number[source], OP_NAMES[op]))
            number[node] = len(nodes)
        return Genotype(tuple(nodes), tuple(range(1, len(nodes) + 1))) if nodes else None

    def of_choice(self, choice: np.ndarray) -> Genotype:
        """The cell whose output is the mean of all nodes, from (source, op) of each, `[n, 2]`."""
        nodes = tuple(Node(int(source), OP_NAMES[op]) for source, op in choice)
        return Genotype(nodes, tuple(range(1, len(nodes) + 1)))

    @staticmethod
    def choice(genotype: Genotype) -> np.ndarray:
        """(source, op) of each node, int32 `[n, 2]`: the inverse of `of_choice`."""
        return np.array([(node.source, position(node.op)) for node in genotype.nodes], np.int32)

    def shares(self, choices: np.ndarray) -> np.ndarray:
        """See `Space.shares`; choices are `[K, n, 2]`."""
        result = np.zeros(self.sites.exists.shape)
        for node in range(1, self.nodes + 1):
            into = result[topology.incoming(node)]
            np.add.at(into, (choices[:, node - 1, 0], choices[:, node - 1, 1]), 1.0 / len(choices))
        return result

    # see `programs`
    mixture = staticmethod(programs.mixture)
    mixture_by_source = staticmethod(programs.mixture_by_source)
    sampled = staticmethod(programs.sampled)
    discrete = staticmethod(programs.discrete)
    graph = staticmethod(programs.graph)

    @classmethod
    def check(cls, genotype: Genotype) -> None:
        """There are nodes; a source is an earlier node, an operation one of four."""
        if not genotype.nodes:
            raise ValueError(f"genotype {genotype.name!r} has no nodes")
        genotype.check_sources()
        for node in genotype.nodes:
            position(node.op)
