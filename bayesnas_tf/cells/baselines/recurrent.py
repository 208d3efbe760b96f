"""A recurrent layer with a hidden and a cell state, over whole windows: what LSTM and NAS layers share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.scan import scan_time
from bayesnas_tf.numerics import products, seeds
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.numerics.row_groups import Rows


class LayerMasks(NamedTuple):
    """Dropout masks of one layer for one window; None means no dropout."""

    inputs: tf.Tensor | None = None  # [B, 1, K], on the layer's inputs, the same at every time step
    hidden: tf.Tensor | None = None  # [B, U], on h_{t-1}
    recurrent: tf.Tensor | None = None  # [U, N], on the hidden-to-hidden weights: DropConnect

    def of_rows(self, rows: Rows) -> "LayerMasks":
        """Those of the rows that `rows` takes of a tensor; the weights are those of all rows."""
        inputs, hidden = (part if part is None else rows(part) for part in (self.inputs, self.hidden))
        return LayerMasks(inputs, hidden, self.recurrent)


class LayerRates(NamedTuple):
    """Probabilities of dropping, one for each of `LayerMasks`."""

    inputs: float = 0.0
    hidden: float = 0.0
    recurrent: float = 0.0


class RecurrentLayer(keras.layers.Layer):
    """(h_t, c_t) = step(x_t W, h_{t-1} R, c_{t-1}), with W `[K, N]` and R `[U, N]`, N = `gates` U.

    The products x_t W of all time steps are one matrix product before the time loop.
    """

    gates: int  # maps of the input, and as many of the hidden state

    def __init__(self, units: int, rates: LayerRates, init_range: float, **kwargs: Any):
        """`kwargs` go to `keras.layers.Layer`."""
        super().__init__(**kwargs)
        self.units, self.rates, self.init_range = units, rates, init_range

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create W and R for inputs `[..., K]`."""
        width = self.gates * self.units
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], width))
        self.recurrent_kernel = self.add_weight(name="recurrent_kernel", shape=(self.units, width))

    def ranges(self) -> list[tuple[keras.Variable, float]]:
        """Pairs of a weight and the half-width of the uniform distribution that it starts with."""
        return [(self.kernel, self.init_range), (self.recurrent_kernel, self.init_range)]

    def draw_masks(self, seed: tf.Tensor, batch: int) -> LayerMasks:
        """The masks of one window from a stateless seed (int32 `[2]`)."""
        shapes = ([batch, 1, self.kernel.shape[0]], [batch, self.units], self.recurrent_kernel.shape)
        drawn = [
            masks.dropout_mask(seeds.fold(seed, slot), shape, rate, self.kernel.dtype)
            for slot, (shape, rate) in enumerate(zip(shapes, self.rates, strict=True))
        ]
        return LayerMasks(*drawn)

    def project(self, x: tf.Tensor, matmul_dtype: products.MatmulDtype) -> tf.Tensor:
        """x W for masked inputs `[B, T, K]`: what a step takes of them, `[B, T, N]`."""
        kernel = tf.convert_to_tensor(self.kernel)
        return products.project(x, kernel, products.rounded(kernel, matmul_dtype))

    def step(self, x: tf.Tensor, m: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """h_t and c_t `[B, U]` from x_t W and h_{t-1} R, `[B, N]` each, and c_{t-1} `[B, U]`."""
        raise NotImplementedError

    def window(
        self,
        x: tf.Tensor,
        states: tuple[tf.Tensor, tf.Tensor],
        length: tf.Tensor,
        drawn: LayerMasks,
        execution: Execution,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Outputs `[B, T, U]` of x `[B, T, K]`, and (h, c) after `length` steps from `states`."""
        recurrent = self.masked_recurrent_kernel(drawn)
        rounded = products.rounded(recurrent, execution.matmul_dtype)

        def step(
            t: tf.Tensor, inputs: tuple[tf.Tensor], h: tf.Tensor, c: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            return self.step(*inputs, products.matmul(masks.apply(drawn.hidden, h), recurrent, rounded), c)

        by_time = tf.transpose(self.project(masks.apply(drawn.inputs, x), execution.matmul_dtype), [1, 0, 2])
        h, c = scan_time(step, (by_time,), states)
        return tf.transpose(h, [1, 0, 2]), (h[length - 1], c[length - 1])

    def masked_recurrent_kernel(self, drawn: LayerMasks) -> tf.Tensor:
        """R, or R with the weights of this window that DropConnect leaves."""
        return masks.apply(drawn.recurrent, tf.convert_to_tensor(self.recurrent_kernel))
