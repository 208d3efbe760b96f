"""What a search space is: its sites, what dies with what, and its discrete cells. NumPy only.

A space is named in genotype files and found by that name (`register`, `named`). An instance has a size: the
number of nodes of the cells that a search chooses from. `Cells` are less than a space: nothing searches them.
"""

import abc
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np

from bayesnas_tf.errors import unknown
from bayesnas_tf.space.program import Form, Program

if TYPE_CHECKING:
    from bayesnas_tf.space.genotype import Genotype
    from bayesnas_tf.space.graph import Graph

DEAD = -1  # the decision of a node that has nothing left


class Sites(NamedTuple):
    """Rows and columns of every `[E, O]` array of a search: where a cell decides, and among what.

    Rows into one target lie side by side, targets ascending. Sites may be ragged: `exists` is False where a
    site lacks an option, and no scalar is there.

    A row of `switches` is no edge: it has one option, which is kept or removed by itself, without rivals.
    Its scalar lies in [0, 1], its target is the node that it belongs to, its source a negative number.
    """

    target: np.ndarray  # int64 [E], the node that a site leads into
    source: np.ndarray  # int64 [E], the node whose value it takes
    options: tuple[str, ...]  # O names
    exists: np.ndarray  # bool [E, O]
    switches: Mapping[int, str] = types.MappingProxyType({})  # row -> name of the switch

    @property
    def edges(self) -> np.ndarray:
        """bool [E], the rows that are no switches."""
        found = np.ones(len(self.target), dtype=bool)
        found[list(self.switches)] = False
        return found

    def into(self, node: int) -> np.ndarray:
        """The rows of the edges into a node, int64."""
        return np.flatnonzero((self.target == node) & self.edges)

    def out_of(self, node: int) -> np.ndarray:
        """The rows that take a node's value, int64."""
        return np.flatnonzero(self.source == node)

    def targets(self) -> list[int]:
        """The nodes that edges lead into, ascending."""
        return np.unique(self.target[self.edges]).tolist()

    def by_row(self, of_edges: float, of_switches: float) -> float | np.ndarray:
        """What is one number for edges and another for switches, `[E, 1]`; without switches that of edges."""
        return np.where(self.edges[:, np.newaxis], of_edges, of_switches) if self.switches else of_edges

    def label(self, row: int) -> str:
        """What a row is called in tables and pictures."""
        return self.switches.get(row) or f"from {self.source[row]}"

    def pairs(self) -> np.ndarray:
        """(source, target) of each row, int64 `[E, 2]`, as posterior.npz holds them."""
        return np.stack([self.source, self.target], axis=1)

    def masked(self, values: np.ndarray) -> np.ndarray:
        """Floats `[E, O]`, NaN where a site has no such option."""
        return np.where(self.exists, values, np.nan)


class Decision(NamedTuple):
    """One number of a choice."""

    kind: Literal["source", "option", "switch"]
    values: int  # how many it takes


class Cells(abc.ABC):
    """A set of cells, each of them a program: they can be trained, exported and drawn."""

    name: ClassVar[str]  # in genotype.json
    switches: ClassVar[tuple[str, ...]] = ()  # which a cell as a whole has or has not, in genotype.json
    rare: ClassVar[tuple[str, ...]] = ()  # of them, those that files and texts name only where they are on
    gates: ClassVar[bool] = False  # whether a node may be multiplied by a gate
    recipes: ClassVar[bool] = False  # whether a cell is a recipe (`space.recipe`) in place of nodes

    @classmethod
    @abc.abstractmethod
    def discrete(cls, genotype: "Genotype") -> Program:
        """The cell of one genotype."""

    @classmethod
    @abc.abstractmethod
    def graph(cls, genotype: "Genotype") -> "Graph":
        """What drawings, depths and tables show of a cell."""

    @classmethod
    @abc.abstractmethod
    def check(cls, genotype: "Genotype") -> None:
        """`ValueError` that names what this space's cells cannot have."""


