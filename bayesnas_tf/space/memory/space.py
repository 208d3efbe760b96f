"""The memory space: three switches on the input node, five operations per edge, one product per node."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np

from bayesnas_tf.errors import unknown
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.memory import pictures, programs
from bayesnas_tf.space.memory.programs import GATE, INPUT, OPTIONS, SQUASH
from bayesnas_tf.space.program import Form


def cell(switches: Iterable, nodes: Sequence[Node], gated: Iterable[int], cap: bool = False) -> Genotype:
    """A cell whose output is the mean of all its nodes, or node 0; `switches` are those of `INPUT`."""
    on = [name for name, value in zip(INPUT, switches, strict=True) if value]
    on += ["cap"] * (cap and "forget" in on)
    output = tuple(range(1, len(nodes) + 1)) or (0,)
    products = tuple(int(number) for number in gated)
    return Genotype(tuple(nodes), output, space=Memory.name, switches=tuple(on), gated=products)


@base.register
@dataclasses.dataclass(frozen=True)
class Memory(base.Space):
    """DARTS' graph behind a node 0 that may have a reset gate, a memory and a forget gate.

    A decision is [reset, memory, forget (1: on), then for each node source * 5 + operation or `DEAD`, then
    for each node its product (1: on)].
    """

    nodes: int = 6
    cap: bool = False  # of every cell: the input gate is at most 1 - forget gate
    name = "memory"
    switches = (*INPUT, "cap")
    rare = ("cap",)
    gates = True
    chosen = programs.CHOSEN

    @classmethod
    def of(cls, form: Form) -> "Memory":
        """See `Space.of`."""
        return cls(form.nodes, form.cap)

    @functools.cached_property
    def sites(self) -> base.Sites:
        """Three switches of node 0; then for each node its edges by source, and the switch of its product."""
        target, source = [0] * len(INPUT), [-1 - k for k in range(len(INPUT))]
        switches = dict(enumerate(INPUT))
        for node in range(1, self.nodes + 1):
            target += [node] * (node + 1)
            source += [*range(node), -1]
            switches[len(target) - 1] = f"product {node}"
        exists = np.zeros((len(target), GATE + 1), dtype=bool)
        exists[:, :GATE], exists[:, GATE] = True, False
        exists[list(switches)] = np.arange(GATE + 1) == GATE
        return base.Sites(np.array(target), np.array(source), (*OPTIONS, "gate"), exists, switches)

    @property
    def costs(self) -> np.ndarray:
        """A gate costs its columns of V, an edge operation its kernel; `squash` and the memory nothing."""
        costs = np.where(self.sites.exists, 2.0, 0.0)
        costs[:, OPTIONS.index(SQUASH)] = 0.0
        costs[INPUT.index("memory"), GATE] = 0.0
        return costs

    @property
    def slots(self) -> np.ndarray:
        """Row 0: the switches of the input; row j: source, operation and product of node j; `[n + 1, 3]`."""
        rows = [(2, 2, 2), *((node, len(OPTIONS), 2) for node in range(1, self.nodes + 1))]
        return np.array(rows, dtype=np.int64)

    @property
    def script(self) -> tuple[base.Decision, ...]:
        """The switches of the input, then source, operation and product of each node."""
        of_node = [(len(OPTIONS), "option"), (2, "switch")]
        rows = [(2, "switch")] * len(INPUT)
        for node in range(1, self.nodes + 1):
            rows += [(node, "source"), *of_node]
        return tuple(base.Decision(kind, size) for size, kind in rows)  # type: ignore[arg-type]

    def _edges(self, node: int) -> slice:
        rows = programs.edge_rows(node)
        return slice(rows.start, rows.stop)

    def parents(self, site: int) -> np.ndarray:
        """Of an edge all edges into its source, of a product those into its node; of the input none."""
        if site in self.sites.switches:
            return self.sites.into(self.sites.target[site])
        return self.sites.into(self.sites.source[site])

    def closure(self, pruned: np.ndarray) -> np.ndarray:
        """A node dies with its last edge, and with it its product and all that leaves it.

        A product goes by itself: its node stays. One pass in node order is enough.
        """
        mask = np.array(pruned, dtype=bool)
        for node in range(1, self.nodes + 1):
            if mask[self._edges(node), :GATE].all():
                mask[programs.switch_row(node)] = True
                mask[self.sites.out_of(node)] = True
        return mask

    def decisions(self, scores: np.ndarray, pruned: np.ndarray, keep_all: bool = False) -> np.ndarray:
        """The best operation left of each node (ties: the lowest source), and every switch by itself."""
        on = (~pruned[:, GATE]).astype(np.int64)
        chosen, products = [], []
        for node in range(1, self.nodes + 1):
            values, gone = scores[self._edges(node), :GATE].ravel(), pruned[self._edges(node), :GATE].ravel()
            left = np.flatnonzero(~gone)
            if left.size == 0 and keep_all:
                left = np.arange(values.size)
            chosen.append(left[np.argmax(values[left])] if left.size else base.DEAD)
            products.append(on[programs.switch_row(node)] if left.size else 0)
        return np.array([*on[: len(INPUT)], *chosen, *products], dtype=np.int64)

    def taken(self, decisions: np.ndarray) -> np.ndarray:
        """See `Space.taken`; a switch is taken where it is on."""
        taken = np.zeros(self.sites.exists.shape, dtype=bool)
        chosen, products = np.split(decisions[len(INPUT) :], 2)
        taken[: len(INPUT), GATE] = decisions[: len(INPUT)] == 1
        for node, (choice, product) in enumerate(zip(chosen, products, strict=True), start=1):
            if choice != base.DEAD:
                row, option = divmod(int(choice), len(OPTIONS))
                taken[self._edges(node).start + row, option] = True
            taken[programs.switch_row(node), GATE] = product == 1
        return taken

    def decode(self, decisions: np.ndarray) -> Genotype:
        """The live nodes; where all are dead the cell is node 0 alone."""
        chosen, products = np.split(decisions[len(INPUT) :], 2)
        number, nodes, gated = {0: 0}, [], []
        for node, (choice, product) in enumerate(zip(chosen, products, strict=True), start=1):
            if choice != base.DEAD:
                source, op = divmod(int(choice), len(OPTIONS))
                nodes.append(Node(number[source], OPTIONS[op]))
                number[node] = len(nodes)
                gated += [len(nodes)] * int(product)
        return cell(decisions[: len(INPUT)], nodes, gated, self.cap)

    def of_choice(self, choice: np.ndarray) -> Genotype:
        """The cell of `slots`' rows, with the mean of all nodes as its output."""
        nodes = [Node(int(source), OPTIONS[op]) for source, op, _ in choice[1:]]
        return cell(choice[0], nodes, np.flatnonzero(choice[1:, 2]) + 1, self.cap)

    @staticmethod
    def choice(genotype: Genotype) -> np.ndarray:
        """The inverse of `of_choice`, int32 `[n + 1, 3]`."""
        rows = [tuple(int(name in genotype.switches) for name in INPUT)]
        for number, node in enumerate(genotype.nodes, start=1):
            rows.append((node.source, OPTIONS.index(node.op), int(number in genotype.gated)))
        return np.array(rows, np.int32)

    def shares(self, choices: np.ndarray) -> np.ndarray:
        """See `Space.shares`; choices are `[K, n + 1, 3]`."""
        result = np.zeros(self.sites.exists.shape)
        result[: len(INPUT), GATE] = choices[:, 0].mean(axis=0)
        for node in range(1, self.nodes + 1):
            of_node = choices[:, node]
            np.add.at(result[self._edges(node)], (of_node[:, 0], of_node[:, 1]), 1.0 / len(choices))
            result[programs.switch_row(node), GATE] = of_node[:, 2].mean()
        return result

    # see `programs` and `pictures`
    mixture = staticmethod(programs.mixture)
    mixture_by_source = staticmethod(programs.mixture_by_source)
    sampled = staticmethod(programs.sampled)
    discrete = staticmethod(programs.discrete)
    graph = staticmethod(pictures.graph)

    @classmethod
    def check(cls, genotype: Genotype) -> None:
        """A source is an earlier node, an operation one of five, and a cap caps a forget gate."""
        genotype.check_sources()
        for node in genotype.nodes:
            if node.op not in OPTIONS:
                raise ValueError(unknown("operation", node.op, OPTIONS))
        if "cap" in genotype.switches and "forget" not in genotype.switches:
            raise ValueError(f"genotype {genotype.name!r} has 'cap' without 'forget': it has no gate to cap")

    @classmethod
    def check_form(cls, form: Form, zero_edges: bool) -> None:
        """No kernel per operation, and no switch per edge."""
        if form.weight_sharing == "edge_op":
            raise ValueError(
                "CellOptions.weight_sharing='edge_op' does not exist in CellOptions.space='memory'. "
                "Use 'node' or 'edge'"
            )
        if zero_edges:
            raise ValueError(
                "CellOptions.zero_edge_switch=True does not exist in CellOptions.space='memory'. "
                "Set it to False"
            )
