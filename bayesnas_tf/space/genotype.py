"""A discrete cell: one predecessor and one operation per node, and which nodes form the output.

Cells of spaces with `Cells.recipes` have no nodes: they are a recipe (`space.recipe`).
"""

import dataclasses
import json
import reprlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bayesnas_tf import files
from bayesnas_tf.errors import UserError
from bayesnas_tf.space import base
from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.graph import Graph

HIGHWAY = "highway"
FIRST_FORMAT = "bayesnas_tf.genotype/1"  # names no space: it is `highway`, whose cells are still written so
FORMAT = "bayesnas_tf.genotype/2"
MOST_NODES = 64
MOST_UNITS = 1 << 16
IMPORT = "Import the module that defines it in a gin file, and name that file with --gin_file"
MOST_BYTES = 1 << 22  # of a genotype file; those of this program have a few thousand
MOST_NAME = 4096  # characters; a run names its cell after its gin files
T = TypeVar("T")


class Node(NamedTuple):
    """One learned node: x = s + sigmoid(g) (op(a) - s), with s the value of node `source`."""

    source: int
    op: str


@dataclasses.dataclass(frozen=True)
class Genotype:
    """Nodes 1..n in order (`nodes[k]` is node k + 1) and the nodes whose mean is the cell's output.

    Two genotypes are equal when they are the same cell, whatever they are called. A mean has no order:
    `output` is kept ascending.
    """

    nodes: tuple[Node, ...]
    output: tuple[int, ...]
    name: str = dataclasses.field(default="cell", compare=False)
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    space: str = HIGHWAY
    switches: tuple[str, ...] = ()  # of `Space.switches`, those that are on
    gated: tuple[int, ...] = ()  # nodes that are multiplied by a gate, in spaces that have such products
    recipe: tuple[recipes.Value, ...] = ()  # the whole cell, in spaces that have no nodes

    def __post_init__(self):
        """Check once that every source, operation and output exists, and each output once."""
        space = base.named(self.space)
        if self.recipe or space.recipes:
            self._check_recipe(space)
            return
        if unknown := set(self.switches).difference(space.switches):
            raise ValueError(
                f"genotype {self.name!r} has the switch {min(unknown)!r}. The switches of the space "
                f"{self.space!r} are {', '.join(space.switches) or 'none'}"
            )
        object.__setattr__(self, "switches", tuple(name for name in space.switches if name in self.switches))
        object.__setattr__(self, "gated", tuple(sorted(set(self.gated))))
        if self.gated and not space.gates:
            raise ValueError(
                f"genotype {self.name!r} has a gated node, and the space {self.space!r} has none"
            )
        if not all(1 <= node <= len(self.nodes) for node in self.gated):
            raise ValueError(
                f"gated nodes {list(self.gated)} of genotype {self.name!r} must be in 1..{len(self.nodes)}"
            )
        if len(self.nodes) > MOST_NODES:
            raise ValueError(
                f"genotype {self.name!r} has {len(self.nodes)} nodes, but a cell has at most {MOST_NODES}"
            )
        space.check(self)
        if not self.output or not all(0 <= k <= len(self.nodes) for k in self.output):
            raise ValueError(
                f"output {list(self.output)} of genotype {self.name!r} must be in 0..{len(self.nodes)}"
            )
        if len(set(self.output)) < len(self.output):
            raise ValueError(f"output {list(self.output)} of genotype {self.name!r} has a node twice")
        object.__setattr__(self, "output", tuple(sorted(self.output)))

    def _check_recipe(self, space: type[base.Cells]) -> None:
        """A recipe alone, and one that the space knows; what its output does not need is dropped."""
        if not space.recipes:
            raise ValueError(f"genotype {self.name!r} has a recipe, and the space {self.space!r} has none")
        if self.nodes or self.output or self.switches or self.gated:
            raise ValueError(
                f"genotype {self.name!r} has nodes, an output or switches. In the space {self.space!r} "
                "a cell has only a recipe"
            )
        try:
            space.check(self)
            object.__setattr__(self, "recipe", recipes.live(self.recipe))
        except ValueError as error:
            raise ValueError(f"recipe of genotype {self.name!r}: {error}") from None

    def check_sources(self) -> None:
        """`ValueError` where a node takes its input from itself or from a later one."""
        for number, node in enumerate(self.nodes, start=1):
            if not 0 <= node.source < number:
                raise ValueError(
                    f"node {number} of genotype {self.name!r} takes its input from node {node.source}. "
                    f"A source must be one of 0..{number - 1}"
                )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of a genotype file."""
        space = base.named(self.space)
        named = {"format": FIRST_FORMAT} if self.space == HIGHWAY else {"format": FORMAT, "space": self.space}
        about = {"name": self.name, "provenance": self.provenance}
        if space.recipes:
            return {**named, "recipe": recipes.to_dict(self.recipe), **about}
        # a switch that few cells have is written where it is on
        switched = {
            s: s in self.switches for s in space.switches if s in self.switches or s not in space.rare
        }
        return {
            **named,
            **({"input": switched} if space.switches else {}),
            "nodes": [
                {**node._asdict(), **({"gate": number in self.gated} if space.gates else {})}
                for number, node in enumerate(self.nodes, start=1)
            ],
            "output": list(self.output),
            **about,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Genotype":
        """Read the JSON object of a genotype file; `ValueError` says what is wrong with it."""
        if not isinstance(data, dict) or data.get("format") not in (FIRST_FORMAT, FORMAT):
            raise ValueError(f"not a genotype: its 'format' must be {FIRST_FORMAT!r} or {FORMAT!r}")
        space = HIGHWAY if data["format"] == FIRST_FORMAT else _item(data, "space", str)[:60]
        recipe = recipes.from_dict(data["recipe"]) if "recipe" in data else ()
        empty: dict[str, Any] = {"nodes": [], "output": []} if recipe else {}
        listed = [_item({**empty, **data}, name, list) for name in ("nodes", "output")]
        for name, items in zip(("nodes", "output"), listed, strict=True):
            if len(items) > MOST_NODES + 1:  # before a million of them is looked at
                raise ValueError(f"broken genotype: {len(items)} {name}, but a cell has at most {MOST_NODES}")
        # no operation has a name of 60 letters, and no message should have one of a million
        nodes = tuple(Node(_item(node, "source", int), _item(node, "op", str)[:60]) for node in listed[0])
        gates = [_of_type(node.get("gate", False), bool, "gate") for node in listed[0]]
        output = tuple(_of_type(k, int, "output") for k in listed[1])
        name = _item({"name": "cell", **data}, "name", str)
        if len(name) > MOST_NAME:
            raise ValueError(f"broken genotype: its name has {len(name)} characters, more than {MOST_NAME}")
        provenance = _item({"provenance": {}, **data}, "provenance", dict)
        _check_writable(provenance)
        switches = _item({"input": {}, **data}, "input", dict)
        if len(switches) > MOST_NODES:
            raise ValueError(f"broken genotype: {len(switches)} entries in 'input'")
        on = tuple(key[:60] for key, value in switches.items() if _of_type(value, bool, "input"))
        gated = tuple(number for number, gate in enumerate(gates, start=1) if gate)
        return cls(nodes, output, name, provenance, space, on, gated, recipe)

    def save(self, path: str | Path) -> None:
        """Write the genotype as JSON, whole and on the disk, or not at all."""
        files.write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Genotype":
        """Read a genotype file.

        Raises:
          ValueError: it is no genotype.
          UserError: it has a cell of a space that nobody has imported.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise ValueError(f"too large for a genotype: more than {MOST_BYTES:,} bytes")
            text = content.decode("utf-8-sig")
            return cls.from_dict(json.loads(text, object_pairs_hook=_without_doubles))
        except RecursionError as error:
            raise ValueError(f"{path}: nested too deeply for a genotype") from error
        except base.UnknownSpaceError as error:
            raise UserError(f"{path}: {error}. {IMPORT}") from error
        except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError are two
            raise ValueError(f"{path}: {error}") from error

    def graph(self) -> Graph:
        """The cell as drawings and tables know it."""
        return base.named(self.space).graph(self)

    def depths(self) -> list[int]:
        """Steps to each learned node; in `highway` from node 0: a node fed by node 0 has depth 1."""
        return self.graph().depths()

    def __str__(self) -> str:
        """Short form, as the literature prints cells: `[memory] relu0* tanh1 ... -> mean 1 2`.

        Switches that are on, then the nodes; a star marks a product. A recipe is written value by value.
        """
        if self.recipe:
            return recipes.short(self.recipe)
        switches = [f"[{' '.join(self.switches)}]"] if base.named(self.space).switches else []
        stars = ["*" * (number in self.gated) for number in range(1, len(self.nodes) + 1)]
        nodes = [f"{node.op}{node.source}{star}" for node, star in zip(self.nodes, stars, strict=True)]
        return " ".join([*switches, *nodes, "-> mean", *map(str, self.output)])


