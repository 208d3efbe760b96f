"""A discrete cell: one predecessor and one operation per node, and which nodes form the output."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from bayesnas_tf.space import op_names

FORMAT = "bayesnas_tf.genotype/1"


class Node(NamedTuple):
    """One learned node: x = s + sigmoid(g) (op(a) - s), with s the value of node `source`."""

    source: int
    op: str


@dataclasses.dataclass(frozen=True)
class Genotype:
    """Nodes 1..n in order (`nodes[k]` is node k + 1) and the nodes whose mean is the cell's output."""

    nodes: tuple[Node, ...]
    output: tuple[int, ...]
    name: str = "cell"
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def __post_init__(self):
        """Check once that every source, operation and output exists."""
        if not self.nodes:
            raise ValueError(f"genotype {self.name!r} has no nodes")
        for number, node in enumerate(self.nodes, start=1):
            if not 0 <= node.source < number:
                raise ValueError(
                    f"node {number} of genotype {self.name!r} takes its input from node {node.source}. "
                    f"A source must be one of 0..{number - 1}"
                )
            op_names.position(node.op)
        if not self.output or not all(0 <= k <= len(self.nodes) for k in self.output):
            raise ValueError(
                f"output {list(self.output)} of genotype {self.name!r} must lie in 0..{len(self.nodes)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of a genotype file."""
        return {
            "format": FORMAT,
            "nodes": [{"source": node.source, "op": node.op} for node in self.nodes],
            "output": list(self.output),
            "name": self.name,
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Genotype":
        """Read the JSON object of a genotype file; `ValueError` says what is wrong with it."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"not a genotype: its 'format' must be {FORMAT!r}")
        try:
            nodes = tuple(Node(int(node["source"]), str(node["op"])) for node in data["nodes"])
            output = tuple(int(k) for k in data["output"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"broken genotype: {error!r} in 'nodes' or 'output'") from error
        return cls(nodes, output, str(data.get("name", "cell")), dict(data.get("provenance", {})))

    def save(self, path: str | Path) -> None:
        """Write the genotype as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Genotype":
        """Read a genotype file; `ValueError` names the file when it is no genotype."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except ValueError as error:  # json.JSONDecodeError is one
            raise ValueError(f"{path}: {error}") from error

    def depths(self) -> list[int]:
        """Steps from node 0 to each node 1..n: a node fed by node 0 has depth 1."""
        depth = [0]
        for node in self.nodes:
            depth.append(depth[node.source] + 1)
        return depth[1:]

    def __str__(self) -> str:
        """Short form, as the literature prints cells: `relu0 tanh1 ... -> mean 1 2`."""
        cell = " ".join(f"{node.op}{node.source}" for node in self.nodes)
        return f"{cell} -> mean {' '.join(map(str, self.output))}"


def parameter_count(vocabulary: int, units: int, nodes: int) -> int:
    """Trainable parameters of a language model with this cell, tied embedding and decoder bias.

    V U + V + (2U)^2 + n 2U^2; reproduces tables 5.2 and 5.3 of the thesis (23/20/33/31 M).
    """
    return vocabulary * units + vocabulary + (2 * units) ** 2 + nodes * 2 * units**2
