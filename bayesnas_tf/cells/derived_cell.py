"""The cell of one genotype: a custom Keras RNN cell in which each node has one source and one operation."""

import dataclasses
from typing import Annotated, Any

import gin
import keras

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.errors import UserError
from bayesnas_tf.options import Dropout, Options, Positive, Range, Units
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype, units_for
from bayesnas_tf.space.program import Program


@gin.register
@dataclasses.dataclass(frozen=True)
class DerivedOptions(Options):
    """Size, dropout and initialisation of the cell of a genotype (method section 6)."""

    units: Units = 850  # of every node and of the hidden state
    input_dropout: Dropout = 0.0  # on x_t; a probability of dropping
    hidden_dropout: Dropout = 0.0  # on h_{t-1} and on every source
    init_range: Positive = 0.04  # uniform
    # > 0: the most units with at most so many parameters, whatever `units` says; see `sized`
    parameters: Annotated[int, Range(0)] = 0

    def sized(self, genotype: Genotype, vocabulary: int) -> "DerivedOptions":
        """With the units that follow from `parameters` in a language model with a tied softmax.

        Cells are compared at equal size: nodes and gates cost units.

        Raises:
          UserError: not even one unit fits.
        """
        if not self.parameters:
            return self
        try:
            units = units_for(genotype, vocabulary, self.parameters)
        except ValueError as error:
            raise UserError(f"DerivedOptions.parameters is too low. {error}. Raise it") from error
        return dataclasses.replace(self, units=units)


@keras.saving.register_keras_serializable(package="bayesnas_tf")
class DerivedCell(ProgramCell):
    """x_j = s + σ(g) (op(a) - s) with [g, a] = (s ⊙ m_h) W_j and s the value of node j's source; no norm.

    A Keras RNN cell for `keras.layers.RNN` in any model. Dropout masks come from
    `models.language_model.LanguageModel`, which draws them once per window; in a model of your own leave
    both rates at 0 and put `keras.layers.Dropout` around the RNN.

    Shapes, with batch B, time steps T, input size K (any) and U = `options.units`:
      cell(x_t, [h]): x_t `[B, K]` and h_{t-1} `[B, U]` -> h_t `[B, U]` and `[h_t]`.
      keras.layers.RNN(cell): `[B, T, K]` -> `[B, U]`; `[B, T, U]` with return_sequences.
      Weights: `kernel` `[K, 2U]`, `recurrent_kernel` `[U, 2U]`, and `[U, k 2U]` per source of k nodes.

    The kernels W_j of the nodes with one source are one weight, `source_kernel_i` of shape `[U, k 2U]`: side
    by side in the order of the nodes, so that each source costs one matrix product per time step and nothing
    is put together inside the time loop.
    """

    def __init__(self, genotype: Genotype, options: DerivedOptions | None = None, **kwargs: Any):
        """`options` None means `DerivedOptions()`, 850 units; `kwargs` go to `keras.layers.Layer`."""
        options = options or DerivedOptions()
        program = base.named(genotype.space).discrete(genotype)
        super().__init__(options.units, program, options.init_range, **kwargs)
        self.genotype, self.options = genotype, options
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def get_config(self) -> dict[str, Any]:
        """Genotype and options, so that Keras can rebuild the layer."""
        own = {"genotype": self.genotype.to_dict(), "options": dataclasses.asdict(self.options)}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DerivedCell":
        """Rebuild the layer from `get_config`."""
        rest = {name: value for name, value in config.items() if name not in ("genotype", "options")}
        return cls(Genotype.from_dict(config["genotype"]), DerivedOptions(**config["options"]), **rest)

    @property
    def source_kernels(self) -> dict[str, keras.Variable]:
        """The kernel of each source in the space `highway`, by its number as a text."""
        mark = "source_kernel_"
        return {n.removeprefix(mark): kernel for n, kernel in self.kernels().items() if n.startswith(mark)}

    def staged_program(self) -> Program:
        """The program as it is: each source costs one product."""
        return self.program
