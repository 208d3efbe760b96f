"""The cell that Zoph & Le (2017) found by reinforcement learning, as a baseline."""

import dataclasses
from typing import Any

import gin
import tensorflow as tf

from bayesnas_tf.cells.baselines.recurrent import LayerRates, RecurrentLayer
from bayesnas_tf.cells.baselines.stack import Stack
from bayesnas_tf.numerics.sums import fan_out
from bayesnas_tf.options import Dropout, Options, Positive, Units

ACTIVATIONS = (tf.sigmoid, tf.nn.relu, tf.sigmoid, tf.nn.relu, tf.tanh, tf.sigmoid, tf.tanh, tf.sigmoid)


@gin.register
@dataclasses.dataclass(frozen=True)
class NasOptions(Options):
    """One layer of the cell; its width is the embedding's."""

    units: Units = 976  # 25 M parameters with a vocabulary of 10,000
    input_dropout: Dropout = 0.0  # on x_t
    hidden_dropout: Dropout = 0.0  # on m_{t-1}
    init_range: Positive = 0.04  # uniform
    name: str = "nas"  # how summary.json calls the baseline

    def cell(self, **kwargs: Any) -> Stack:
        """A stack of this one layer, built; `kwargs` go to `keras.layers.Layer`."""
        rates = LayerRates(self.input_dropout, self.hidden_dropout)
        return Stack(self.units, [NasLayer(self.units, rates, self.init_range, **kwargs)], **kwargs)


class NasLayer(RecurrentLayer):
    """Eight linear maps of x_t and of m_{t-1}, without biases, combined by `combined`."""

    gates = 8

    def step(self, x: tf.Tensor, m: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `RecurrentLayer.step`; `[B, 8U]` of x and m, and h is the paper's m."""
        return combined(x, m, c)


def combined(x: tf.Tensor, m: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """m_t and c_t from the maps X and M, `[B, 8U]` each, and c_{t-1} `[B, U]`.

    a_i = X_i + M_i but a_3 = X_3 M_3, each through its activation; then l_0 = tanh(tanh(a_0 a_1) + c),
    l_1 = tanh(a_2 + a_3), l_2 = tanh(a_4 a_5), l_3 = σ(a_6 + a_7), and c' = l_0 l_1,
    m' = tanh(c' tanh(l_2 + l_3)).
    """
    pairs = zip(tf.split(x, 8, axis=-1), tf.split(m, 8, axis=-1), strict=True)
    a = [
        activation(of_x * of_m if number == 3 else of_x + of_m)
        for number, ((of_x, of_m), activation) in enumerate(zip(pairs, ACTIVATIONS, strict=True))
    ]
    l_0 = tf.tanh(tf.tanh(a[0] * a[1]) + c)
    l_1, l_2, l_3 = tf.tanh(a[2] + a[3]), tf.tanh(a[4] * a[5]), tf.sigmoid(a[6] + a[7])
    # read by m', the next step and the record of all steps
    after, inner, _ = fan_out(l_0 * l_1, 3)
    return tf.tanh(inner * tf.tanh(l_2 + l_3)), after
