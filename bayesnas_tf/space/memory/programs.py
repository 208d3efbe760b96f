"""The cells of the space as programs (docs/memory_space.md, V1 to V5).

Node 0 is the value `c`, node k the value `n<k>`. What the gates read, x and h of the step before, is
projected in one product per state: the columns g, q_f, q_1 ... q_n, q_r, and a where no reset gate stands
before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.program import PROJECT, SCALARS, Form, Op, Program, Weight, before

BEHIND_GATES = ("tanh", "relu", "sigmoid", "identity")  # operations of the first space
SQUASH = "squash"  # tanh of the source itself: no kernel, no gate
OPTIONS = (*BEHIND_GATES, SQUASH)
GATE = len(OPTIONS)  # the column of the switches in the scalars
PLAIN = ("tanh",)  # what `squash` is, for the rules
INPUT = ("reset", "memory", "forget")  # rows of the first three switches
SOURCES, OPERATIONS, GATES = CHOSEN = ("sources", "operations", "gates")  # constants of `sampled`, one-hot


def node(number: int) -> str:
    """The name of a node's value."""
    return f"n{number}" if number else "c"


def kernel(number: int) -> str:
    """The name of the kernel of the edges into a node of a supernet."""
    return f"node_kernel_{number}"


def switch_row(target: int) -> int:
    """The row of the product of a node, behind the rows of its edges; three rows belong to node 0."""
    return len(INPUT) + topology.edge_count(target) + target - 1


def edge_rows(target: int) -> range:
    """The rows of the edges into a node, by source."""
    return range(switch_row(target) - target, switch_row(target))


class Switch(NamedTuple):
    """Where the rules find a switch: a constant and its entry. None in its place: the switch is on."""

    constant: str
    row: int
    column: int
    by_units: bool = False

    @property
    def at(self) -> tuple[int, int, bool]:
        """The constant of the rules."""
        return self.row, self.column, self.by_units


class Parts(NamedTuple):
    """What the input of a cell consists of; a part that is absent is False."""

    reset: Switch | bool = True
    memory: Switch | bool = True
    forget: Switch | bool = True
    gated: tuple[int, ...] = ()  # nodes with a product
    cap: bool = False

    def columns(self) -> list[str]:
        """What the context is projected to, without a."""
        forget, reset = ["qf"] * bool(self.forget), ["qr"] * bool(self.reset)
        return ["g", *forget, *(f"q{j}" for j in self.gated), *reset]

    def weights(self) -> list[Weight]:
        """Kernels of the context, and biases, which let all but the input gate begin open."""
        count = len(self.columns())
        found = [Weight("recurrent_kernel", (1, count if self.reset else count + 1))]
        found += [Weight("candidate_kernel", (1, 1))] * bool(self.reset)
        found += [Weight("bias", (1,), start=0.0)]
        found += [Weight("forget_bias", (1,), start=1.0)] * bool(self.forget)
        if self.gated:
            found.append(Weight("product_bias", (1,), (len(self.gated),), 2.0))
        return found + [Weight("reset_bias", (1,), start=2.0)] * bool(self.reset)


def _switched(rule: str, out: str, args: Sequence[str], switch: Switch | bool, *static) -> Op:
    """An instruction of `cells.rules.switch`."""
    if isinstance(switch, Switch):
        return Op(rule, out, (*args, switch.constant), (switch.at, *static))
    return Op(rule, out, tuple(args), (None, *static))


