"""A second space, in a few lines: three nodes in a row, one product, two states.

Each node is a gate with one of two operations on the node before it; the last one is multiplied by the memory
c, which is the mean of itself and of node 1. It is registered like any other space, and the package does not
know it.
"""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.primitives import Primitive
from bayesnas_tf.space import base
from bayesnas_tf.space import graph as graphs
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.program import PROJECT, SCALARS, Op, Program, Weight, before

OPTIONS = ("tanh", "identity")


def _program(ops, kernels) -> Program:
    """Node 0, what `ops` make of it, and the product with the memory."""
    begin = [
        Op(PROJECT, "r", (before("h"), "recurrent_kernel")),
        Op("plus", "pre0", ("x", "r")),
        Op("gate", "n0", (before("h"), "pre0"), ("tanh",)),
    ]
    end = [
        Op("mean", "c", (before("c"), "n1")),
        Op("apply", "open", ("c",), ("sigmoid",)),
        Op("times", "h", ("n3", "open")),
    ]
    weights = (Weight("recurrent_kernel", (1, 2)), *(Weight(name, (1, 2)) for name in kernels))
    return Program(2, weights, (*begin, *ops, *end), state=("h", "c"))


@base.register
@dataclasses.dataclass(frozen=True)
class Toy(base.Space):
    """Three sites in a row."""

    nodes: int = 3
    name = "toy"
    options: ClassVar[tuple[str, ...]] = OPTIONS
    chosen = ("operations",)

    @functools.cached_property
    def sites(self):
        target = np.arange(1, 4)
        return base.Sites(target, target - 1, self.options, np.ones((3, len(self.options)), dtype=bool))

    @property
    def slots(self):
        return np.full((3, 1), len(self.options))

    def parents(self, site):
        return np.arange(site, site) if site == 0 else np.array([site - 1])

    def closure(self, pruned):
        return pruned | np.logical_or.accumulate(pruned.all(axis=1))[:, np.newaxis]

    def decisions(self, scores, pruned, keep_all=False):
        left = np.where(pruned & ~keep_all, -np.inf, scores)
        return np.where(pruned.all(axis=1) & ~keep_all, base.DEAD, left.argmax(axis=1))

    def decode(self, decisions):
        return None if (decisions == base.DEAD).any() else self.of_choice(decisions[:, np.newaxis])

    def of_choice(self, choice):
        nodes = tuple(Node(k, self.options[int(op)]) for k, (op,) in enumerate(choice))
        return Genotype(nodes, (3,), space=self.name)

    def shares(self, choices):
        return np.stack([(choices[..., 0] == k).mean(axis=0) for k in range(len(self.options))], axis=1)

    def mixture(self, form):
        ops = []
        for j in (1, 2, 3):
            ops += [
                Op("stack", f"x{j}", (f"n{j - 1}",)),
                Op(PROJECT, f"p{j}", (f"x{j}", f"node_kernel_{j}")),
                Op("mix", f"n{j}", (f"x{j}", f"p{j}", SCALARS), (self.options, (j - 1, j), form.norm)),
            ]
        return _program(ops, [f"node_kernel_{j}" for j in (1, 2, 3)])

    def sampled(self, form):
        del form
        ops = []
        for j in (1, 2, 3):
            ops += [
                Op(PROJECT, f"p{j}", (f"n{j - 1}", f"node_kernel_{j}")),
                Op("choose", f"n{j}", ("operations", f"n{j - 1}", f"p{j}"), (self.options, j - 1)),
            ]
        return _program(ops, [f"node_kernel_{j}" for j in (1, 2, 3)])

    @classmethod
    def discrete(cls, genotype):
        ops = []
        for j, node in enumerate(genotype.nodes, start=1):
            ops += [
                Op(PROJECT, f"p{j}", (f"n{j - 1}", f"source_kernel_{j - 1}")),
                Op("gate", f"n{j}", (f"n{j - 1}", f"p{j}"), (node.op,)),
            ]
        return _program(ops, [f"source_kernel_{k}" for k in range(3)])

    @classmethod
    def graph(cls, genotype):
        """Three nodes in a row, the memory, and their product."""
        x, h, c = graphs.X, graphs.before("h"), graphs.before("c")
        learned = [graphs.Node(str(k), str(k), "learned") for k in (1, 2, 3)]
        rest = [graphs.Node("c", "mean", "mean"), graphs.Node("product", "×", "product")]
        edges = [graphs.Edge(x, "0"), graphs.Edge(h, "0")]
        edges += [graphs.Edge(str(k), str(k + 1), node.op) for k, node in enumerate(genotype.nodes)]
        edges += [graphs.Edge(c, "c"), graphs.Edge("1", "c"), graphs.Edge("c", graphs.now("c"))]
        edges += [
            graphs.Edge("3", "product"),
            graphs.Edge("c", "product"),
            graphs.Edge("product", graphs.now("h")),
        ]
        nodes = (graphs.Node("0", "0", "fixed"), *learned, *rest)
        return graphs.Graph(nodes, tuple(edges), (x, h, c), (graphs.now("h"), graphs.now("c")))

    @classmethod
    def check(cls, genotype):
        if [node.source for node in genotype.nodes] != [0, 1, 2]:
            raise ValueError(f"genotype {genotype.name!r} is no row of three nodes")


@base.register
class Wave(Toy):
    """The same with one more operation, which the package does not know: see `SINE`."""

    name = "wave"
    options = (*OPTIONS, "sine")


SINE = Primitive("sine", tf.sin, tf.cos, lambda x: -tf.sin(x))
