"""A search space of your own: registered here, searched, and its best cell drawn.

    python -m examples.a_space_of_your_own

The cells of this space are chains: node 0 reads the input and the state, each node behind it applies one of
four operations to the node before it, and the new state is the mean of the old one and of the last node. The
package gives the space its gradients, curvature, strategies, training, export and drawings.
docs/add_a_space.md explains each method. It writes
runs/a_space_of_your_own/cell.svg.

For a command, import the module in a gin file: `import examples.a_space_of_your_own` and
`CellOptions.space = 'chain'`.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.data.corpora import Corpus
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.reporting.run_files import SearchFiles
from bayesnas_tf.space import base
from bayesnas_tf.space import graph as graphs
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.program import PROJECT, SCALARS, Op, Program, Weight, before
from bayesnas_tf.training.search_loop import SearchLoop
from bayesnas_tf.training.search_settings import SearchSettings, build
from bayesnas_tf.training.settings import WeightOptions, WindowOptions

FOLDER = Path("runs/a_space_of_your_own")
OPTIONS = ("tanh", "relu", "sigmoid", "identity")


def chain(nodes: int, of_node) -> Program:
    """One time step: node 0, the instructions `of_node(j)` of each node, and the mean that ends it."""
    ops = [
        Op(PROJECT, "r", (before("h"), "recurrent_kernel")),
        Op("plus", "pre", ("x", "r")),
        Op("gate", "n0", (before("h"), "pre"), ("tanh",)),
    ]
    for j in range(1, nodes + 1):
        ops += of_node(j)
    names = ("recurrent_kernel", *(f"kernel_{j}" for j in range(1, nodes + 1)))
    weights = tuple(Weight(name, (1, 2)) for name in names)  # each [U, 2U]
    return Program(2, weights, (*ops, Op("mean", "h", (before("h"), f"n{nodes}"))))


@base.register
@dataclasses.dataclass(frozen=True)
class Chain(base.Space):
    """A row of nodes; each decides on its operation."""

    nodes: int = 3
    name = "chain"  # of CellOptions.space, and in genotype.json
    chosen = ("operations",)

    @functools.cached_property
    def sites(self):
        """Node j takes the value of node j - 1: a row of the scalars, a column for each operation."""
        target = np.arange(1, self.nodes + 1)
        return base.Sites(target, target - 1, OPTIONS, np.ones((self.nodes, len(OPTIONS)), bool))

    def mixture(self, form):
        """All operations at once, each times its scalar."""
        return chain(
            form.nodes,
            lambda j: [
                Op("stack", f"x{j}", (f"n{j - 1}",)),
                Op(PROJECT, f"p{j}", (f"x{j}", f"kernel_{j}")),
                Op("mix", f"n{j}", (f"x{j}", f"p{j}", SCALARS), (OPTIONS, (j - 1, j), form.norm)),
            ],
        )

    def sampled(self, form):
        """One operation for each node, which a constant chooses."""
        return chain(
            form.nodes,
            lambda j: [
                Op(PROJECT, f"p{j}", (f"n{j - 1}", f"kernel_{j}")),
                Op("choose", f"n{j}", ("operations", f"n{j - 1}", f"p{j}"), (OPTIONS, j - 1)),
            ],
        )

    @classmethod
    def discrete(cls, genotype):
        """The cell of one genotype."""
        return chain(
            len(genotype.nodes),
            lambda j: [
                Op(PROJECT, f"p{j}", (f"n{j - 1}", f"kernel_{j}")),
                Op("gate", f"n{j}", (f"n{j - 1}", f"p{j}"), (genotype.nodes[j - 1].op,)),
            ],
        )

    def parents(self, site):
        """A node needs the node before it; node 1 needs node 0, which is always there."""
        return np.arange(max(site - 1, 0), site)

    def closure(self, pruned):
        """Behind a node without any operation nothing is left."""
        return pruned | np.logical_or.accumulate(pruned.all(axis=1))[:, np.newaxis]

    def decisions(self, scores, pruned, keep_all=False):
        """The best operation left of each node."""
        gone = pruned & ~(keep_all & pruned.all(axis=1, keepdims=True))
        return np.where(gone.all(axis=1), base.DEAD, np.where(gone, -np.inf, scores).argmax(axis=1))

    def decode(self, decisions):
        """The nodes that are left: by `closure`, the first ones."""
        alive = decisions[decisions != base.DEAD]
        return self.of_choice(alive[:, np.newaxis]) if len(alive) else None

    @property
    def slots(self):
        """One number for each node: its operation."""
        return np.full((self.nodes, 1), len(OPTIONS))

    def of_choice(self, choice):
        """The cell of these numbers."""
        nodes = tuple(Node(k, OPTIONS[int(op)]) for k, (op,) in enumerate(choice))
        return Genotype(nodes, (len(nodes),), space=self.name)

    def shares(self, choices):
        """How many of many choices take each entry."""
        return np.stack([(choices[..., 0] == k).mean(axis=0) for k in range(len(OPTIONS))], axis=1)

    @classmethod
    def graph(cls, genotype):
        """What a drawing shows."""
        x, h, new_h = graphs.X, graphs.before("h"), graphs.now("h")
        learned = [str(k) for k in range(1, len(genotype.nodes) + 1)]
        nodes = [graphs.Node("0", "0", "fixed"), *(graphs.Node(k, k, "learned") for k in learned)]
        edges = [graphs.Edge(x, "0"), graphs.Edge(h, "0"), graphs.Edge(h, "mean")]
        edges += [graphs.Edge(str(k), str(k + 1), node.op) for k, node in enumerate(genotype.nodes)]
        edges += [graphs.Edge(learned[-1], "mean"), graphs.Edge("mean", new_h)]
        return graphs.Graph((*nodes, graphs.Node("mean", "mean", "mean")), tuple(edges), (x, h), (new_h,))

    @classmethod
    def check(cls, genotype):
        """What a genotype.json of this space must be."""
        if [node.source for node in genotype.nodes] != list(range(len(genotype.nodes))):
            raise ValueError(f"genotype {genotype.name!r} is no chain")


def main() -> None:
    """Search a chain of three nodes on a text that counts."""
    tokens = [("one", "two", "three", "<eos>")[k % 4] for k in range(4000)]
    vocabulary = Vocabulary.build(tokens)
    ids = vocabulary.ids(tokens)
    corpus = Corpus("counting", vocabulary, train=ids[:3000], valid=ids[3000:3500], test=ids[3500:])
    settings = SearchSettings.of(
        cell=CellOptions(units=16, nodes=3, norm="mean", space="chain"),
        windows=WindowOptions(batch_size=8, bptt=10, jitter=False),
        weights=WeightOptions(lr=5.0),
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    problem = build(settings, corpus, seed=0)
    result = SearchLoop(problem, settings, 0, FOLDER / "checkpoints", SearchFiles(FOLDER), "chain").run()
    print(f"{result.genotype} of the space {result.genotype.space!r}, drawn in {FOLDER}/cell.svg")


if __name__ == "__main__":
    main()