def context(parts: Parts) -> list[Op]:
    """(V1, V2) Gates and node 0, from x and the states of the step before."""
    names, h = parts.columns(), before("h")
    k, biases = len(names), [weight.name for weight in parts.weights() if weight.start is not None]
    ops = [Op(PROJECT, "recurrent", (h, "recurrent_kernel"))]
    if parts.reset:
        ops += [Op("columns", "xv", ("x",), (0, k, k + 1)), Op("plus", "v_", ("xv", "recurrent"))]
    else:
        ops += [Op("plus", "v_", ("x", "recurrent"))]
    ops += [Op("bias", "v", ("v_", *biases))]
    width = k if parts.reset else k + 1
    ops += [Op("part", name, ("v",), (place, width)) for place, name in enumerate(names)]
    if parts.reset:
        ops += [
            _switched("product", "h~", (h, "qr"), parts.reset),
            Op(PROJECT, "candidate", ("h~", "candidate_kernel")),
            Op("part", "xa", ("x",), (k, k + 1)),
            Op("plus", "a", ("xa", "candidate")),
        ]
    else:
        ops += [Op("part", "a", ("v",), (k, width))]
    carried = before("c") if parts.memory else h
    if isinstance(parts.memory, Switch):
        ops += [_switched("toward", "k", (h, before("c")), parts.memory)]
        carried = "k"
    if parts.forget:
        return [*ops, _switched("renew", node(0), (carried, "g", "a", "qf"), parts.forget, parts.cap)]
    return [*ops, Op("bypass", node(0), (carried, "g", "a"))]


def _program(parts: Parts, weights: Sequence[Weight], ops: Sequence[Op], output: Sequence[int]) -> Program:
    """The program behind its context; a cell without a memory carries h alone."""
    return Program(
        len(parts.columns()) + 1,
        (*parts.weights(), *weights),
        (*context(parts), *ops, Op("mean", "h", tuple(map(node, output)))),
        state=("h", "c") if parts.memory else ("h",),
    )


def discrete(genotype: Genotype) -> Program:
    """(V3, V4) One source and one operation per node, and the products that are there; no norm.

    The kernels of the nodes with one source stand side by side in one weight, `source_kernel_<i>`.
    """
    on = {name: name in genotype.switches for name in (*INPUT, "cap")}
    parts = Parts(on["reset"], on["memory"], on["forget"], genotype.gated, on["cap"])
    weights, ops = [], []
    for source in range(len(genotype.nodes)):
        fed = [(number, n) for number, n in enumerate(genotype.nodes, start=1) if n.source == source]
        with_kernel = [number for number, of_node in fed if of_node.op != SQUASH]
        if with_kernel:
            name = f"source_kernel_{source}"
            weights.append(Weight(name, (1, 2 * len(with_kernel))))
            ops.append(Op(PROJECT, f"p{source}", (node(source), name)))
        for number, of_node in fed:
            out = f"s{number}" if number in genotype.gated else node(number)
            if of_node.op == SQUASH:
                ops.append(Op("apply", out, (node(source),), PLAIN))
            else:
                place = (with_kernel.index(number), len(with_kernel))
                ops.append(Op("part", f"pre{number}", (f"p{source}",), place))
                ops.append(Op("gate", out, (node(source), f"pre{number}"), (of_node.op,)))
            if number in genotype.gated:
                ops.append(Op("product", node(number), (out, f"q{number}"), (None,)))
    return _program(parts, weights, ops, genotype.output)


def _supernet(form: Form, switches: Sequence[Switch]) -> Parts:
    """The parts of a cell that has everything; of its switches the first three are those of the input."""
    reset, memory, forget = switches[: len(INPUT)]
    return Parts(reset, memory, forget, tuple(range(1, form.nodes + 1)), form.cap)


def _weights(form: Form) -> list[Weight]:
    """The kernels of all edges, and the weights of the norms."""
    lead = {"node": lambda j: (), "edge": lambda j: (j,)}[form.weight_sharing]
    found = [Weight(kernel(j), (1, 2), lead(j)) for j in range(1, form.nodes + 1)]
    if form.norm_learnable:
        rows = (form.nodes,)
        found += [Weight("norm_scale", (1,), rows, 1.0), Weight("norm_offset", (1,), rows, 0.0)]
    return found


def _multiplied(form: Form, number: int, value: str, switch: Switch) -> list[Op]:
    """The product of a node's normed sum, behind the scale and offset that its norm has learnt."""
    ops = []
    if form.norm_learnable:
        args = (value, "norm_scale", "norm_offset")
        ops.append(Op("scale", f"l{number}", args, (number - 1,)))
        value = f"l{number}"
    return [*ops, _switched("product", node(number), (value, f"q{number}"), switch)]


