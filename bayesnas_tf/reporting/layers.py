"""Which layer and which column each part of a graph takes: Sugiyama's layout, as igraph computes it.

Every step of a graph is two layers: nodes lie in even ones, and in the odd one before a node each of its
edges has a place of its own, where its operation is written. Edges are cut at every layer that they pass.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from bayesnas_tf.space.graph import Graph

SWEEPS = 100  # of the crossing reduction


class Layered(NamedTuple):
    """Columns are numbers, one apart at least; layers are whole numbers from the top."""

    column: dict[str, float]
    layer: dict[str, int]
    ways: tuple[
        tuple[tuple[float, int], ...], ...
    ]  # (column, layer) of each edge at each layer that it meets
    bar: str  # the mean below all other nodes, on which every edge ends in its own column; empty: none


def place(graph: Graph) -> Layered:
    """Where everything lies; the same for the same graph.

    The layout begins with the nodes in depth-first order. For a tree that order has no crossing, and igraph
    keeps it, provided that each end has a line to the last layer: then a sweep never moves what has no
    neighbours. Of other graphs, four such orders are tried.
    """
    bar = _bar(graph)
    layer = _layers(graph, bar)
    starts = (_Cut(graph, layer, bar, *steps) for steps in itertools.product((1, -1), repeat=2))
    cut, columns = _least_crossings((start, start.columns()) for start in starts)
    column = {name: columns[vertex] for name, vertex in cut.vertex.items()}
    ways = [[(columns[v], cut.layers[v]) for v in cut.ways.get(e, ())] for e in range(len(graph.edges))]
    if bar:
        ends = [way[-1][0] for way, edge in zip(ways, graph.edges, strict=True) if edge.target == bar]
        column[bar] = (min(ends) + max(ends)) / 2
        for place, edge in enumerate(graph.out_of(bar)):
            column[edge.target] = column[bar] + place - (len(graph.out_of(bar)) - 1) / 2
            below = [(column[edge.target], layer[bar] + step) for step in range(3)]
            ways[graph.edges.index(edge)] = below
    return Layered(column, layer, tuple(map(tuple, ways)), bar)


def _bar(graph: Graph) -> str:
    """The last mean, if outputs alone take its value."""
    means = [node.name for node in graph.nodes if node.kind == "mean"]
    last = means[-1] if means else ""
    alone = all(edge.target in graph.outputs for edge in graph.out_of(last))
    return last if alone and graph.into(last) else ""


def _layers(graph: Graph, bar: str) -> dict[str, int]:
    """Inputs on top, nodes as high as they can be, outputs in one layer below them, and a bar below these."""
    layer = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        layer[node.name] = max((layer[edge.source] + 2 for edge in graph.into(node.name)), default=0)
    last = max(layer[name] for name in layer if name != bar)
    of_bar = {edge.target for edge in graph.out_of(bar)}
    others = [name for name in graph.outputs if name not in of_bar]
    layer |= dict.fromkeys(others, last + 2)
    if bar:
        layer[bar] = last + (4 if others else 2)
        layer |= dict.fromkeys(of_bar, layer[bar] + 2)
    return layer


def _least_crossings(drawn: Iterable[tuple["_Cut", list[float]]]) -> tuple["_Cut", list[float]]:
    """The first without a crossing, or the first of those with the fewest."""
    found: list[tuple[int, int, _Cut, list[float]]] = []
    for cut, columns in drawn:
        found.append((cut.crossings(columns), len(found), cut, columns))
        if not found[-1][0]:
            break
    return min(found)[2:]


class _Cut:
    """The graph with a vertex wherever an edge meets a layer, numbered depth-first.

    Inputs are begun with in their order, or in the reverse one where `first` is -1, the edges of a node
    likewise with `onward`.
    """

    def __init__(self, graph: Graph, layer: dict[str, int], bar: str, first: int, onward: int):
        self._graph, self._layer, self._bar, self._onward = graph, layer, bar, onward
        self._last = layer[bar] if bar else max(layer.values())
        self._lines: list[tuple[int, int]] = []
        self.layers: list[int] = []  # of each vertex
        self.vertex: dict[str, int] = {}
        self.ways: dict[int, list[int]] = {}  # the vertices of each edge
        for name in (*graph.inputs[::first], *(node.name for node in graph.nodes)):
            self._visit(name)

    def _visit(self, name: str) -> int:
        """The vertex of a node, and all that hangs on it when it is new."""
        if name in self.vertex or name == self._bar:
            return self.vertex.get(name, -1)
        own = self.vertex[name] = self._new(self._layer[name])
        leaving = [k for k, edge in enumerate(self._graph.edges) if edge.source == name]
        ends = [k for k in leaving if self._ends(self._graph.edges[k].target)]
        onward = [k for k in leaving if k not in ends][:: self._onward]
        half = len(onward) // 2
        for k in (*onward[:half], *ends, *onward[half:]):
            self._cut(k, own)
        if len(ends) == 1:  # drawn many times, it is the median of what leaves: it falls straight down
            self._lines += [(own, self.ways[ends[0]][1])] * len(onward)
        if not leaving:
            self._fall(own, self._last)
        return own

    def columns(self) -> list[float]:
        """The column of each vertex."""
        import igraph  # late: a command that draws nothing does without it

        cut = igraph.Graph(len(self.layers), self._lines, directed=True)
        placed = cut.layout_sugiyama(layers=self.layers, maxiter=SWEEPS)
        return self._apart([x for x, _ in placed.coords])

    def crossings(self, columns: list[float]) -> int:
        """Pairs of lines between two layers that cross."""
        spans = sorted((self.layers[a], columns[a], columns[b]) for a, b in set(self._lines))
        layers = (list(group) for _, group in itertools.groupby(spans, key=lambda span: span[0]))
        pairs = itertools.chain.from_iterable(itertools.combinations(layer, 2) for layer in layers)
        return sum(a[1] < b[1] and a[2] > b[2] for a, b in pairs)

    def _apart(self, columns: list[float]) -> list[float]:
        """The columns one apart at least, where igraph's are not: all that lies right of a gap moves on.

        Straight lines stay straight. (The method of Brandes and Köpf, as printed, can put two vertices of a
        layer too close to each other: arXiv 2008.01252.)
        """
        order = sorted(range(len(columns)), key=lambda vertex: (self.layers[vertex], columns[vertex], vertex))
        for left, right in itertools.pairwise(order):
            lack = 1.0 - (columns[right] - columns[left])
            if self.layers[left] == self.layers[right] and lack > 0.0:
                bound = columns[left]
                columns = [x + lack * (x > bound or v == right) for v, x in enumerate(columns)]
        return columns

    def _ends(self, name: str) -> bool:
        """Whether a line to this goes straight down to the end."""
        return name == self._bar or name in self._graph.outputs

    def _cut(self, number: int, source: int) -> None:
        """One edge, and its target where that is new."""
        target = self._graph.edges[number].target
        if target == self._bar:
            self.ways[number] = self._fall(source, self._layer[target])
            return
        way = self._fall(source, self._layer[target] - 1)
        end = self._visit(target)
        self._lines.append((way[-1], end))
        self.ways[number] = [*way, end]

    def _fall(self, vertex: int, layer: int) -> list[int]:
        """New vertices from below one down to a layer, with it in front."""
        way = [vertex, *(self._new(k) for k in range(self.layers[vertex] + 1, layer + 1))]
        self._lines += itertools.pairwise(way)
        return way

    def _new(self, layer: int) -> int:
        """Another vertex."""
        self.layers.append(layer)
        return len(self.layers) - 1
