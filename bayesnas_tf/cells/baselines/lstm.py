"""LSTM layers as baselines: with DropConnect (Merity et al. 2018), with a capped gate (Melis et al. 2018)."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import keras
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.baselines import cudnn
from bayesnas_tf.cells.baselines.recurrent import LayerMasks, LayerRates, RecurrentLayer
from bayesnas_tf.cells.baselines.stack import Stack
from bayesnas_tf.numerics import products
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.numerics.sums import ordered_sum
from bayesnas_tf.options import Dropout, NonNegative, Options, Units


@gin.register
@dataclasses.dataclass(frozen=True)
class LstmOptions(Options):
    """A stack of LSTM layers as a baseline; the defaults are AWD-LSTM's sizes."""

    name: str = "lstm"  # how summary.json calls the baseline
    embedding: Units = 400  # of a word, and of the output of the last layer
    widths: tuple[Units, ...] = (1150, 1150, 400)  # units of each layer
    skip: bool = False  # the output is the sum over the layers, not the last one
    capped: bool = False  # input gate min(i, 1 - f)
    forget_bias: float = 0.0  # added to the forget gate, a constant
    two_biases: bool = True  # one beside each product, as PyTorch and cuDNN have them
    between_dropout: Dropout = 0.0  # on the inputs of all layers but the first
    state_dropout: Dropout = 0.0  # on h_{t-1}
    weight_dropout: Dropout = 0.0  # DropConnect on the hidden-to-hidden weights, once per window
    init_range: NonNegative = 0.0  # uniform; 0: 1 / sqrt(units of the layer), as PyTorch

    def __post_init__(self):
        """Refuse values that no stack can have."""
        super().__post_init__()
        if not self.widths:
            raise ValueError("LstmOptions.widths=() must have at least one layer")
        if self.skip and len(set(self.widths)) > 1:
            raise ValueError(
                f"LstmOptions.skip=True adds the outputs of all layers, but widths={self.widths} are not "
                "equal. Give every layer the same width"
            )

    @property
    def units(self) -> int:
        """The width of the embedding, as with all other cells."""
        return self.embedding

    def cell(self, **kwargs: Any) -> Stack:
        """The stack, built; `kwargs` go to `keras.layers.Layer`."""
        layers = [
            LstmLayer(self, units, self.between_dropout if number else 0.0, **kwargs)
            for number, units in enumerate(self.widths)
        ]
        return Stack(self.embedding, layers, self.skip, **kwargs)


class LstmLayer(RecurrentLayer):
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t), with the gates in the order i, f, g, o."""

    gates = 4

    def __init__(self, options: LstmOptions, units: int, input_dropout: float = 0.0, **kwargs: Any):
        """`kwargs` go to `keras.layers.Layer`."""
        rates = LayerRates(input_dropout, options.state_dropout, options.weight_dropout)
        super().__init__(units, rates, options.init_range or 1.0 / math.sqrt(units), **kwargs)
        self.options = options

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the kernels, and one bias or two."""
        super().build(input_shape)
        names = ("bias", "recurrent_bias") if self.options.two_biases else ("bias",)
        self.biases = [self.add_weight(name=name, shape=(4 * self.units,)) for name in names]
        for name, bias in zip(names, self.biases, strict=True):
            setattr(self, name, bias)

    def ranges(self) -> list[tuple[keras.Variable, float]]:
        """Biases start as the kernels do."""
        return [*super().ranges(), *((bias, self.init_range) for bias in self.biases)]

    def project(self, x: tf.Tensor, matmul_dtype: products.MatmulDtype) -> tf.Tensor:
        """x W and all biases, `[B, T, 4U]` from `[B, T, K]`: they are the same at every time step."""
        return super().project(x, matmul_dtype) + ordered_sum([*self.biases, self.forget_bias()])

    def step(self, x: tf.Tensor, m: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `RecurrentLayer.step`; `[B, 4U]` of x and m."""
        return (capped_lstm if self.options.capped else lstm)(x + m, c)

    def forget_bias(self) -> tf.Tensor:
        """`[4U]`: the constant of the forget gates, 0 elsewhere."""
        parts = [0.0, self.options.forget_bias, 0.0, 0.0]
        return tf.repeat(tf.constant(parts, self.kernel.dtype), self.units)

    def window(
        self,
        x: tf.Tensor,
        states: tuple[tf.Tensor, tf.Tensor],
        length: tf.Tensor,
        drawn: LayerMasks,
        execution: Execution,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """See `RecurrentLayer.window`; x `[B, T, K]` goes through cuDNN where that has such a layer."""
        if not (execution.fused and self.has_fused_form(drawn, execution)):
            return super().window(x, states, length, drawn, execution)
        first, *second = (tf.convert_to_tensor(bias) for bias in self.biases)
        weights = cudnn.Weights(
            tf.convert_to_tensor(self.kernel),
            self.masked_recurrent_kernel(drawn),
            first + self.forget_bias(),
            second[0] if second else tf.zeros_like(first),
        )
        return cudnn.lstm(masks.apply(drawn.inputs, x), states, length, weights)

    def has_fused_form(self, drawn: LayerMasks, execution: Execution) -> bool:
        """cuDNN has neither a capped gate nor a mask on h; it computes in float32 here."""
        return (
            not self.options.capped
            and drawn.hidden is None
            and self.kernel.dtype == "float32"
            and execution.matmul_dtype == "float32"
        )


@tf.custom_gradient
def lstm(pre: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """h_t and c_t from the pre-activations `[B, 4U]` of i, f, g, o and c_{t-1} `[B, U]`."""
    i, f, g, o = _activated(pre)
    return _outputs(i, f, g, o, c, lambda of_i, of_f: (of_i * i * (1.0 - i), of_f * f * (1.0 - f)))


@tf.custom_gradient
def capped_lstm(pre: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`lstm` of `[B, 4U]` and `[B, U]` with the input gate min(i, 1 - f), which keeps c_t within [-1, 1]."""
    i, f, g, o = _activated(pre)
    below = tf.cast(i < 1.0 - f, pre.dtype)

    def of_logits(of_gate: tf.Tensor, of_f: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_f -= (1.0 - below) * of_gate
        return below * of_gate * i * (1.0 - i), of_f * f * (1.0 - f)

    return _outputs(tf.minimum(i, 1.0 - f), f, g, o, c, of_logits)


def _activated(pre: tf.Tensor) -> tuple[tf.Tensor, ...]:
    i, f, g, o = tf.split(pre, 4, axis=-1)
    return tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)


def _outputs(
    i: tf.Tensor, f: tf.Tensor, g: tf.Tensor, o: tf.Tensor, c: tf.Tensor, of_logits: Callable
) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
    """(h_t, c_t) and their gradient; `of_logits` takes that of the two gates to their logits.

    The gradient is written out, so that each tensor of the time loop is read by two others at most: sums of
    three have no fixed order (see `ordered_sum`).
    """
    after = f * c + i * g
    squashed = tf.tanh(after)

    def gradient(of_h, of_after):
        of_after += of_h * o * (1.0 - squashed * squashed)
        of_i, of_f = of_logits(of_after * g, of_after * c)
        of_g, of_o = of_after * i * (1.0 - g * g), of_h * squashed * o * (1.0 - o)
        return tf.concat([of_i, of_f, of_g, of_o], axis=-1), of_after * f

    return (o * squashed, after), gradient
