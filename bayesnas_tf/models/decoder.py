"""The output layer of a language model, tied to its embedding."""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.numerics import products


class Decoder(NamedTuple):
    """The tied weights of a language model's output."""

    embedding: tf.Tensor  # [V, E]
    bias: tf.Tensor  # [V]
    rounded: tf.Tensor | None = None  # see `products.matmul`
    staged: bool = False  # whether the loss of one softmax takes the form of `staged_softmax`


def tied_logits(latent: tf.Tensor, decoder: Decoder) -> tf.Tensor:
    """`[N, V]` from `[N, E]`."""
    logits = products.matmul(latent, decoder.embedding, decoder.rounded, transpose_b=True)
    return tf.nn.bias_add(logits, decoder.bias)
