"""A word-level language model: tied embedding, a recurrent cell or a stack of layers, and a head."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import gin
import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.baselines.stack import Stack
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.reading import PLAIN, Purpose
from bayesnas_tf.models.decoder import Decoder
from bayesnas_tf.models.heads import Mixture, Softmax
from bayesnas_tf.numerics import products, seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.numerics.row_groups import Rows
from bayesnas_tf.options import Dropout, NonNegative, Options

DecoderBias = Literal["zeros", "log_frequencies"]


@gin.register
@dataclasses.dataclass(frozen=True)
class ModelOptions(Options):
    """Dropout and initialisation of the language model around the cell (method sections 2, 6 and 8)."""

    word_dropout: Dropout = 0.0  # whole words of the embedding
    embedding_dropout: Dropout = 0.0  # embeddings entering the cell, one mask for all time steps
    output_dropout: Dropout = 0.0  # hidden states entering the decoder, one mask for all time steps
    embedding_range: NonNegative = 0.1  # uniform
    input_std: NonNegative = (
        0.0  # > 0: the cell's input kernel W so large that x W has this standard deviation
    )
    decoder_bias: DecoderBias = "zeros"  # first bias of the softmax
    matmul_dtype: products.MatmulDtype = "float32"  # bfloat16: rounded factors; loss and scalars stay float32

    def __post_init__(self):
        """Refuse an input that no embedding can give."""
        super().__post_init__()
        if self.input_std > 0.0 and self.embedding_range == 0.0:
            raise ValueError(
                f"ModelOptions.input_std={self.input_std} needs embeddings that are not all 0. Set "
                "ModelOptions.embedding_range above 0, or ModelOptions.input_std to 0"
            )


class Masks(NamedTuple):
    """All dropout masks of one window; None means no dropout."""

    words: tf.Tensor | None  # [V, 1]
    embeddings: tf.Tensor | None  # [B, 1, E]
    outputs: tf.Tensor | None  # [B, 1, U]
    cell: Any  # what the cell's `draw_masks` gives
    head: tf.Tensor | None = None  # what the head's `draw_mask` gives

    def of_rows(self, rows: Rows) -> "Masks":
        """Those of the rows that `rows` takes of a tensor; words are dropped from all rows alike."""
        of_batch = (self.embeddings, self.outputs, self.head)
        embeddings, outputs, head = (part if part is None else rows(part) for part in of_batch)
        stacked = not hasattr(self.cell, "of_rows")  # one for each layer
        cell = tuple(part.of_rows(rows) for part in self.cell) if stacked else self.cell.of_rows(rows)
        return Masks(self.words, embeddings, outputs, cell, head)


NO_MASKS = Masks(None, None, None, None)


class LanguageModel(keras.Model):
    """Token ids `[B, T]` and a carried state `[B, S]` to logits `[B, T, V]`.

    The embedding, of the cell's `input_size` E, is the decoder's matrix too (tied). S is the cell's
    `state_width`, U its `output_size`; all three are one number for a highway cell.
    """

    def __init__(
        self,
        vocabulary: int,
        cell: ProgramCell | Stack,
        options: ModelOptions,
        head: Mixture | Softmax | None = None,
        execution: Execution = GRAPH,
        **kwargs: Any,
    ):
        """Build all weights at once; `initialise` gives them their values. `head` None: one softmax.

        `execution`: how windows are computed, by this model and by whoever trains or measures it.

        Raises:
          ValueError: the head cannot read what the cell gives.
        """
        super().__init__(**kwargs)
        self.vocabulary, self.options = vocabulary, options
        self.cell, self.head = cell, head or Softmax()
        self.execution = dataclasses.replace(execution, matmul_dtype=options.matmul_dtype)
        self.rnn = cell.over_time(self.dtype_policy)
        self.embedding = self.add_weight(name="embedding", shape=(vocabulary, cell.input_size))
        self.decoder_bias = self.add_weight(name="decoder_bias", shape=(vocabulary,), initializer="zeros")
        if not self.rnn.built:
            self.rnn.build((None, None, cell.input_size))
        self.head.build(cell.output_size, cell.input_size)
        self.rnn.built = self.built = True

    def initialise(self, seed: tf.Tensor, log_frequencies: np.ndarray | None = None) -> None:
        """Give every kernel its value from a stateless seed (int32 `[2]`), the same on every machine and run.

        Scalars, norms and other weights that are born constant keep their values.

        Raises:
          ValueError: the decoder bias is to start at log frequencies and none are given.
        """

        def uniform(slot: int, shape: Sequence[int], limit: float) -> tf.Tensor:
            return tf.random.stateless_uniform(
                shape, seeds.fold(seed, slot), -limit, limit, self.embedding.dtype
            )

        for slot, (weight, limit) in enumerate([*self.cell.ranges(), *self.head.ranges()]):
            weight.assign(uniform(slot, weight.shape, limit))
        self.embedding.assign(uniform(1000, self.embedding.shape, self.options.embedding_range))
        if self.options.input_std > 0.0:
            limit = input_range(self.options.input_std, self.options.embedding_range, self.cell.input_size)
            self.cell.kernel.assign(uniform(1001, self.cell.kernel.shape, limit))
        if self.options.decoder_bias == "log_frequencies":
            if log_frequencies is None:
                raise ValueError("decoder_bias='log_frequencies' needs the corpus' log frequencies")
            self.decoder_bias.assign(log_frequencies)

    def draw_masks(self, seed: tf.Tensor, batch: int) -> Masks:
        """All masks of one window from a stateless seed (int32 `[2]`)."""
        options, cell, dtype = self.options, self.cell, self.embedding.dtype
        draw = lambda slot, shape, rate: masks.dropout_mask(seeds.fold(seed, slot), shape, rate, dtype)  # noqa: E731
        return Masks(
            words=draw(0, [self.vocabulary, 1], options.word_dropout),
            embeddings=draw(1, [batch, 1, cell.input_size], options.embedding_dropout),
            outputs=draw(2, [batch, 1, cell.output_size], options.output_dropout),
            cell=cell.draw_masks(seed, batch),
            head=self.head.draw_mask(seed, batch),
        )

    def embed(self, ids: tf.Tensor, model_masks: Masks = NO_MASKS) -> tf.Tensor:
        """Embeddings `[B, T, E]` of ids `[B, T]`, words and embeddings masked."""
        x = tf.gather(tf.convert_to_tensor(self.embedding), ids)
        if model_masks.words is not None:
            x = x * tf.gather(model_masks.words, ids)
        return masks.apply(model_masks.embeddings, x)

    def read(self, model_masks: Masks = NO_MASKS, purpose: Purpose = PLAIN) -> Any:
        """What the cell's part of a window is computed from: a `Reading`, or of a stack a `StackReading`."""
        return self.cell.read(model_masks.cell, self.execution, purpose)

    def window(
        self,
        ids: tf.Tensor,
        state: tf.Tensor,
        length: tf.Tensor,
        model_masks: Masks = NO_MASKS,
        purpose: Purpose = PLAIN,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Hidden states `[B, T, U]` before output dropout, and the state after the first `length` steps.

        From ids `[B, T]` and a state `[B, S]`.
        """
        embedded = self.embed(ids, model_masks)
        return self.rnn.window(self.read(model_masks, purpose), embedded, state, length)

    def hidden(self, ids: tf.Tensor, state: tf.Tensor, model_masks: Masks = NO_MASKS) -> tf.Tensor:
        """The hidden states `[B, T, U]` of `window` alone."""
        return self.window(ids, state, tf.shape(ids)[1], model_masks)[0]

    def dropped(self, hidden: tf.Tensor, model_masks: Masks = NO_MASKS) -> tf.Tensor:
        """Hidden states `[B, T, U]` after output dropout."""
        return masks.apply(model_masks.outputs, hidden)

    def decode(self, hidden: tf.Tensor, model_masks: Masks = NO_MASKS) -> tf.Tensor:
        """Logits `[B, T, V]` of hidden states `[B, T, U]`."""
        return self.head.logits(self.dropped(hidden, model_masks), self._decoder(), model_masks.head)

    def token_nats(self, hidden: tf.Tensor, targets: tf.Tensor, model_masks: Masks = NO_MASKS) -> tf.Tensor:
        """Negative log-likelihood of targets `[B, T]` in nats, `[B, T]`, from hidden states `[B, T, U]`."""
        dropped = self.dropped(hidden, model_masks)
        return self.head.token_nats(dropped, targets, self._decoder(), model_masks.head)

    def log_probabilities(self, hidden: tf.Tensor) -> tf.Tensor:
        """Of the next word, `[B, T, V]`, without dropout."""
        return self.head.log_probabilities(hidden, self._decoder())

    def _decoder(self) -> Decoder:
        embedding = tf.convert_to_tensor(self.embedding)
        rounded = products.rounded(embedding, self.options.matmul_dtype)
        bias = tf.convert_to_tensor(self.decoder_bias)
        return Decoder(embedding, bias, rounded, self.execution.head)

    def call(
        self, ids: tf.Tensor, state: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits `[B, T, V]` and the state after the window, without dropout."""
        state = self.zero_state(tf.shape(ids)[0]) if state is None else state
        hidden, after = self.window(ids, state, tf.shape(ids)[1])
        return self.decode(hidden), after

    def zero_state(self, batch: int | tf.Tensor) -> tf.Tensor:
        """The state `[B, S]` at the start of a corpus."""
        return tf.zeros([batch, self.cell.state_width], self.embedding.dtype)


def input_range(std: float, embedding_range: float, units: int) -> float:
    """Half-width of the uniform input kernel W for which x W has standard deviation `std`.

    std² = U · var(x) · var(W), and a uniform on ±r has variance r²/3.
    """
    return std * math.sqrt(3.0) / (math.sqrt(units) * embedding_range / math.sqrt(3.0))
