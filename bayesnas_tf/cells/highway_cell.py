"""What every highway cell shares, and the Keras RNN layer around it."""

import contextlib

import keras
import tensorflow as tf

from bayesnas_tf.cells import highway, masks
from bayesnas_tf.cells.scan import ProjectedRNN
from bayesnas_tf.cells.staged.wiring import Kernels, Wiring
from bayesnas_tf.numerics import products, seeds
from bayesnas_tf.numerics.blocks import KernelBlocks


class HighwayCell(keras.layers.Layer):
    """What the search cell and the derived cell share: node 0, its two kernels, masks and the state.

    A Keras RNN cell: `call(x_t [B, K], [h [B, U]]) -> (h_t [B, U], [h_t])`. Where the layer around it has
    already multiplied all time steps by `kernel` (see `ProjectedRNN`), x_t is that product `[B, 2U]`.
    """

    def __init__(self, units: int, init_range: float, **kwargs):
        """See the class; `kwargs` go to `keras.layers.Layer`."""
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = units
        self.inputs_projected = False
        self.init_range = init_range
        self.input_dropout = self.hidden_dropout = 0.0
        self._masks = masks.NO_MASKS
        self._read: dict = {}
        self._rounded: dict = {}
        self._blocks: dict = {}
        self._fixed = False
        self.staged = False  # whether windows of training take the form of `staged_window`
        self.matmul_dtype: products.MatmulDtype = "float32"

    def _kernel(self, name, shape):
        """A kernel that is an attribute too: `tf.train.Checkpoint` sees no list or dictionary of a layer."""
        uniform = keras.initializers.RandomUniform(-self.init_range, self.init_range)
        kernel = self.add_weight(name=name, shape=shape, initializer=uniform)
        setattr(self, name, kernel)
        return kernel

    def build_input_node(self, input_size: int):
        """Create W_0 of (M1) as its input rows and its recurrent rows."""
        self.kernel = self._kernel("kernel", (input_size, 2 * self.units))
        self.recurrent_kernel = self._kernel("recurrent_kernel", (self.units, 2 * self.units))

    @property
    def input_size(self) -> int:
        """The width of the embeddings that a language model gives this cell."""
        return self.units

    def over_time(self, dtype) -> ProjectedRNN:
        """The layer that runs this cell over windows."""
        return ProjectedRNN(self, return_sequences=True, return_state=True, dtype=dtype)

    def ranges(self) -> list:
        """Pairs of a weight and the half-width of the uniform distribution that it starts with."""
        return [(weight, self.init_range) for weight in self.weights if "kernel" in weight.name]

    def matrices(self) -> list:
        """Kernels `[K, N]` that `product` takes at every time step: all but that of the inputs."""
        kernels = (weight for weight in self.weights if "kernel" in weight.name and weight.shape.rank == 2)
        return [kernel for kernel in kernels if kernel is not self.kernel]

    def draw_masks(self, seed, batch: int) -> masks.CellMasks:
        """The masks of one window from a stateless seed (int32 [2])."""
        drawn = [
            masks.dropout_mask(seeds.fold(seed, slot), [batch, self.units], rate, self.kernel.dtype)
            for slot, rate in ((3, self.input_dropout), (4, self.hidden_dropout))
        ]
        return masks.CellMasks(*drawn)

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
        """Within this context `value` gives tensors read at its start: a time loop saves none per step."""
        self._read = {id(variable): tf.convert_to_tensor(variable) for variable in self.weights}
        self._rounded = {
            id(variable): products.rounded(self.value(variable), self.matmul_dtype)
            for variable in self.weights
            if "kernel" in variable.name
        }
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

    def value(self, variable):
        """A weight of this cell as a tensor."""
        known = self._read.get(id(variable))
        value = tf.convert_to_tensor(variable) if known is None else known
        return tf.stop_gradient(value) if self._fixed and "kernel" in variable.name else value

    def rounded(self, kernel):
        """The bfloat16 copy of a kernel of this cell, or None: see `products`."""
        known = self._rounded.get(id(kernel))
        return products.rounded(self.value(kernel), self.matmul_dtype) if known is None else known

    def product(self, x, kernel):
        """x `[..., K]` times a kernel `[K, N]` of this cell."""
        blocked = self._blocks.get(id(kernel))
        return highway.project(x, self.value(kernel), self.rounded(kernel), blocked)

    def project_inputs(self, x):
        """(x ⊙ m_x) times the input rows of W_0: `[..., K]` -> `[..., 2U]`; x is `[B, T, K]` or `[B, K]`."""
        mask = self._masks.inputs
        if mask is not None and x.shape.rank == 3:
            mask = mask[:, tf.newaxis]
        return self.product(masks.apply(mask, x), self.kernel)

    def input_node(self, projected, h):
        """(M1) node 0 before any norm, from projected inputs `[..., B, 2U]` and carry `[..., B, U]`."""
        recurrent = self.product(masks.apply(self._masks.hidden, h), self.recurrent_kernel)
        return highway.input_node(h, projected + recurrent)

    def node_values(self, projected, h) -> list:
        """Values of all nodes 0..n, each `[..., B, U]`."""
        raise NotImplementedError

    def wiring(self) -> Wiring | None:
        """The cell as products and stages, or None where it has no such form."""
        return None

    def kernels(self) -> Kernels:
        """The matrices and parameters of a cell that has a wiring."""
        raise NotImplementedError

    def output_nodes(self) -> tuple[int, ...]:
        """Nodes whose mean is the output (M4)."""
        raise NotImplementedError

    def step(self, projected, h):
        """(M4) h_t from projected inputs `[..., B, 2U]` and h_{t-1} `[..., B, U]`."""
        values = self.node_values(projected, h)
        # not add_n: it sums in the order in which buffers come free, and two runs differ in the last bit
        return tf.reduce_mean(tf.stack([values[k] for k in self.output_nodes()]), axis=0)

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
        h = self.step(projected, states[0])
        return h, [h]