class Space(Cells):
    """A set of cells with a common over-parameterised cell, in which a search chooses one."""

    chosen: ClassVar[tuple[str, ...]] = ()  # constants of `sampled`: one-hot rows of each column of a choice
    nodes: int

    @abc.abstractmethod
    def __init__(self, nodes: int):
        """The space of cells with at most so many nodes."""

    @classmethod
    def of(cls, form: Form) -> "Space":
        """The space that a supernet of this form searches."""
        return cls(form.nodes)

    @property
    @abc.abstractmethod
    def sites(self) -> Sites:
        """Where the scalars are."""

    @property
    @abc.abstractmethod
    def slots(self) -> np.ndarray:
        """How many values each number of a choice takes, int64, of the shape of a choice."""

    @property
    def costs(self) -> np.ndarray:
        """Of each entry the parameters, in U², that a cell with it has more; float64 `[E, O]`."""
        return np.where(self.sites.exists, 2.0, 0.0)

    def prices(self, share: float) -> float | np.ndarray:
        """Factors of λ `[E, O]`: a `share` of it is in proportion to `costs`; 1.0 where there is none.

        Their mean is 1, over the edge operations and over the switches apart: each kind has a λ of its own.
        """
        if share == 0.0:
            return 1.0
        costs, sites = self.costs, self.sites
        of_edges = sites.exists & sites.edges[:, np.newaxis]
        of_switches = sites.exists & ~of_edges
        prices = np.ones(costs.shape)
        for kind in (of_edges, of_switches):
            mean = costs[kind].mean() if kind.any() else 0.0
            if mean > 0.0:
                prices[kind] = 1.0 - share + share * costs[kind] / mean
        return prices

    @property
    def script(self) -> tuple[Decision, ...]:
        """The numbers of a choice, row by row, as a controller writes them; empty: nothing can write them."""
        return ()

    @abc.abstractmethod
    def parents(self, site: int) -> np.ndarray:
        """The rows whose switches an entry of this row needs (M10), int64; empty: none."""

    @abc.abstractmethod
    def closure(self, pruned: np.ndarray) -> np.ndarray:
        """The mask `[E, O]` with everything that goes where `pruned` goes (True = removed)."""

    @abc.abstractmethod
    def decisions(self, scores: np.ndarray, pruned: np.ndarray, keep_all: bool = False) -> np.ndarray:
        """What is chosen at each node, int64; `DEAD` where nothing is left.

        Args:
          scores: `[E, O]`, larger means keep; none is NaN.
          pruned: bool `[E, O]`, what may not be chosen.
          keep_all: a node with nothing left takes the best of all.
        """

    def taken(self, decisions: np.ndarray) -> np.ndarray:
        """The entries that a cell of `decisions` consists of, bool `[E, O]`; edges alone in this form."""
        taken, sites = np.zeros(self.sites.exists.shape, dtype=bool), self.sites
        for node, choice in zip(sites.targets(), decisions, strict=True):
            if choice != DEAD:
                row, option = divmod(int(choice), len(sites.options))
                taken[sites.into(node)[row], option] = True
        return taken

    @abc.abstractmethod
    def decode(self, decisions: np.ndarray) -> "Genotype | None":
        """The cell of `decisions`, dead nodes dropped and the rest renumbered; None where all are dead."""

    @abc.abstractmethod
    def of_choice(self, choice: np.ndarray) -> "Genotype":
        """The cell of a choice, integers of the shape of `slots`."""

    @staticmethod
    def choice(genotype: "Genotype") -> np.ndarray:
        """The inverse of `of_choice`, for a cell with all nodes; searches need none, studies do."""
        raise NotImplementedError(f"the space {genotype.space!r} does not tell the choice of a cell")

    def mutated(self, choice: np.ndarray, draw: Callable[[], int]) -> np.ndarray:
        """A neighbour of a choice: one of its numbers, each as likely, takes another value, each as likely.

        Every choice within `slots` is a cell, so the result is one, and every cell is reached from every
        other. A space whose numbers depend on each other has a method of its own.

        Args:
          choice: integers of the shape of `slots`, left as it is.
          draw: gives uniform whole numbers of 64 bits, as `random_raw` of NumPy.
        """
        free = np.flatnonzero(self.slots > 1)  # others have one value alone
        place = free[int(draw() % free.size)]
        values, found = int(self.slots.flat[place]), np.array(choice)
        found.flat[place] = (int(found.flat[place]) + 1 + int(draw() % (values - 1))) % values
        return found

    @abc.abstractmethod
    def shares(self, choices: np.ndarray) -> np.ndarray:
        """How many of the choices `[K, ...]` take each entry, as a share; float64 `[E, O]`."""

    @abc.abstractmethod
    def mixture(self, form: Form) -> Program:
        """All options at once, each times its scalar (the constant `program.SCALARS`)."""

    def mixture_by_source(self, form: Form) -> Program | None:
        """The same cell in an order that takes one product per source; None: there is no such form."""
        del form
        return None

    @abc.abstractmethod
    def sampled(self, form: Form) -> Program:
        """One option at a time, which the constants `chosen` mark."""

    @classmethod
    def check_form(cls, form: Form, zero_edges: bool) -> None:
        """`ValueError` that names what a supernet of this space cannot have."""
        del zero_edges
        if form.cap:
            raise ValueError(
                f"CellOptions.cap=True needs a forget gate, and CellOptions.space={cls.name!r} has none. "
                "Set CellOptions.cap to False"
            )


_KNOWN: dict[str, type[Cells]] = {}
C = TypeVar("C", bound=Cells)


def register(cells: type[C]) -> type[C]:
    """Make a space, or a set of cells, known by its name; a decorator."""
    _KNOWN[cells.name] = cells
    return cells


class UnknownSpaceError(ValueError):
    """No module that was imported defines a space of that name."""


def named(name: str) -> type[Cells]:
    """The space or set of cells of that name; `UnknownSpaceError` lists those there are."""
    if name not in _KNOWN:
        raise UnknownSpaceError(unknown("space", name, sorted(_KNOWN)))
    return _KNOWN[name]


def searched(name: str) -> type[Space]:
    """The space of that name; `ValueError` where it has cells to train, and none to search among."""
    found, spaces = named(name), sorted(k for k, known in _KNOWN.items() if issubclass(known, Space))
    if not issubclass(found, Space):
        raise ValueError(
            f"CellOptions.space={name!r} has only known cells: it cannot be searched. "
            f"Choose one of {', '.join(spaces)}"
        )
    return found
