"""The graph of a recipe, for drawings and tables."""

from bayesnas_tf.space import graph as graphs
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.graph import Edge, Graph, Kind, Node
from bayesnas_tf.space.nasbench_nlp.programs import BLEND, FUNCTIONS, LINEAR, PRODUCT, SUM, state
from bayesnas_tf.space.recipe import OUTPUT, Value, X, state_before, state_now, states

JOINED: dict[str, tuple[str, Kind]] = {PRODUCT: ("×", "product"), SUM: ("+", "sum")}
ARGUMENTS = ("a", "b", "c")  # of a blend, a b + (1 - a) c


def graph(genotype: Genotype) -> Graph:
    """A node per value. Its operation stands at its edges; those of a blend say which argument they are."""
    recipe = genotype.recipe
    carried = [state(k) for k in states(recipe)]
    outputs = {OUTPUT: state(0), **{f"h_new_{k}": state(k) for k in states(recipe)}}
    edges = [edge for value in recipe for edge in _into(value)]
    edges += [Edge(name, graphs.now(called)) for name, called in outputs.items()]
    return Graph(
        tuple(map(_node, recipe)),
        tuple(edges),
        (graphs.X, *map(graphs.before, carried)),
        tuple(map(graphs.now, outputs.values())),
    )


def _node(value: Value) -> Node:
    """Sums and products only join; all else is called as in the recipe."""
    if value.op in JOINED:
        return Node(value.name, *JOINED[value.op])
    k = state_now(value.name)
    return Node(value.name, value.name.removeprefix("node_") if k is None else state(k), "learned")


def _into(value: Value) -> list[Edge]:
    """The edges into a value."""
    if value.op == BLEND:
        words = list(ARGUMENTS)
    else:
        words = [FUNCTIONS.get(value.op, LINEAR if value.op == LINEAR else "")] * len(value.inputs)
    ends = zip(value.inputs, words, strict=True)
    return [Edge(_end(name), value.name, word) for name, word in ends]


def _end(name: str) -> str:
    """What a value or an input is called in the graph."""
    k = state_before(name)
    return graphs.X if name == X else name if k is None else graphs.before(state(k))
