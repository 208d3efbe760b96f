"""A Keras RNN cell that runs a program: it owns the weights, the masks of a window and the state."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from bayesnas_tf.cells import interpreter, masks
from bayesnas_tf.cells.scan import ProgramRNN
from bayesnas_tf.numerics import products
from bayesnas_tf.numerics.blocks import KernelBlocks
from bayesnas_tf.space.program import PROJECT, Program, Weight


class ProgramCell(keras.layers.Layer):
    """The cell of a program; what all cells of all spaces share.

    A Keras RNN cell: `call(x_t [B, K], [state [B, U], ...]) -> (output [B, U], [state, ...])`. Where the
    layer around it has already multiplied all time steps by `kernel` (see `ProgramRNN`), x_t is that product.
    """

    space: Any = None  # a supernet's; see `SearchCell`
    couples_rows = False  # whether the value of one row depends on other rows of the batch

    def __init__(self, units: int, program: Program, init_range: float, **kwargs):
        """See the class; `kwargs` go to `keras.layers.Layer`. Dropout rates are for a subclass to set."""
        super().__init__(**kwargs)
        self.units, self.program, self.init_range = units, program, init_range
        self.state_width = units * len(program.state)  # of the tensor in which a language model carries it
        self.state_size = units if len(program.state) == 1 else [units] * len(program.state)
        self.output_size = units
        self.inputs_projected = False
        self.input_dropout = self.hidden_dropout = 0.0
        self._masks = masks.NO_MASKS
        self._read: dict[str, Any] = {}
        self._rounded: dict[str, Any] = {}
        self._blocks: dict[str, Any] = {}
        self._fixed = False
        self.staged = False  # whether windows of training take the staged form
        self.matmul_dtype: products.MatmulDtype = "float32"

    def build(self, input_shape):
        """Create the input kernel, and the weights of the program."""
        self.create(Weight("kernel", (1, self.program.inputs)), input_shape[-1])
        for weight in self.program.weights:
            self.create(weight)

    def create(self, weight: Weight, rows: int | None = None):
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

    def over_time(self, dtype) -> ProgramRNN:
        """The layer that runs this cell over windows."""
        return ProgramRNN(self, return_sequences=True, return_state=True, dtype=dtype)

    def kernels(self) -> dict[str, Any]:
        """The kernels of the program, by name: all but that of the inputs."""
        return {w.name: getattr(self, w.name) for w in self.program.weights if len(w.units) == 2}

    def ranges(self) -> list:
        """Pairs of a weight and the half-width of the uniform distribution that it starts with."""
        drawn = [getattr(self, weight.name) for weight in self.program.weights if weight.start is None]
        return [(weight, self.init_range) for weight in (self.kernel, *drawn)]

    def constants(self) -> dict[str, Any]:
        """What the program reads that is no weight of it, by name."""
        return {}

    def draw_masks(self, seed, batch: int) -> masks.CellMasks:
        """The masks of one window from a stateless seed (int32 [2])."""
        return masks.draw_cell_masks(
            seed, [batch, self.units], (self.input_dropout, self.hidden_dropout), self.kernel.dtype
        )

    @contextlib.contextmanager
    def masked(self, cell_masks: masks.CellMasks | None):
        """Within this context every call uses these masks, None for none: one window, all its time steps."""
        self._masks = cell_masks or masks.NO_MASKS
        try:
            yield
        finally:
            self._masks = masks.NO_MASKS

    @property
    def drawn(self) -> masks.CellMasks:
        """The masks of the window under way."""
        return self._masks

    @contextlib.contextmanager
    def read_once(self):
        """Within this context weights are tensors read at its start: a time loop saves none per step."""
        self._read = self.fixed_values()
        kernels = ["kernel", *self.kernels()]
        self._rounded = {name: products.rounded(self._read[name], self.matmul_dtype) for name in kernels}
        try:
            yield
        finally:
            self._read, self._rounded = {}, {}

    @contextlib.contextmanager
    def in_blocks(self, kernel_blocks: KernelBlocks):
        """Within this context products take the blocks of kernels that have them, and have no gradient."""
        self._blocks = kernel_blocks.read()
        try:
            yield
        finally:
            self._blocks = {}

    @contextlib.contextmanager
    def fixed_kernels(self):
        """Within this context kernels are constants: a backward pass for others does not pay for theirs.

        A while loop computes the gradient of everything that its body reads, whoever wants it.
        """
        self._fixed = True
        try:
            yield
        finally:
            self._fixed = False

    @property
    def fixed(self) -> bool:
        """Whether kernels are constants at present."""
        return self._fixed

    def fixed_values(self) -> dict[str, Any]:
        """Weights, constants and what the program makes of them alone, as tensors by name."""
        if self._read:
            return self._read
        names = ["kernel", *(weight.name for weight in self.program.weights)]
        read = {name: tf.convert_to_tensor(getattr(self, name)) for name in names}
        if self._fixed:
            read |= {name: tf.stop_gradient(read[name]) for name in ("kernel", *self.kernels())}
        return interpreter.prelude(self.program, read | self.constants())

    def product(self, x, name: str, kernel):
        """x `[..., K]` times the `kernel` of that name, `[K, N]`; see `products.project` for others."""
        rounded = self._rounded.get(name)
        if rounded is None:
            rounded = products.rounded(kernel, self.matmul_dtype)
        return products.project(x, kernel, rounded, self._blocks.get(name))

    def project(self, x, name: str):
        """The product of a value of the cell, which the mask of hidden values meets first."""
        return self.product(masks.apply(self._masks.hidden, x), name, self.fixed_values()[name])

    def project_inputs(self, x):
        """(x ⊙ m_x) times the input kernel: `[..., K]` -> `[..., N]`; x is `[B, T, K]` or `[B, K]`."""
        mask = self._masks.inputs
        if mask is not None and x.shape.rank == 3:
            mask = mask[:, tf.newaxis]
        return self.product(masks.apply(mask, x), "kernel", self.fixed_values()["kernel"])

    def staged_program(self) -> Program | None:
        """The program that the staged form runs; None: this cell has no such form."""
        return None

    def parts(self, program: Program) -> tuple[dict, dict]:
        """The kernels of a staged program by the names that its products use, and all else that it reads."""
        fixed = interpreter.prelude(program, self.fixed_values())
        names = dict.fromkeys(name for op in program.projections() for name in op.args[1:])
        kernels, cut = {}, {}
        for name in names:
            whole, _, index = name.partition("/")
            if index and whole not in cut:
                cut[whole] = tf.unstack(fixed[whole])
            kernels[name] = cut[whole][int(index)] if index else fixed[whole]
        read = {name for op in program.steps() if op.rule != PROJECT for name in op.args}
        return kernels, {name: value for name, value in fixed.items() if name in read}

    def run(self, projected, states, wanted=()) -> list:
        """Values of one step by name, or `Program.ends`, from projected inputs and states."""
        given = dict(zip(self.program.given, (projected, *states), strict=True))
        fixed = self.fixed_values()  # once: outside of `read_once` it reads all weights

        def project(x, name):
            return self.product(masks.apply(self._masks.hidden, x), name, fixed[name])

        return interpreter.run(self.program, given, fixed, project, wanted)

    def step(self, projected, *states):
        """The states after one step, and the output where it is none, as `Program.ends` names them."""
        return tuple(self.run(projected, states))

    def call(self, inputs, states, training=False):
        """One time step; dropout depends on `masked`, not on `training`.

        Raises:
          ValueError: a model other than `LanguageModel` trains a cell that has dropout rates, without masks.
        """
        rates, drawn = (self.input_dropout, self.hidden_dropout), self._masks
        if training and any(r and mask is None for r, mask in zip(rates, drawn, strict=True)):
            raise ValueError(
                f"{self.name} has dropout rates, and nobody draws its masks in this model. Set its "
                "input_dropout and hidden_dropout to 0, and use keras.layers.Dropout around the RNN"
            )
        projected = inputs if self.inputs_projected else self.project_inputs(inputs)
        ends = dict(zip(self.program.ends, self.step(projected, *states), strict=True))
        return ends[self.program.output], [ends[name] for name in self.program.state]
