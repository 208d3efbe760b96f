"""The oracles: nested differentiation, one column per scalar. Slow, and right."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from bayesnas_tf.curvature.window import WindowEstimate, assemble, scalar_variables
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel

if TYPE_CHECKING:
    from bayesnas_tf.curvature.interface import CurvatureOptions


def _split(flat: tf.Tensor, scalars: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """A flat vector over all scalars as one array per variable."""
    parts = tf.split(flat, [tf.size(w) for w in scalars])
    return [tf.reshape(part, w.shape) for part, w in zip(parts, scalars, strict=True)]


def _flat(arrays: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(array, [-1]) for array in arrays], axis=0)


def _diagonal(
    column: Callable[[list[tf.Tensor]], Sequence[tf.Tensor]], scalars: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    """Entry e of `column(direction e)` for every unit direction e, as one array per variable."""
    size = sum(w.shape.num_elements() for w in scalars)
    dtype = scalars[0].dtype

    def entry(index: tf.Tensor) -> tf.Tensor:
        return _flat(column(_split(tf.one_hot(index, size, dtype=dtype), scalars)))[index]

    return _split(tf.map_fn(entry, tf.range(size), fn_output_signature=dtype), scalars)


def estimate(
    model: LanguageModel,
    x: tf.Tensor,
    y: tf.Tensor,
    state: tf.Tensor,
    seed: tf.Tensor,
    options: "CurvatureOptions | None",
) -> WindowEstimate:
    """The diagonal of the true Hessian of the mean nats per token; entries may be negative.

    Differentiates twice, once per scalar: E O passes, and E with zero-edge switches. From ids x, y `[B, T]`
    and a state `[B, S]`; `seed` and `options` are not used.
    """
    del seed, options
    scalars = scalar_variables(model)

    def gradient_and_state() -> tuple[list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            hidden, after = model.window(x, state, tf.shape(x)[1])
            loss = tf.reduce_mean(losses.token_nats(model.decode(hidden), y))
        return tape.gradient(loss, scalars), after

    def hessian_column(direction: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            gradient, _ = gradient_and_state()
            along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradient, direction, strict=True)])
        return tape.gradient(along, scalars)

    gradient, next_state = gradient_and_state()
    return assemble(_diagonal(hessian_column, scalars), gradient, next_state)


def ggn_diagonal(model: LanguageModel, x: tf.Tensor, y: tf.Tensor, state: tf.Tensor) -> list[tf.Tensor]:
    """The exact diagonal of the generalised Gauss-Newton matrix of the mean NLL, one array per variable.

    With J e the change of the logits along scalar e: h_e = mean over tokens of Σ_v p (Je)² - (Σ_v p Je)².
    J e is the derivative in u of (Jᵀu) · e, which is linear in u: two reverse passes make a forward one.
    From ids x, y `[B, T]` and a state `[B, S]`; the oracle of `ggn`.
    """
    scalars = scalar_variables(model)
    size = sum(w.shape.num_elements() for w in scalars)
    dtype = scalars[0].dtype

    def entry(index: tf.Tensor) -> tf.Tensor:
        direction = _split(tf.one_hot(index, size, dtype=dtype), scalars)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                logits = model.decode(model.hidden(x, state))
            dummy = tf.zeros_like(logits)
            outer.watch(dummy)
            pulled = inner.gradient(logits, scalars, output_gradients=dummy)
            along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(pulled, direction, strict=True)])
        change = outer.gradient(along, dummy)
        p = tf.nn.softmax(logits)
        second = tf.reduce_sum(p * tf.square(change), axis=-1)
        return tf.reduce_mean(second - tf.square(tf.reduce_sum(p * change, axis=-1)))

    return _split(tf.map_fn(entry, tf.range(size), fn_output_signature=dtype), scalars)