def mixture(form: Form) -> Program:
    """All operations of all edges, each times its scalar, and all switches; predecessors are stacked."""
    rows = [*range(len(INPUT)), *(switch_row(j) for j in range(1, form.nodes + 1))]
    switches, ops = [Switch(SCALARS, row, GATE) for row in rows], []
    for j in range(1, form.nodes + 1):
        rows_of_node = edge_rows(j)
        static = (BEHIND_GATES, (rows_of_node.start, rows_of_node.stop), form.norm, PLAIN)
        ops += [
            Op("stack", f"x{j}", tuple(map(node, range(j)))),
            Op(PROJECT, f"p{j}", (f"x{j}", kernel(j))),
            Op("mix", f"y{j}", (f"x{j}", f"p{j}", SCALARS), static),
            *_multiplied(form, j, f"y{j}", switches[len(INPUT) + j - 1]),
        ]
    return _program(_supernet(form, switches), _weights(form), ops, range(1, form.nodes + 1))


def mixture_by_source(form: Form) -> Program | None:
    """The same cell, all edges that leave a node at once; None: it has no such form.

    As in `highway`: `m<i>` is what node i gives to the nodes behind it, `t<i>` the n - i sums under way
    `[B, n - i, U]`, of which the first is complete. Rows of the scalars are taken once per window, and each
    switch is a constant of its own: a stage makes the gradient of what it reads, not of all scalars.
    """
    if form.norm_learnable:
        return None
    n = form.nodes
    rows = [*range(len(INPUT)), *(switch_row(j) for j in range(1, n + 1))]
    switches = [Switch(f"w_{row}", 0, GATE, by_units=True) for row in rows]
    taken = [Op("rows", f"w_{row}", (SCALARS,), (row,)) for row in rows]
    ops = []
    for i in range(n):
        behind = range(i + 1, n + 1)
        taken.append(Op("rows", f"w{i}", (SCALARS,), tuple(edge_rows(j)[i] for j in behind)))
        kernels = [kernel(j) if form.weight_sharing == "node" else f"{kernel(j)}/{i}" for j in behind]
        given, sums = f"m{i}", f"t{i}"
        ops += [
            Op(PROJECT, f"p{i}", (node(i), *kernels)),
            Op("spread", given if i else sums, (node(i), f"p{i}", f"w{i}"), (BEHIND_GATES, PLAIN)),
            *([Op("accumulate", sums, (given, f"t{i - 1}"))] if i else []),
            Op("first", f"s{i + 1}", (sums,)),
            Op("norm", f"y{i + 1}", (f"s{i + 1}",), (form.norm, len(OPTIONS) * (i + 1))),
            *_multiplied(form, i + 1, f"y{i + 1}", switches[len(INPUT) + i]),
        ]
    program = _program(_supernet(form, switches), _weights(form), ops, range(1, n + 1))
    return program._replace(ops=(*taken, *program.ops))


def sampled(form: Form) -> Program:
    """One source and one operation per node, and switches of 0 or 1, marked by the constants `CHOSEN`.

    Row 0 of each holds a switch of the input, row j the choice of node j.
    """
    on = 1  # the column of a one-hot switch that marks it as on
    switches = [Switch(constant, 0, on) for constant in CHOSEN]
    switches += [Switch(GATES, j, on) for j in range(1, form.nodes + 1)]
    ops: list[Op] = []
    for j in range(1, form.nodes + 1):
        ops += [
            Op("stack", f"x{j}", tuple(map(node, range(j)))),
            Op("pick", f"c{j}", (SOURCES, f"x{j}"), (j, j)),
            Op(PROJECT, f"p{j}", (f"c{j}", kernel(j))),
            Op("choose", f"s{j}", (OPERATIONS, f"c{j}", f"p{j}"), (BEHIND_GATES, j, PLAIN)),
            Op("norm", f"y{j}", (f"s{j}",), (form.norm, 1)),
            *_multiplied(form, j, f"y{j}", switches[len(INPUT) + j - 1]),
        ]
    return _program(_supernet(form, switches), _weights(form), ops, range(1, form.nodes + 1))
