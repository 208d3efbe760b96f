"""The recurrent highway network (Zilly et al. 2017), as a baseline."""

import dataclasses
from typing import Annotated

import gin
import keras
import tensorflow as tf

from bayesnas_tf.cells import highway, masks
from bayesnas_tf.cells.highway_cell import HighwayCell
from bayesnas_tf.options import Dropout, Options, Positive, Range, Units


@gin.register
@dataclasses.dataclass(frozen=True)
class RhnOptions(Options):
    """Variational RHN; its width is the embedding's."""

    units: Units = 830
    depth: Annotated[int, Range(1, 1000)] = 10  # micro-layers per time step
    transform_bias: float = -2.0  # where the biases of the gates start
    input_dropout: Dropout = 0.0  # on x_t
    hidden_dropout: Dropout = 0.0  # on the state before every micro-layer, one mask for all of them
    init_range: Positive = 0.04  # uniform
    name: str = "rhn"  # how summary.json calls the baseline

    def cell(self, **kwargs) -> "RhnCell":
        """The cell; `kwargs` go to `keras.layers.Layer`."""
        return RhnCell(self, **kwargs)


class RhnCell(HighwayCell):
    """s <- s + σ(t) (tanh(h) - s) `depth` times, [t, h] = (s ⊙ m) R_l + b_l, and x_t W in the first alone."""

    def __init__(self, options: RhnOptions, **kwargs):
        """`kwargs` go to `keras.layers.Layer`."""
        super().__init__(options.units, options.init_range, **kwargs)
        self.options = options
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def build(self, input_shape):
        """Create W, and R_l and b_l of each micro-layer."""
        units, depth = self.units, self.options.depth
        self.kernel = self._kernel("kernel", (input_shape[-1], 2 * units))
        self.depth_kernels = [self._kernel(f"kernel_{k}", (units, 2 * units)) for k in range(depth)]
        start = keras.initializers.Constant(self.options.transform_bias)
        self.gate_biases = [self._bias(f"gate_bias_{k}", start) for k in range(depth)]
        self.biases = [self._bias(f"bias_{k}", "zeros") for k in range(depth)]

    def _bias(self, name, initializer):
        bias = self.add_weight(name=name, shape=(self.units,), initializer=initializer)
        setattr(self, name, bias)
        return bias

    def ranges(self) -> list:
        """The biases of the candidates start as the kernels do."""
        return [*super().ranges(), *((bias, self.init_range) for bias in self.biases)]

    def node_values(self, projected, h) -> list:
        """The state after each micro-layer, each `[..., B, U]`."""
        values, s = [], h
        for number, kernel in enumerate(self.depth_kernels):
            pre = self.product(masks.apply(self._masks.hidden, s), kernel)
            pre += tf.concat([self.value(self.gate_biases[number]), self.value(self.biases[number])], axis=0)
            s = highway.input_node(s, pre + projected if number == 0 else pre)
            values.append(s)
        return values

    def output_nodes(self) -> tuple[int, ...]:
        """The last micro-layer."""
        return (self.options.depth - 1,)
