"""A Keras RNN cell that runs a program: it owns the weights, and nothing of a window."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bayesnas_tf.cells import interpreter, masks
from bayesnas_tf.cells.reading import PLAIN, Purpose, Reading
from bayesnas_tf.cells.scan import ProgramRNN
from bayesnas_tf.numerics import across, products
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.space.program import Program, Weight


class ProgramCell(keras.layers.Layer):
    """The cell of a program; what all cells of all spaces share.

    A Keras RNN cell: `call(x_t [B, K], [state [B, U], ...]) -> (output [B, U], [state, ...])`. What a window
    needs besides (masks, the form of its products) is part of what is read of the cell for it, see `read`.
    """

    space: Any = None  # a supernet's; see `SearchCell`
    couples_rows = False  # whether the value of one row depends on other rows of the batch
    has_lanes = True  # whether the curvature of its weights is known

    def __init__(self, units: int, program: Program, init_range: float, **kwargs: Any):
        """See the class; `kwargs` go to `keras.layers.Layer`. Dropout rates are for a subclass to set."""
        super().__init__(**kwargs)
        self.units, self.program, self.init_range = units, program, init_range
        self.state_width = units * len(program.state)  # of the tensor in which a language model carries it
        self.state_size = units if len(program.state) == 1 else [units] * len(program.state)
        self.output_size = units
        self.input_dropout = self.hidden_dropout = 0.0

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the input kernel, and the weights of the program."""
        self.create(Weight("kernel", (1, self.program.inputs)), input_shape[-1])
        for weight in self.program.weights:
            self.create(weight)

    def create(self, weight: Weight, rows: int | None = None) -> None:
        """A weight that is an attribute too: `tf.train.Checkpoint` sees no list or dictionary of a layer."""
        shape = [*weight.lead, *(count * self.units for count in weight.units)]
        if rows is not None:
            shape[-2] = rows
        start: Any = keras.initializers.RandomUniform(-self.init_range, self.init_range)
        if weight.start is not None:
            start = keras.initializers.Constant(weight.start)
        made = self.add_weight(name=weight.name, shape=tuple(shape), initializer=start)
        setattr(self, weight.name, made)

    @property
    def input_size(self) -> int:
        """The width of the embeddings that a language model gives this cell."""
        return self.units

    def over_time(self, dtype: keras.DTypePolicy) -> ProgramRNN:
        """The layer that runs this cell over windows."""
        return ProgramRNN(self, return_sequences=True, return_state=True, dtype=dtype)

    def kernels(self) -> dict[str, keras.Variable]:
        """The kernels of the program, by name: all but that of the inputs."""
        return {w.name: getattr(self, w.name) for w in self.program.weights if len(w.units) == 2}

    def ranges(self) -> list[tuple[keras.Variable, float]]:
        """Pairs of a weight and the half-width of the uniform distribution that it starts with."""
        drawn = [getattr(self, weight.name) for weight in self.program.weights if weight.start is None]
        return [(weight, self.init_range) for weight in (self.kernel, *drawn)]

    def constants(self) -> dict[str, tf.Tensor]:
        """What the program reads that is no weight of it, by name."""
        return {}

    def draw_masks(self, seed: tf.Tensor, batch: int) -> masks.CellMasks:
        """The masks of one window from a stateless seed (int32 `[2]`)."""
        return masks.draw_cell_masks(
            seed, [batch, self.units], (self.input_dropout, self.hidden_dropout), self.kernel.dtype
        )

    def read(
        self, drawn: masks.CellMasks | None = None, execution: Execution = GRAPH, purpose: Purpose = PLAIN
    ) -> Reading:
        """What the time steps of a window read: the present values of all weights, and masks, None for none.

        Weights are read and rounded here, once: a while loop would save what its body reads at every step.
        What the program makes of weights alone is computed here too (`Program.prelude`).

        Sums over replicas inside a time step have no staged form: XLA has no part in them.
        """
        program, kernels = self.program, ("kernel", *self.kernels())
        names = ("kernel", *(weight.name for weight in program.weights))
        fixed = {name: tf.convert_to_tensor(getattr(self, name)) for name in names}
        if purpose.fixed_kernels:
            fixed |= {name: tf.stop_gradient(fixed[name]) for name in kernels}
        fixed, dtype = interpreter.prelude(program, fixed | self.constants()), execution.matmul_dtype
        alone = not self.couples_rows or across.replicas() == 1
        return Reading(
            program,
            self.staged_program() if purpose.training and execution.cell and alone else None,
            fixed,
            {name: products.rounded(fixed[name], dtype) for name in kernels},
            purpose.blocks,
            drawn or masks.NO_MASKS,
            dtype,
        )

    def staged_program(self) -> Program | None:
        """The program that the staged form runs; None: this cell has no such form."""
        return None

    def call(
        self, inputs: tf.Tensor, states: Sequence[tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One time step without dropout, of a Keras RNN: x `[B, K]` and states `[B, U]` -> output and states.

        A language model reads the cell itself (`read`), once per window.

        Raises:
          ValueError: a model other than `LanguageModel` trains a cell that has dropout rates.
        """
        if training and (self.input_dropout or self.hidden_dropout):
            raise ValueError(
                f"{self.name} has dropout, but this model draws no dropout masks for it. Set its "
                "input_dropout and hidden_dropout to 0, and put keras.layers.Dropout around the RNN"
            )
        reading = self.read()
        ends = dict(
            zip(self.program.ends, reading.step(reading.project_inputs(inputs), *states), strict=True)
        )
        return ends[self.program.output], [ends[name] for name in self.program.state]