_KINDS = {int: "a whole number", str: "a text", list: "a list", dict: "an object", bool: "true or false"}


def _of_type(value: Any, kind: type[T], name: str) -> T:
    """The value as it is, `ValueError` where it is of another type: 0.9 and true are no node."""
    if type(value) is not kind:
        raise ValueError(f"broken genotype: {reprlib.repr(value)} in {name!r} must be {_KINDS[kind]}")
    return value


def _item(data: Any, name: str, kind: type[T]) -> T:
    """One entry of a JSON object, of its type."""
    if not isinstance(data, dict) or name not in data:
        raise ValueError(f"broken genotype: no {name!r} in {reprlib.repr(data)}")
    return _of_type(data[name], kind, name)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; `ValueError` where it says two things under one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{reprlib.repr(twice)} occurs twice in one object")
    return found


def _check_writable(provenance: dict[str, Any]) -> None:
    """Refuse what Python reads as JSON, and other programs do not: infinite numbers and NaN."""
    try:
        json.dumps(provenance, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"broken genotype: its 'provenance' is not JSON: {error}") from error


def parameter_count(genotype: Genotype, vocabulary: int, units: int) -> int:
    """Trainable parameters of a language model with this cell, tied embedding and decoder bias.

    In the space `highway` V U + V + (2U)^2 + n 2U^2: tables 5.2 and 5.3 of the thesis (23/20/33/31 M).
    """
    program = base.named(genotype.space).discrete(genotype)
    return vocabulary * units + vocabulary + program.parameters(units)


def units_for(genotype: Genotype, vocabulary: int, parameters: int) -> int:
    """The most units with at most so many `parameters` (`parameter_count`).

    Raises:
      ValueError: a single unit has more.
    """
    low, high = 0, MOST_UNITS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high)
            if parameter_count(genotype, vocabulary, middle) <= parameters
            else (low, middle - 1)
        )
    if low == 0:
        least = parameter_count(genotype, vocabulary, 1)
        raise ValueError(f"{parameters:,} parameters are too few: this cell with one unit has {least:,}")
    return low
