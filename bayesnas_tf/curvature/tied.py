"""The diagonal of the tied embedding and the decoder's bias, which need no backward pass of their own.

The logits are linear in the decoder's use of both, and one token's Hessian in its logits is
diag(p) - p pᵀ: that use alone has the diagonal Σ_tokens p (1 - p) / N ⊗ h² for the embedding (4.13) and
Σ_tokens p (1 - p) / N for the bias, exactly.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.one_pass import Lanes, Softmax, drawn
from bayesnas_tf.models.language_model import LanguageModel


class DecoderUse(NamedTuple):
    """What the decoder's use of the embedding says; M words are read in one group (see `weights`)."""

    embedding: tf.Tensor  # [V, U], exact
    bias: tf.Tensor  # [V], exact
    at_words: tf.Tensor | None  # [T, 1 + L, B, M]: p (1 - p) / N and each probe at the words that were read


def decoder_use(
    model: LanguageModel, hidden: tf.Tensor, ids: tf.Tensor, lanes: Lanes, seed: tf.Tensor
) -> DecoderUse:
    """From hidden states `[T, B, U]`, the words read `[T, B]`, and the lanes and seed of the pass.

    A sum over time steps, so that arrays over the vocabulary are `[B, V]`. The probes are those of the pass,
    drawn again from its seed: `of_embedding` multiplies them with what the same probes brought to the input.
    """
    softmax = Softmax(
        tf.convert_to_tensor(model.embedding), tf.convert_to_tensor(model.decoder_bias), hidden, ids
    )
    steps, tokens = tf.shape(ids)[0], tf.cast(tf.size(ids), hidden.dtype)

    def body(t: tf.Tensor, embedding: tf.Tensor, bias: tf.Tensor, written: tf.TensorArray) -> tuple:
        p = tf.nn.softmax(softmax.logits(t))
        h = p * (1.0 - p) / tokens
        if not lanes.rule.diagonal:
            probes = [v * tf.math.rsqrt(tokens) for v in drawn(p, lanes, seed, t)]
            written = written.write(t, tf.stack([_at(part, ids, lanes.rule) for part in (h, *probes)]))
        embedding += tf.matmul(h, tf.square(hidden[t]), transpose_a=True)
        return t + 1, embedding, bias + tf.reduce_sum(h, axis=0), written

    zeros = tf.zeros_like(softmax.embedding), tf.zeros_like(softmax.bias)
    start = (tf.constant(0), *zeros, tf.TensorArray(hidden.dtype, size=steps))
    _, embedding, bias, written = tf.while_loop(
        lambda t, *_: t < steps, body, start, maximum_iterations=steps, parallel_iterations=1
    )
    return DecoderUse(embedding, bias, None if lanes.rule.diagonal else written.stack())


def _at(of_words: tf.Tensor, ids: tf.Tensor, rule: Rule) -> tf.Tensor:
    """Columns of `[B, V]` at the words that each row's group has read: `[B, T]`, or `[B, T B]`."""
    if rule.per_sequence:
        return tf.gather(of_words, tf.transpose(ids), axis=1, batch_dims=1)
    return tf.gather(of_words, tf.reshape(ids, [-1]), axis=1)


def of_embedding(
    rule: Rule, decoder: DecoderUse, hidden: tf.Tensor, ids: tf.Tensor, inputs: tf.Tensor
) -> tf.Tensor:
    """h `[V, U]` of the embedding, in both of its uses, as decoder (4.13) and as input of the cell.

    Diagonal lanes add the two, as they do with every sum. For linear lanes one square holds both, and their
    product with it, in the rows that a group has read; in all others it is the decoder's use alone, exactly.

    Args:
      rule: of the lanes.
      decoder: from `decoder_use`.
      hidden: `[T, B, U]`.
      ids: words read, `[T, B]`.
      inputs: what flows back into each embedding that was read, `[T, L, B, U]`.
    """
    read = decoder.at_words
    if read is None:
        return decoder.embedding + _rows(inputs[:, 0], ids, decoder.embedding)
    if not rule.per_sequence:
        # the norm couples the rows: the whole batch is one group, which is a sequence of T B tokens here
        hidden, ids, inputs, read = (
            _as_one_sequence(hidden, 1),
            _as_one_sequence(ids, 1),
            _as_one_sequence(inputs, 2),
            _as_one_sequence(read, 2),
        )
    # token m of a group: was the word that it read also read at t? Then both have one row of the embedding
    same = tf.cast(ids[:, tf.newaxis] == ids, hidden.dtype)  # [M, T, B]
    summed = tf.einsum("mtb,tlbu->lmbu", same, inputs) + tf.einsum("tlbm,tbu->lmbu", read[:, 1:], hidden)
    # what the decoder's use has in these rows already, exactly: the square with both uses takes its place
    alone = tf.einsum("tbm,tbu->mbu", read[:, 0], tf.square(hidden))
    changed = tf.reduce_mean(tf.square(summed), axis=0) - alone
    times = tf.reduce_sum(same, axis=1)[..., tf.newaxis]  # a word read twice in a group has one row
    total = decoder.embedding + _rows(changed / times, ids, decoder.embedding)
    return tf.maximum(total, 0.0)  # a difference of equal sums may be below 0 by rounding


def _as_one_sequence(x: tf.Tensor, batch_axis: int) -> tf.Tensor:
    """`[T, ..., B, ...]` as `[T B, ..., 1, ...]`."""
    rest = [axis for axis in range(1, x.shape.rank) if axis != batch_axis]
    moved = tf.transpose(x, [0, batch_axis, *rest])
    flat = tf.reshape(moved, [-1, *moved.shape[2:]])
    return tf.expand_dims(flat, batch_axis)


def _rows(values: tf.Tensor, ids: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Σ of `[T, B, U]` into the rows of its words."""
    flat = tf.reshape(values, [-1, values.shape[-1]])
    return tf.math.unsorted_segment_sum(flat, tf.reshape(ids, [-1]), like.shape[0])
