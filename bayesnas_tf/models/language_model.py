"""A word-level language model: tied embedding, one recurrent cell, softmax over the vocabulary."""

import dataclasses
import math
from typing import Literal, NamedTuple, get_args

import gin
import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks, products
from bayesnas_tf.cells.highway_cell import HighwayCell, ProjectedRNN

DecoderBias = Literal["zeros", "log_frequencies"]


@gin.register
@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Dropout and initialisation of the language model around the cell (method sections 2, 6 and 8)."""

    word_dropout: float = 0.0  # whole words of the embedding
    embedding_dropout: float = 0.0  # embeddings entering the cell, one mask for all time steps
    output_dropout: float = 0.0  # hidden states entering the decoder, one mask for all time steps
    embedding_range: float = 0.1  # uniform
    input_std: float = 0.0  # > 0: input rows of W_0 so large that x W_0 has this standard deviation
    decoder_bias: DecoderBias = "zeros"
    matmul_dtype: products.MatmulDtype = "float32"  # bfloat16: rounded factors; loss and scalars stay float32

    def __post_init__(self):
        """Refuse values that no model can have."""
        for name in ("word_dropout", "embedding_dropout", "output_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"ModelOptions.{name}={getattr(self, name)} must lie in [0, 1)")
        for name in ("embedding_range", "input_std"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"ModelOptions.{name}={getattr(self, name)} must be at least 0 and finite")
        if self.input_std > 0.0 and self.embedding_range == 0.0:
            raise ValueError(
                f"ModelOptions.input_std={self.input_std} cannot be had of embeddings that are all 0. "
                "Give ModelOptions.embedding_range a value above 0, or input_std 0"
            )
        choices = {"decoder_bias": DecoderBias, "matmul_dtype": products.MatmulDtype}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(
                    f"ModelOptions.{name}={getattr(self, name)!r} must be one of {get_args(allowed)}"
                )


class Masks(NamedTuple):
    """All dropout masks of one window; None means no dropout."""

    words: tf.Tensor | None  # [V, 1]
    embeddings: tf.Tensor | None  # [B, 1, U]
    outputs: tf.Tensor | None  # [B, 1, U]
    cell: masks.CellMasks


NO_MASKS = Masks(None, None, None, masks.NO_MASKS)


class LanguageModel(keras.Model):
    """Token ids `[B, T]` and a carried state `[B, U]` to logits `[B, T, V]`.

    The embedding is the decoder's matrix too (tied); its size is the cell's.
    """

    def __init__(self, vocabulary: int, cell: HighwayCell, options: ModelOptions, **kwargs):
        """Build all weights at once; `initialise` gives them their values."""
        super().__init__(**kwargs)
        self.vocabulary, self.options = vocabulary, options
        self.cell = cell
        cell.matmul_dtype = options.matmul_dtype
        self.rnn = ProjectedRNN(cell, return_sequences=True, return_state=True, dtype=self.dtype_policy)
        self.embedding = self.add_weight(name="embedding", shape=(vocabulary, cell.units))
        self.decoder_bias = self.add_weight(name="decoder_bias", shape=(vocabulary,), initializer="zeros")
        self.rnn.build((None, None, cell.units))
        self.rnn.built = self.built = True

    def initialise(self, seed, log_frequencies: np.ndarray | None = None):
        """Give every kernel its value from a stateless seed (int32 [2]), the same on every machine and run.

        Scalars, norms and other weights that are born constant keep their values.

        Raises:
          ValueError: the decoder bias is to start at log frequencies and none are given.
        """

        def uniform(slot, shape, limit):
            return tf.random.stateless_uniform(
                shape, masks.fold(seed, slot), -limit, limit, self.embedding.dtype
            )

        for slot, weight in enumerate(w for w in self.cell.weights if "kernel" in w.name):
            weight.assign(uniform(slot, weight.shape, self.cell.init_range))
        self.embedding.assign(uniform(1000, self.embedding.shape, self.options.embedding_range))
        if self.options.input_std > 0.0:
            limit = input_range(self.options.input_std, self.options.embedding_range, self.cell.units)
            self.cell.kernel.assign(uniform(1001, self.cell.kernel.shape, limit))
        if self.options.decoder_bias == "log_frequencies":
            if log_frequencies is None:
                raise ValueError("decoder_bias='log_frequencies' needs the corpus' log frequencies")
            self.decoder_bias.assign(log_frequencies)

    def draw_masks(self, seed, batch: int) -> Masks:
        """All masks of one window from a stateless seed (int32 [2])."""
        options, cell, dtype = self.options, self.cell, self.embedding.dtype
        draw = lambda slot, shape, rate: masks.dropout_mask(masks.fold(seed, slot), shape, rate, dtype)  # noqa: E731
        units = cell.units
        return Masks(
            words=draw(0, [self.vocabulary, 1], options.word_dropout),
            embeddings=draw(1, [batch, 1, units], options.embedding_dropout),
            outputs=draw(2, [batch, 1, units], options.output_dropout),
            cell=masks.CellMasks(
                inputs=draw(3, [batch, units], cell.input_dropout),
                hidden=draw(4, [batch, units], cell.hidden_dropout),
            ),
        )

    def embed(self, ids, model_masks: Masks = NO_MASKS):
        """Embeddings `[B, T, U]` of ids `[B, T]`, words and embeddings masked."""
        x = tf.gather(tf.convert_to_tensor(self.embedding), ids)
        if model_masks.words is not None:
            x = x * tf.gather(model_masks.words, ids)
        return masks.apply(model_masks.embeddings, x)

    def hidden(self, ids, state, model_masks: Masks = NO_MASKS):
        """Hidden states `[B, T, U]` before output dropout, from ids `[B, T]` and a state `[B, U]`."""
        with self.cell.masked(model_masks.cell):
            outputs, _ = self.rnn(self.embed(ids, model_masks), initial_state=[state])
        return outputs

    def decode(self, hidden, model_masks: Masks = NO_MASKS):
        """Logits `[B, T, V]` of hidden states `[B, T, U]`."""
        flat = tf.reshape(masks.apply(model_masks.outputs, hidden), [-1, self.cell.units])
        embedding = tf.convert_to_tensor(self.embedding)
        rounded = products.rounded(embedding, self.options.matmul_dtype)
        logits = products.matmul(flat, embedding, rounded, transpose_b=True)
        logits = tf.nn.bias_add(logits, tf.convert_to_tensor(self.decoder_bias))
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [self.vocabulary]], axis=0))

    def call(self, ids, state=None, training=False):
        """Logits `[B, T, V]` and the state after the window, without dropout."""
        hidden = self.hidden(ids, self.zero_state(tf.shape(ids)[0]) if state is None else state)
        return self.decode(hidden), hidden[:, -1]

    def zero_state(self, batch):
        """The state `[B, U]` at the start of a corpus."""
        return tf.zeros([batch, self.cell.units], self.embedding.dtype)


def input_range(std: float, embedding_range: float, units: int) -> float:
    """Half-width of the uniform input rows of W_0 for which x W_0 has standard deviation `std`.

    std² = U · var(x) · var(W), and a uniform on ±r has variance r²/3.
    """
    return std * math.sqrt(3.0) / (math.sqrt(units) * embedding_range / math.sqrt(3.0))
