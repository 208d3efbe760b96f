"""The over-parameterised cell: a custom Keras RNN cell with mixed highway operations."""

import dataclasses
from typing import Annotated, Literal

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import highway, masks, norms, primitives
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.cells.staged.wiring import Kernels, Wiring
from bayesnas_tf.numerics.sums import fan_out
from bayesnas_tf.options import Dropout, Options, Positive, Range, Units
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import HIGHWAY, MOST_NODES
from bayesnas_tf.space.highway import topology

Sharing = Literal["node", "edge", "edge_op"]


@gin.register
@dataclasses.dataclass(frozen=True)
class CellOptions(Options):
    """Size and form of the search cell (method sections 1 and 2)."""

    units: Units = 300
    nodes: Annotated[int, Range(1, MOST_NODES)] = 8
    weight_sharing: Sharing = "node"
    norm: norms.Norm = "batch"
    norm_learnable: bool = False  # scale and offset of the norm: rows of table 5.1
    zero_edge_switch: bool = False  # one more scalar per edge (equation 3.9)
    input_dropout: Dropout = 0.0  # on x_t; a probability of dropping
    hidden_dropout: Dropout = 0.0  # on h_{t-1} and on every predecessor
    init_range: Positive = 0.04  # uniform, as DARTS
    space: str = HIGHWAY  # of which the nodes are

    def __post_init__(self):
        """Refuse a norm that has nothing to learn."""
        super().__post_init__()
        base.named(self.space)
        if self.norm_learnable and self.norm not in ("batch", "layer"):
            raise ValueError(f"CellOptions.norm_learnable needs norm 'batch' or 'layer', not {self.norm!r}")

    def searched(self) -> base.Space:
        """The space with so many nodes."""
        return base.named(self.space)(self.nodes)


class SearchCell(HighwayCell):
    """All edges, all operations, each scaled by its architecture scalar w_ij^o (M1-M4)."""

    def __init__(self, options: CellOptions, **kwargs):
        """See `CellOptions`."""
        super().__init__(options.units, options.init_range, **kwargs)
        self.options, self.space = options, options.searched()
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def build(self, input_shape):
        """Create W_0, one W per node in the chosen sharing, the scalars w = 1 and the norm's parameters."""
        options, units, ops = self.options, self.units, len(primitives.OPS)
        edges = topology.edge_count(options.nodes)
        self.build_input_node(input_shape[-1])
        self.node_kernels = []
        for j in range(1, options.nodes + 1):
            lead = {"node": (), "edge": (j,), "edge_op": (ops, j)}[options.weight_sharing]
            self.node_kernels.append(self._kernel(f"node_kernel_{j}", (*lead, units, 2 * units)))
        self.scalars = self.add_weight(name="scalars", shape=(edges, ops), initializer="ones")
        self.zero_scalars = None
        if options.zero_edge_switch:
            self.zero_scalars = self.add_weight(name="zero_scalars", shape=(edges,), initializer="ones")
        if options.norm_learnable:
            shape = (options.nodes + 1, units)
            self.norm_scale = self.add_weight(name="norm_scale", shape=shape, initializer="ones")
            self.norm_offset = self.add_weight(name="norm_offset", shape=shape, initializer="zeros")

    def get_config(self):
        """The options, so that Keras can rebuild the layer."""
        return {**super().get_config(), "options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer from `get_config`."""
        return cls(CellOptions(**config.pop("options")), **config)

    def _normalised(self, x, node):
        x = norms.normalise(x, self.options.norm, max(1, len(primitives.OPS) * node))
        if self.options.norm_learnable:
            x = x * self.value(self.norm_scale)[node] + self.value(self.norm_offset)[node]
        return x

    def edge_scalars(self):
        """w_ij^o `[E, O]`, times the switch of its edge where there is one."""
        w = self.value(self.scalars)
        return w if self.zero_scalars is None else w * self.value(self.zero_scalars)[:, tf.newaxis]

    def edge_pre_activations(self, stacked, node):
        """[g, a] of every edge into `node` from its stacked predecessors `[j, ..., B, U]` (M2)."""
        kernel = self.node_kernels[node - 1]
        masked = masks.apply(self._masks.hidden, stacked)
        return highway.edge_pre_activations(
            masked, self.value(kernel), len(primitives.OPS), self.rounded(kernel)
        )

    def node_values(self, projected, h):
        """Values of nodes 0..n after their norms (M1-M3), each `[..., B, U]`."""
        w = self.edge_scalars()
        nodes = self.options.nodes
        value = self._normalised(self.input_node(projected, h), 0)
        users = [fan_out(value, nodes + 1)]  # of node i: nodes i + 1..n, then the caller
        for j in range(1, nodes + 1):
            stacked = tf.stack([copies[j - 1 - i] for i, copies in enumerate(users)])
            pre = self.edge_pre_activations(stacked, j)
            value = self._normalised(highway.mixed_sum(stacked, pre, w[topology.incoming(j)]), j)
            users.append(fan_out(value, nodes - j + 1))
        return [copies[-1] for copies in users]

    def wiring(self):
        """As products and stages, for one [g, a] per edge and a norm without parameters."""
        if self.options.norm_learnable or self.options.weight_sharing == "edge_op":
            return None
        nodes = range(1, self.options.nodes + 1)
        return Wiring(
            feeds={source: tuple(nodes[source:]) for source in range(self.options.nodes)},
            outputs=self.output_nodes(),
            edges=lambda _, *of_edges: highway.mixed_edges(*of_edges),
            edges_gradient=lambda _, *of_edges: highway.mixed_edges_gradient(*of_edges),
            normalised=lambda node, total: self._normalised(total, node),
        )

    def kernels(self) -> Kernels:
        """All matrices, and the scalars by source."""
        nodes = self.options.nodes
        weights = [self.value(kernel) for kernel in self.node_kernels]
        order = [topology.outgoing(source, nodes) for source in range(nodes)]
        if self.options.weight_sharing == "node":
            layout = [list(range(source, nodes)) for source in range(nodes)]
        else:
            weights = [part for kernel in weights for part in tf.unstack(kernel)]
            layout = [row.tolist() for row in order]
        # along the last axis: a gather along the first has slices as its gradient
        by_source = tf.transpose(tf.gather(tf.transpose(self.edge_scalars()), np.concatenate(order), axis=1))
        scalars = tf.split(by_source, list(map(len, order)))
        return Kernels(self.value(self.recurrent_kernel), weights, layout, scalars)

    def output_nodes(self):
        """All learned nodes."""
        return tuple(range(1, self.options.nodes + 1))
