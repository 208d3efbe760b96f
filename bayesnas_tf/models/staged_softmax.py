"""The loss of one softmax in the form that is fast on a CPU: XLA compiles what is done to the logits.

`losses.token_nats` of `decoder.tied_logits`, which TensorFlow differentiates, is the slow twin. Here

- the logits stay in the precision of their product, in bfloat16 in half the memory, and are held once: their
  gradient computes the probabilities again;
- a stage treats the same number of rows whatever the length of a window, and so is compiled once; between its
  passes over them they stay in the cache.

Shapes: N tokens, U units, V words; a stage treats R of the N rows.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bayesnas_tf.models.decoder import Decoder
from bayesnas_tf.numerics import xla

VALUES = 32768  # sums over more of them XLA hands to YNNPACK


def token_nats(hidden: tf.Tensor, targets: tf.Tensor, decoder: Decoder, rows: int) -> tf.Tensor:
    """-log softmax(hidden Eᵀ + b)[target] `[N]` in nats of hidden states `[N, U]`; `rows`, R, divides N.

    Backward the probabilities are made anew of the logits and of the log of their sum, which alone are kept.
    """
    # one dtype for both factors of all three products, as in `products.matmul`
    right = decoder.embedding if decoder.rounded is None else decoder.rounded

    @tf.custom_gradient
    def nats(
        hidden: tf.Tensor, embedding: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        left = tf.cast(hidden, right.dtype)
        logits = tf.reshape(tf.matmul(left, right, transpose_b=True), [-1, rows, right.shape[0]])
        wanted = tf.reshape(targets, [-1, rows])
        found, log_sums = _each(
            lambda k: _nats(logits[k], bias, wanted[k]), logits, (hidden.dtype, hidden.dtype)
        )

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            of_nats = tf.reshape(upstream, [-1, rows])
            of_logits = _each(
                lambda k: _of_logits(logits[k], bias, wanted[k], log_sums[k], of_nats[k]), logits, right.dtype
            )
            of_logits = tf.reshape(of_logits, [-1, right.shape[0]])
            of_hidden = tf.matmul(of_logits, right)
            of_embedding = tf.matmul(of_logits, left, transpose_a=True)
            of_bias = tf.matmul(tf.ones_like(left[:, :1]), of_logits, transpose_a=True)[0]
            return (
                tf.cast(of_hidden, hidden.dtype),
                tf.cast(of_embedding, embedding.dtype),
                tf.cast(of_bias, bias.dtype),
            )

        return tf.reshape(found, [-1]), gradient

    return nats(hidden, decoder.embedding, decoder.bias)


def _each(stage: Callable, logits: tf.Tensor, dtypes: Any) -> Any:
    """stage(k) for all k along the first axis of the logits, stacked; two at once are no faster."""
    numbers = tf.range(tf.shape(logits)[0])
    return tf.map_fn(stage, numbers, parallel_iterations=1, fn_output_signature=dtypes)


@xla.stage
def _nats(logits: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Nats of targets `[R]` from logits `[R, V]` without bias, and the log of the sum of exponentials."""
    precise = tf.cast(logits, bias.dtype) + bias
    largest = _over_words(precise, tf.maximum, tf.reduce_max)
    sums = _over_words(tf.exp(precise - largest[:, tf.newaxis]), tf.add, tf.reduce_sum)
    log_sums = tf.math.log(sums) + largest
    of_targets = tf.gather(logits, targets, batch_dims=1)
    return log_sums - (tf.cast(of_targets, bias.dtype) + tf.gather(bias, targets)), log_sums


@xla.stage
def _of_logits(
    logits: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor, log_sums: tf.Tensor, upstream: tf.Tensor
) -> tf.Tensor:
    """The gradient of the logits, (p - 1[target]) times that of the nats."""
    precise = tf.cast(logits, bias.dtype) + bias
    hit = tf.range(logits.shape[-1], dtype=targets.dtype) == targets[:, tf.newaxis]
    off = tf.exp(precise - log_sums[:, tf.newaxis]) - tf.cast(hit, bias.dtype)
    return tf.cast(off * upstream[:, tf.newaxis], logits.dtype)


def _over_words(x: tf.Tensor, pair: Callable, all_of: Callable) -> tf.Tensor:
    """The sum or maximum of x `[R, V]` over the words: of slices first, so that none is over many values.

    With YNNPACK TensorFlow 2.21 crashes now and then (SIGSEGV) where one executable runs twice at the same
    time, as groups of rows (`numerics.row_groups`) may run it.
    """
    rows, words = x.shape
    slices = min(math.ceil(rows * words / VALUES), words)
    width = words // slices
    first, *others = (x[:, start : start + width] for start in range(0, width * slices, width))
    found = all_of(functools.reduce(pair, others, first), axis=-1)
    rest = x[:, width * slices :]
    return pair(found, all_of(rest, axis=-1)) if rest.shape[1] else found
