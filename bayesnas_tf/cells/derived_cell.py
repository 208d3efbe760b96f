"""The cell of one genotype: a custom Keras RNN cell in which each node has one source and one operation."""

import dataclasses

import gin
import keras
import tensorflow as tf

from bayesnas_tf.cells import highway, masks, primitives
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.cells.staged.wiring import Kernels, Wiring
from bayesnas_tf.numerics.sums import fan_out
from bayesnas_tf.options import Dropout, Options, Positive, Units
from bayesnas_tf.space.genotype import Genotype


@gin.register
@dataclasses.dataclass(frozen=True)
class DerivedOptions(Options):
    """Size, dropout and initialisation of the cell of a genotype (method section 6)."""

    units: Units = 850
    input_dropout: Dropout = 0.0  # on x_t; a probability of dropping
    hidden_dropout: Dropout = 0.0  # on h_{t-1} and on every source
    init_range: Positive = 0.04  # uniform


@keras.saving.register_keras_serializable(package="bayesnas_tf")
class DerivedCell(HighwayCell):
    """x_j = s + σ(g) (op(a) - s) with [g, a] = (s ⊙ m_h) W_j and s the value of node j's source; no norm.

    A Keras RNN cell for `keras.layers.RNN` in any model. Dropout masks come from `models.LanguageModel`,
    which draws them once per window; in a model of your own leave both rates at 0 and put
    `keras.layers.Dropout` around the RNN.

    Shapes, with batch B, time steps T, input size K (any) and U = `options.units`:
      cell(x_t, [h]): x_t `[B, K]` and h_{t-1} `[B, U]` -> h_t `[B, U]` and `[h_t]`.
      keras.layers.RNN(cell): `[B, T, K]` -> `[B, U]`; `[B, T, U]` with return_sequences.
      Weights: `kernel` `[K, 2U]`, `recurrent_kernel` `[U, 2U]`, and `[U, k 2U]` per source of k nodes.

    The kernels W_j of the nodes with one source are one weight, `source_kernel_i` of shape `[U, k 2U]`: side
    by side in the order of the nodes, so that each source costs one matrix product per time step and nothing
    is put together inside the time loop.
    """

    def __init__(self, genotype: Genotype, options: DerivedOptions | None = None, **kwargs):
        """`options` None means `DerivedOptions()`, 850 units; `kwargs` go to `keras.layers.Layer`."""
        options = options or DerivedOptions()
        super().__init__(options.units, options.init_range, **kwargs)
        self.genotype, self.options = genotype, options
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout
        self.fed_by = fed_by(genotype)

    def build(self, input_shape):
        """Create W_0 and one kernel per node that feeds others."""
        self.build_input_node(input_shape[-1])
        self.source_kernels = {}
        for source, nodes in self.fed_by.items():
            shape = (self.units, len(nodes) * 2 * self.units)
            self.source_kernels[str(source)] = self._kernel(f"source_kernel_{source}", shape)

    def get_config(self):
        """Genotype and options, so that Keras can rebuild the layer."""
        own = {"genotype": self.genotype.to_dict(), "options": dataclasses.asdict(self.options)}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer from `get_config`."""
        rest = {name: value for name, value in config.items() if name not in ("genotype", "options")}
        return cls(Genotype.from_dict(config["genotype"]), DerivedOptions(**config["options"]), **rest)

    def node_values(self, projected, h):
        """Values of nodes 0..n, each `[..., B, U]`."""
        values = {0: self.input_node(projected, h)}
        for source, nodes in self.fed_by.items():
            values[source], projecting, *carried = fan_out(values[source], len(nodes) + 2)
            masked = masks.apply(self._masks.hidden, projecting)
            pre = self.product(masked, self.source_kernels[str(source)])
            for node, s, of_node in zip(nodes, carried, tf.split(pre, len(nodes), axis=-1), strict=True):
                gate, a = tf.split(of_node, 2, axis=-1)
                op = primitives.by_name(self.genotype.nodes[node - 1].op)
                values[node] = highway.gated(s, gate, op.f(a))
        return [values[node] for node in range(len(values))]

    def wiring(self):
        """As products and stages."""

        def edges(nodes, x, pre, w):
            operations = [primitives.by_name(self.genotype.nodes[node - 1].op) for node in nodes]
            given = [highway.gated(x, pre[:, k, 0], op.f(pre[:, k, 1])) for k, op in enumerate(operations)]
            return tf.stack(given, axis=1)

        def edges_gradient(nodes, x, pre, w, upstream):
            with tf.GradientTape() as tape:
                tape.watch([x, pre])
                given = edges(nodes, x, pre, w)
            return *tape.gradient(given, [x, pre], upstream), None

        return Wiring(self.fed_by, self.output_nodes(), edges, edges_gradient, lambda node, total: total)

    def kernels(self) -> Kernels:
        """All matrices: one for each source."""
        sources = [self.value(kernel) for kernel in self.source_kernels.values()]
        return Kernels(self.value(self.recurrent_kernel), sources, [[k] for k in range(len(sources))], [])

    def output_nodes(self):
        """The genotype's output."""
        return self.genotype.output


def fed_by(genotype: Genotype) -> dict[int, tuple[int, ...]]:
    """Source -> the nodes that it feeds, both ascending: a source stands behind the source that feeds it."""
    groups: dict[int, list[int]] = {}
    for number, node in enumerate(genotype.nodes, start=1):
        groups.setdefault(node.source, []).append(number)
    return {source: tuple(groups[source]) for source in sorted(groups)}
