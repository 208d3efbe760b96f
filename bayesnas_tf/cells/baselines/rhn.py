"""The recurrent highway network (Zilly et al. 2017), as a baseline."""

import dataclasses
from typing import Annotated, Any

import gin
import keras

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.options import Dropout, Options, Positive, Range, Units
from bayesnas_tf.space.program import PROJECT, Op, Program, Weight, before


@gin.register
@dataclasses.dataclass(frozen=True)
class RhnOptions(Options):
    """Variational RHN; its width is the embedding's."""

    units: Units = 830  # of the hidden state
    depth: Annotated[int, Range(1, 1000)] = 10  # micro-layers per time step
    transform_bias: float = -2.0  # where the biases of the gates start
    input_dropout: Dropout = 0.0  # on x_t
    hidden_dropout: Dropout = 0.0  # on the state before every micro-layer, one mask for all of them
    init_range: Positive = 0.04  # uniform
    name: str = "rhn"  # how summary.json calls the baseline

    def cell(self, **kwargs: Any) -> "RhnCell":
        """The cell; `kwargs` go to `keras.layers.Layer`."""
        return RhnCell(self, **kwargs)


def program(depth: int, transform_bias: float) -> Program:
    """s <- s + σ(t) (tanh(h) - s) `depth` times, [t, h] = (s ⊙ m) R_l + b_l, and x_t W in the first alone."""
    layers, ops, s = range(depth), [], before("h")
    for k in layers:
        ops += [
            Op(PROJECT, f"p{k}", (s, f"kernel_{k}")),
            Op("bias", f"b{k}", (f"p{k}", f"gate_bias_{k}", f"bias_{k}")),
            *([Op("plus", "pre", ("b0", "x"))] if k == 0 else []),
            Op("gate", "h" if k == depth - 1 else f"s{k}", (s, f"b{k}" if k else "pre"), ("tanh",)),
        ]
        s = f"s{k}"
    weights = [Weight(f"kernel_{k}", (1, 2)) for k in layers]
    weights += [Weight(f"gate_bias_{k}", (1,), start=transform_bias) for k in layers]
    biases = [Weight(f"bias_{k}", (1,), start=0.0) for k in layers]
    return Program(2, (*weights, *biases), tuple(ops))


class RhnCell(ProgramCell):
    """The cell of `program`."""

    def __init__(self, options: RhnOptions, **kwargs: Any):
        """`kwargs` go to `keras.layers.Layer`."""
        depths = program(options.depth, options.transform_bias)
        super().__init__(options.units, depths, options.init_range, **kwargs)
        self.options = options
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def ranges(self) -> list[tuple[keras.Variable, float]]:
        """The biases of the candidates start as the kernels do."""
        biases = [getattr(self, f"bias_{k}") for k in range(self.options.depth)]
        return [*super().ranges(), *((bias, self.init_range) for bias in biases)]
