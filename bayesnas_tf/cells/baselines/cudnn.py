"""An LSTM window through cuDNN: one operation for all time steps, on a GPU alone and not under XLA."""

from typing import NamedTuple

import tensorflow as tf


class Weights(NamedTuple):
    """Of one layer, the gates in the order i, f, g, o."""

    kernel: tf.Tensor  # [K, 4U]
    recurrent_kernel: tf.Tensor  # [U, 4U]
    bias: tf.Tensor  # [4U]
    recurrent_bias: tf.Tensor  # [4U]


def packed(weights: Weights) -> tf.Tensor:
    """One vector as cuDNN reads it: W_i W_f W_g W_o R_i R_f R_g R_o, each `[U, K]` by rows, then biases."""
    matrices = [
        tf.reshape(tf.transpose(part), [-1])
        for kernel in (weights.kernel, weights.recurrent_kernel)
        for part in tf.split(kernel, 4, axis=1)
    ]
    return tf.concat([*matrices, weights.bias, weights.recurrent_bias], axis=0)


def lstm(
    x: tf.Tensor, states: tuple[tf.Tensor, tf.Tensor], length: tf.Tensor, weights: Weights
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Outputs `[B, T, U]` of x `[B, T, K]`, 0 behind `length`, and (h, c), `[B, U]`, after `length` steps."""
    h, c = (state[tf.newaxis] for state in states)
    outputs, h, c, *_ = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(x, [1, 0, 2]),
        input_h=h,
        input_c=c,
        params=packed(weights),
        sequence_lengths=tf.fill([tf.shape(x)[0]], length),
        rnn_mode="lstm",
        is_training=True,
        time_major=True,
    )
    return tf.transpose(outputs, [1, 0, 2]), (h[0], c[0])
