"""The cells of the space as programs: one genotype, all edges at once, one choice at a time.

Node k is the value `n<k>`; x_k of the method after its norm.
"""

from bayesnas_tf.space import graph as graphs
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.operations import OP_NAMES
from bayesnas_tf.space.program import PROJECT, SCALARS, Form, Op, Program, Weight, before

RECURRENT = Weight("recurrent_kernel", (1, 2))
SOURCES, OPERATIONS = CHOSEN = ("sources", "operations")  # constants, one-hot [n, n] and [n, O]


def node(number: int) -> str:
    """The name of a node's value."""
    return f"n{number}"


def kernel(number: int) -> str:
    """The name of the kernel of the edges into a node."""
    return f"node_kernel_{number}"


def fed_by(genotype: Genotype) -> dict[int, tuple[int, ...]]:
    """Source -> the nodes that it feeds, both ascending: a source stands behind the source that feeds it."""
    groups: dict[int, list[int]] = {}
    for number, of_node in enumerate(genotype.nodes, start=1):
        groups.setdefault(of_node.source, []).append(number)
    return {source: tuple(groups[source]) for source in sorted(groups)}


def _input_node(out: str) -> list[Op]:
    """(M1) Node 0 before any norm."""
    return [
        Op(PROJECT, "recurrent", (before("h"), RECURRENT.name)),
        Op("plus", "pre0", ("x", "recurrent")),
        Op("gate", out, (before("h"), "pre0"), ("tanh",)),
    ]


def _mean(numbers) -> Op:
    """(M4) h_t."""
    return Op("mean", "h", tuple(map(node, numbers)))


def discrete(genotype: Genotype) -> Program:
    """x_j = s + σ(g) (op(a) - s), [g, a] = (s ⊙ m_h) W_j with s the value of node j's source; no norm.

    The kernels of the nodes with one source stand side by side in one weight, `source_kernel_<i>`.
    """
    weights, ops = [RECURRENT], _input_node(node(0))
    for source, fed in fed_by(genotype).items():
        name = f"source_kernel_{source}"
        weights.append(Weight(name, (1, 2 * len(fed))))
        ops.append(Op(PROJECT, f"p{source}", (node(source), name)))
        for place, number in enumerate(fed):
            ops.append(Op("part", f"pre{number}", (f"p{source}",), (place, len(fed))))
            operation = (genotype.nodes[number - 1].op,)
            ops.append(Op("gate", node(number), (node(source), f"pre{number}"), operation))
    return Program(2, tuple(weights), (*ops, _mean(genotype.output)))


def graph(genotype: Genotype) -> graphs.Graph:
    """A tree of one operation per node behind node 0, and the mean below it."""
    inputs, output = (graphs.X, graphs.before("h")), graphs.now("h")
    learned = {str(number): of_node for number, of_node in enumerate(genotype.nodes, start=1)}
    return graphs.Graph(
        (
            graphs.Node("0", "0", "fixed"),
            *(graphs.Node(name, name, "learned") for name in learned),
            graphs.Node("mean", "mean", "mean"),
        ),
        (
            *(graphs.Edge(name, "0") for name in inputs),
            *(graphs.Edge(str(of_node.source), name, of_node.op) for name, of_node in learned.items()),
            *(graphs.Edge(str(number), "mean") for number in genotype.output),
            graphs.Edge("mean", output),
        ),
        inputs,
        (output,),
    )


def _weights(form: Form) -> tuple[Weight, ...]:
    """The weights of all edges, and those of the norms."""
    lead = {"node": lambda j: (), "edge": lambda j: (j,), "edge_op": lambda j: (len(OP_NAMES), j)}
    kernels = [Weight(kernel(j), (1, 2), lead[form.weight_sharing](j)) for j in range(1, form.nodes + 1)]
    learnt = []
    if form.norm_learnable:
        rows = (form.nodes + 1,)
        learnt = [Weight("norm_scale", (1,), rows, 1.0), Weight("norm_offset", (1,), rows, 0.0)]
    return (RECURRENT, *kernels, *learnt)


def _node(form: Form, number: int, op: Op) -> list[Op]:
    """The instruction that gives a node's value, and the learnt scale and offset of its norm."""
    if not form.norm_learnable:
        return [op._replace(out=node(number))]
    scaled = Op("scale", node(number), (f"y{number}", "norm_scale", "norm_offset"), (number,))
    return [op._replace(out=f"y{number}"), scaled]


def _normalised(form: Form, number: int, terms: int) -> list[Op]:
    """The norm of the sum `s<k>` of a node."""
    return _node(form, number, Op("norm", "", (f"s{number}",), (form.norm, terms)))


def mixture(form: Form) -> Program:
    """All operations of all edges, each times its scalar; the predecessors of a node are stacked."""
    ops = [*_input_node("s0"), *_normalised(form, 0, 1)]
    for j in range(1, form.nodes + 1):
        rows = topology.incoming(j)
        ops += [
            Op("stack", f"x{j}", tuple(map(node, range(j)))),
            Op(PROJECT, f"p{j}", (f"x{j}", kernel(j))),
            *_node(
                form,
                j,
                Op("mix", "", (f"x{j}", f"p{j}", SCALARS), (OP_NAMES, (rows.start, rows.stop), form.norm)),
            ),
        ]
    return Program(2, _weights(form), (*ops, _mean(range(1, form.nodes + 1))))


def mixture_by_source(form: Form) -> Program | None:
    """The same cell, all edges that leave a node at once; None: it has no such form.

    Node i gives to the sums of all nodes behind it as soon as it is known: `m<i>` is what it gives, `t<i>`
    the n - i sums under way `[B, n - i, U]`, of which the first, of node i + 1, is then complete. So a node
    has one product with all kernels behind it, where in `mixture` all nodes before it have one with its own.
    """
    if form.norm_learnable or form.weight_sharing == "edge_op":
        return None
    n = form.nodes
    ops = [Op("rows", f"w{i}", (SCALARS,), tuple(topology.outgoing(i, n).tolist())) for i in range(n)]
    ops += [*_input_node("s0"), *_normalised(form, 0, 1)]
    for i in range(n):
        parts = [
            kernel(j) if form.weight_sharing == "node" else f"{kernel(j)}/{i}" for j in range(i + 1, n + 1)
        ]
        given, sums = f"m{i}", f"t{i}"
        ops += [
            Op(PROJECT, f"p{i}", (node(i), *parts)),
            Op("spread", sums if i == 0 else given, (node(i), f"p{i}", f"w{i}"), (OP_NAMES,)),
            *([Op("accumulate", sums, (given, f"t{i - 1}"))] if i else []),
            Op("first", f"s{i + 1}", (sums,)),
            *_normalised(form, i + 1, len(OP_NAMES) * (i + 1)),
        ]
    return Program(2, _weights(form), (*ops, _mean(range(1, n + 1))))


def sampled(form: Form) -> Program:
    """One source and one operation per node, chosen by the constants `sources` and `operations`."""
    ops, nodes = _input_node("s0"), form.nodes
    ops += _normalised(form, 0, 1)
    for j in range(1, nodes + 1):
        ops += [
            Op("stack", f"x{j}", tuple(map(node, range(j)))),
            Op("pick", f"c{j}", (SOURCES, f"x{j}"), (j - 1, j)),
            Op(PROJECT, f"p{j}", (f"c{j}", kernel(j))),
            Op("choose", f"s{j}", (OPERATIONS, f"c{j}", f"p{j}"), (OP_NAMES, j - 1)),
            *_normalised(form, j, 1),
        ]
    return Program(2, _weights(form), (*ops, _mean(range(1, nodes + 1))))
