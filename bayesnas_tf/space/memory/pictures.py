"""The graph of a cell with a memory, for drawings and tables."""

from bayesnas_tf.space import graph as graphs
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.graph import Edge, Graph, Node


def graph(genotype: Genotype) -> Graph:
    """Node 0 with its switches, one operation per node, a product where there is one, and the mean."""
    h, memory = graphs.before("h"), "memory" in genotype.switches
    inputs = (graphs.X, h, *([graphs.before("c")] if memory else []))
    outputs = (graphs.now("h"), *([graphs.now("c")] if memory else []))
    nodes, edges = [Node("0", "0", "fixed")], [Edge(name, "0") for name in inputs]
    value = {0: "0"}
    for number, of_node in enumerate(genotype.nodes, start=1):
        name = str(number)
        nodes.append(Node(name, name, "learned"))
        edges.append(Edge(value[of_node.source], name, of_node.op))
        value[number] = name
        if number in genotype.gated:
            value[number] = f"product {name}"
            nodes.append(Node(value[number], "×σ", "product"))
            edges.append(Edge(name, value[number]))
    nodes.append(Node("mean", "mean", "mean"))
    edges += [*(Edge(value[number], "mean") for number in genotype.output), Edge("mean", outputs[0])]
    edges += [Edge("0", output) for output in outputs[1:]]
    return Graph(tuple(nodes), tuple(edges), inputs, outputs)
