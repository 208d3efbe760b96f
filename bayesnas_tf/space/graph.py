"""A cell as a picture knows it: nodes, labelled edges, and where values come in and go out. No TensorFlow."""

from typing import Literal, NamedTuple

Kind = Literal["fixed", "learned", "sum", "product", "mean"]

X = "x_t"  # the input of every cell


def before(state: str) -> str:
    """The name of a state of the step before, as an input."""
    return f"{state}_{{t-1}}"


def now(state: str) -> str:
    """The name of a state of this step, as an output."""
    return f"{state}_t"


class Node(NamedTuple):
    """A value of the cell. `learned`: a search chose it; `fixed`: every cell of the space has it."""

    name: str
    label: str
    kind: Kind


class Edge(NamedTuple):
    """A value that goes from `source` to `target`, through `operation`; empty: as it is."""

    source: str
    target: str
    operation: str = ""


class Graph(NamedTuple):
    """A directed graph without cycles. Edges name nodes, inputs and outputs; all names differ.

    Nodes stand behind all nodes that they take values from, and an edge leads into each output. Of a
    search without dropped nodes, a learned node is called by its number at the sites.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]  # x_t and the states of the step before
    outputs: tuple[str, ...]  # the states of this step

    def into(self, name: str) -> list[Edge]:
        """The edges that lead into a node or an output."""
        return [edge for edge in self.edges if edge.target == name]

    def out_of(self, name: str) -> list[Edge]:
        """The edges that leave a node or an input."""
        return [edge for edge in self.edges if edge.source == name]

    def learned(self) -> list[str]:
        """The names of the learned nodes."""
        return [node.name for node in self.nodes if node.kind == "learned"]

    def operations(self) -> list[Edge]:
        """The edges with an operation."""
        return [edge for edge in self.edges if edge.operation]

    def depths(self) -> list[int]:
        """The most operations on any way from an input to each learned node."""
        depth = dict.fromkeys(self.inputs, 0)
        for node in self.nodes:
            steps = [depth[edge.source] + bool(edge.operation) for edge in self.into(node.name)]
            depth[node.name] = max(steps, default=0)
        return [depth[name] for name in self.learned()]
