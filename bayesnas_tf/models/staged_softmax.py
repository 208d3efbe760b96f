"""The loss of one softmax in the form that is fast on a CPU: XLA compiles what is done to the logits.

`losses.token_nats` of `decoder.tied_logits`, which TensorFlow differentiates, is the slow twin. Here

- the logits stay in the precision of their product, in bfloat16 in half the memory, and are held once: their
  gradient computes the probabilities again;
- a stage treats the same number of rows whatever the length of a window, and so is compiled once; between its
  passes over them they stay in the cache.

Shapes: N tokens, U units, V words; a stage treats R of the N rows.
"""

import tensorflow as tf

from bayesnas_tf.cells import xla
from bayesnas_tf.models.decoder import Decoder


def token_nats(hidden, targets, decoder: Decoder, rows: int):
    """-log softmax(hidden Eᵀ + b)[target] `[N]` of hidden states `[N, U]`; `rows`, R, divides N."""
    # one dtype for both factors of all three products, as in `products.matmul`
    right = decoder.embedding if decoder.rounded is None else decoder.rounded
    nats_stage, gradient_stage = xla.stage(_nats), xla.stage(_of_logits)  # of this call alone: see `_each`

    @tf.custom_gradient
    def nats(hidden, embedding, bias):
        left = tf.cast(hidden, right.dtype)
        logits = tf.reshape(tf.matmul(left, right, transpose_b=True), [-1, rows, right.shape[0]])
        wanted = tf.reshape(targets, [-1, rows])
        found, log_sums = _each(
            lambda k: nats_stage(logits[k], bias, wanted[k]), logits, (hidden.dtype, hidden.dtype)
        )

        def gradient(upstream):
            of_nats = tf.reshape(upstream, [-1, rows])
            of_logits = _each(
                lambda k: gradient_stage(logits[k], bias, wanted[k], log_sums[k], of_nats[k]),
                logits,
                right.dtype,
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


def _each(stage, logits, dtypes):
    """stage(k) for all k along the first axis of the logits, stacked.

    One after the other: TensorFlow 2.21 crashes now and then (SIGSEGV) where an executable of XLA with a sum
    or maximum over thousands of words runs twice at the same time. So each call of `token_nats` compiles its
    own: groups of rows (`training.row_groups`) call it side by side.
    """
    numbers = tf.range(tf.shape(logits)[0])
    return tf.map_fn(stage, numbers, parallel_iterations=1, fn_output_signature=dtypes)


def _nats(logits, bias, targets):
    """Nats of targets `[R]` from logits `[R, V]` without bias, and the log of the sum of exponentials."""
    precise = tf.cast(logits, bias.dtype) + bias
    largest = tf.reduce_max(precise, axis=-1, keepdims=True)
    log_sums = tf.math.log(tf.reduce_sum(tf.exp(precise - largest), axis=-1)) + largest[:, 0]
    of_targets = tf.gather(logits, targets, batch_dims=1)
    return log_sums - (tf.cast(of_targets, bias.dtype) + tf.gather(bias, targets)), log_sums


def _of_logits(logits, bias, targets, log_sums, upstream):
    """The gradient of the logits, (p - 1[target]) times that of the nats."""
    precise = tf.cast(logits, bias.dtype) + bias
    hit = tf.range(logits.shape[-1], dtype=targets.dtype) == targets[:, tf.newaxis]
    off = tf.exp(precise - log_sums[:, tf.newaxis]) - tf.cast(hit, bias.dtype)
    return tf.cast(off * upstream[:, tf.newaxis], logits.dtype)
