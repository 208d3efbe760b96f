"""One discrete cell at a time over kernels that all discrete cells share: which one is data, not graph."""

import dataclasses

import keras
import tensorflow as tf

from bayesnas_tf.cells import highway, masks, norms, primitives
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.numerics.sums import fan_out, ordered_sum


@keras.saving.register_keras_serializable(package="bayesnas_tf")
class SampledCell(HighwayCell):
    """x_j = Norm(s + σ(g) (op(a) - s)) with [g, a] = (s ⊙ m_h) W_j and s the value of node j's source.

    The kernels are those of a `SearchCell` with weight sharing `node`, and so are their initial values. A
    step costs n products with a kernel where the mixture of all edges has n (n + 1) / 2: `choice` selects a
    source and an operation per node by one-hot products, so that one graph serves every cell.

    A node has one term, and norm `mean` divides by 1: without another norm this is a `DerivedCell`.
    """

    def __init__(self, options: CellOptions, **kwargs):
        """See `CellOptions`.

        Raises:
          ValueError: the options ask for what one term per node cannot have.
        """
        super().__init__(options.units, options.init_range, **kwargs)
        for name, needed in (
            ("weight_sharing", "node"),
            ("norm_learnable", False),
            ("zero_edge_switch", False),
        ):
            if getattr(options, name) != needed:
                raise ValueError(
                    f"a strategy that samples cells needs CellOptions.{name} = {needed!r}, "
                    f"not {getattr(options, name)!r}"
                )
        self.options, self.space = options, options.searched()
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def build(self, input_shape):
        """Create W_0, one W per node, and the choice, int64 `[n, 2]`: (source, op) of each node, all 0.

        int64, for TensorFlow places int32 variables on the CPU, where a graph of a GPU cannot reach them.
        """
        nodes, units = self.options.nodes, self.units
        self.build_input_node(input_shape[-1])
        self.node_kernels = [
            self._kernel(f"node_kernel_{j}", (units, 2 * units)) for j in range(1, nodes + 1)
        ]
        self.choice = tf.Variable(tf.zeros([nodes, 2], tf.int64), trainable=False)

    def get_config(self):
        """The options, so that Keras can rebuild the layer."""
        return {**super().get_config(), "options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer from `get_config`."""
        return cls(CellOptions(**config.pop("options")), **config)

    def choose(self, choice) -> None:
        """Set the cell, integers `[n, 2]`."""
        self.choice.assign(tf.cast(choice, tf.int64))

    def node_values(self, projected, h):
        """Values of nodes 0..n after their norms, each `[..., B, U]`."""
        nodes, dtype = self.options.nodes, h.dtype
        sources = tf.one_hot(self.choice[:, 0], nodes, dtype=dtype)
        operations = tf.one_hot(self.choice[:, 1], len(primitives.OPS), dtype=dtype)
        value = norms.normalise(self.input_node(projected, h), self.options.norm, 1)
        users = [fan_out(value, nodes + 1)]  # of node i: nodes i + 1..n, then the caller
        for j in range(1, nodes + 1):
            stacked = tf.stack([copies[j - 1 - i] for i, copies in enumerate(users)])
            s = tf.ensure_shape(tf.tensordot(sources[j - 1, :j], stacked, 1), h.shape)
            pre = self.product(masks.apply(self._masks.hidden, s), self.node_kernels[j - 1])
            gate, a = tf.split(pre, 2, axis=-1)
            value = highway.gated(s, gate, _operation(operations[j - 1], a))
            value = norms.normalise(value, self.options.norm, 1)
            users.append(fan_out(value, nodes - j + 1))
        return [copies[-1] for copies in users]

    def output_nodes(self):
        """All learned nodes."""
        return tuple(range(1, self.options.nodes + 1))


def _operation(one_hot, a):
    """The operation that `one_hot` `[O]` marks, at a."""
    ops = primitives.OPS
    copies = fan_out(a, len(ops))
    return ordered_sum(one_hot[k] * op.f(copy) for k, (op, copy) in enumerate(zip(ops, copies, strict=True)))
