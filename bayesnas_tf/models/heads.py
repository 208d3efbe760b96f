"""From hidden states to probabilities of words: one softmax, or a mixture of several (Yang et al. 2018).

Shapes: hidden states `[B, T, U]`, N = B T of them; E is the width of the embedding, V the vocabulary's size.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any

import gin
import keras
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.models import losses, staged_softmax
from bayesnas_tf.models.decoder import Decoder, tied_logits
from bayesnas_tf.numerics import products, seeds
from bayesnas_tf.options import Dropout, Options, Range

FLOOR = 1e-8  # added to every probability of a mixture, as in the authors' code
MASK_SLOT = 5  # behind the masks of the language model and its highway cell


class Softmax:
    """One softmax over hidden states of the embedding's width; it has no weights of its own."""

    def build(self, units: int, embedding_size: int) -> None:
        """Check the widths.

        Raises:
          ValueError: hidden states are not as wide as embeddings.
        """
        if units != embedding_size:
            raise ValueError(
                f"a tied softmax needs outputs as wide as the embedding, but they have {units} and "
                f"{embedding_size} units. Make them equal, or set evaluate.head = @MixtureOptions()"
            )

    def ranges(self) -> list[tuple[tf.Variable, float]]:
        """Nothing to initialise."""
        return []

    def draw_mask(self, seed: tf.Tensor, batch: int) -> None:
        """Nothing to drop; `seed` is int32 `[2]` elsewhere."""
        return None  # AutoGraph cannot read a function that is a docstring alone

    def logits(self, hidden: tf.Tensor, decoder: Decoder, mask: tf.Tensor | None = None) -> tf.Tensor:
        """`[B, T, V]`, of which softmax makes probabilities, from hidden states `[B, T, U]`."""
        logits = tied_logits(tf.reshape(hidden, [-1, hidden.shape[-1]]), decoder)
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [logits.shape[-1]]], axis=0))

    def log_probabilities(self, hidden: tf.Tensor, decoder: Decoder) -> tf.Tensor:
        """Nats, negated, of every word, `[B, T, V]`, without dropout."""
        return tf.nn.log_softmax(self.logits(hidden, decoder))

    def token_nats(
        self, hidden: tf.Tensor, targets: tf.Tensor, decoder: Decoder, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Negative log-likelihood of targets `[B, T]` in nats, `[B, T]`."""
        if not decoder.staged:
            return losses.token_nats(self.logits(hidden, decoder, mask), targets)
        flat = tf.reshape(hidden, [-1, hidden.shape[-1]]), tf.reshape(targets, [-1])
        nats = staged_softmax.token_nats(*flat, decoder, rows=hidden.shape[0])
        return tf.ensure_shape(tf.reshape(nats, tf.shape(targets)), targets.shape)


@gin.register
@dataclasses.dataclass(frozen=True)
class MixtureOptions(Options):
    """A mixture of softmaxes in place of the one softmax, over any cell."""

    experts: Annotated[int, Range(1, 10_000)] = 15  # softmax distributions that are mixed
    latent_dropout: Dropout = 0.0  # on the latents of all experts, one mask for all time steps


class Mixture(keras.layers.Layer):
    """P = Σ_k π_k softmax(tanh(h L + l)_k Eᵀ + b) with π = softmax(h Π), K experts.

    The experts come one after the other and a gradient computes their logits again, so that `[N, V]` is in
    memory for one of them at a time, not for all K.
    """

    def __init__(self, options: MixtureOptions, **kwargs: Any):
        """`kwargs` go to `keras.layers.Layer`."""
        super().__init__(**kwargs)
        self.options = options

    def build(self, units: int, embedding_size: int) -> None:
        """Create Π `[U, K]`, L `[U, K E]` and l `[K E]`."""
        width = self.options.experts * embedding_size
        self.prior_kernel = self.add_weight(name="prior_kernel", shape=(units, self.options.experts))
        self.latent_kernel = self.add_weight(name="latent_kernel", shape=(units, width))
        self.latent_bias = self.add_weight(name="latent_bias", shape=(width,))
        self.built = True

    def ranges(self) -> list[tuple[tf.Variable, float]]:
        """All weights start uniform within 1 / sqrt(U), as PyTorch's linear maps."""
        limit = 1.0 / math.sqrt(self.prior_kernel.shape[0])
        return [(weight, limit) for weight in (self.prior_kernel, self.latent_kernel, self.latent_bias)]

    def draw_mask(self, seed: tf.Tensor, batch: int) -> tf.Tensor | None:
        """The mask `[B, 1, K E]` of one window from a stateless seed (int32 `[2]`), or None."""
        shape = [batch, 1, self.latent_bias.shape[0]]
        rate, dtype = self.options.latent_dropout, self.latent_bias.dtype
        return masks.dropout_mask(seeds.fold(seed, MASK_SLOT), shape, rate, dtype)

    def parts(self, hidden: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """log π `[K, N]` and the latents `[K, N, E]` of hidden states `[B, T, U]`."""
        prior = tf.nn.log_softmax(products.project(hidden, self.prior_kernel))
        latents = tf.tanh(products.project(hidden, self.latent_kernel) + self.latent_bias)
        experts = self.options.experts
        latents = tf.reshape(masks.apply(mask, latents), [-1, experts, latents.shape[-1] // experts])
        return tf.transpose(tf.reshape(prior, [-1, experts])), tf.transpose(latents, [1, 0, 2])

    def logits(self, hidden: tf.Tensor, decoder: Decoder, mask: tf.Tensor | None = None) -> tf.Tensor:
        """log(P + 1e-8) `[B, T, V]`; the authors' floor makes the sum of probabilities 1 + V 1e-8."""
        prior, latents = self.parts(hidden, mask)

        def add(total: tf.Tensor, expert: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            log_prior, latent = expert
            return total + tf.exp(log_prior[:, tf.newaxis] + tf.nn.log_softmax(tied_logits(latent, decoder)))

        nothing = tf.zeros([tf.shape(latents)[1], decoder.bias.shape[0]], latents.dtype)
        total = tf.foldl(add, (prior, latents), nothing, parallel_iterations=1)
        shape = tf.concat([tf.shape(hidden)[:-1], [decoder.bias.shape[0]]], axis=0)
        return tf.reshape(tf.math.log(total + FLOOR), shape)

    def log_probabilities(self, hidden: tf.Tensor, decoder: Decoder) -> tf.Tensor:
        """`logits`, `[B, T, V]`, without dropout: they are normalised but for the floor."""
        return self.logits(hidden, decoder)

    def token_nats(
        self, hidden: tf.Tensor, targets: tf.Tensor, decoder: Decoder, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """-log(P[target] + 1e-8) `[B, T]` of targets `[B, T]`."""
        prior, latents = self.parts(hidden, mask)
        flat = tf.reshape(targets, [-1])
        of_experts = tf.map_fn(
            lambda latent: target_log_probability(latent, flat, decoder),
            latents,
            fn_output_signature=latents.dtype,
            parallel_iterations=1,
        )
        mixed = tf.reduce_sum(tf.exp(prior + of_experts), axis=0)
        return tf.reshape(-tf.math.log(mixed + FLOOR), tf.shape(targets))


def target_log_probability(latent: tf.Tensor, targets: tf.Tensor, decoder: Decoder) -> tf.Tensor:
    """log softmax(latent Eᵀ + b)[target] `[N]` of latents `[N, E]`; a gradient computes the logits again."""

    def forward(latent: tf.Tensor, embedding: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return -losses.token_nats(tied_logits(latent, Decoder(embedding, bias, decoder.rounded)), targets)

    @tf.custom_gradient
    def cheap(
        latent: tf.Tensor, embedding: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with tf.GradientTape() as tape:
                tape.watch((latent, embedding, bias))
                again = forward(latent, embedding, bias)
            return tape.gradient(again, (latent, embedding, bias), upstream)

        return forward(latent, embedding, bias), gradient

    return cheap(latent, decoder.embedding, decoder.bias)
