"""The oracles: nested differentiation, one column per scalar. Slow, and right."""

import tensorflow as tf

from bayesnas_tf.curvature.window import WindowEstimate, assemble, scalar_variables
from bayesnas_tf.models import losses


def _split(flat, scalars):
    """A flat vector over all scalars as one array per variable."""
    parts = tf.split(flat, [tf.size(w) for w in scalars])
    return [tf.reshape(part, w.shape) for part, w in zip(parts, scalars, strict=True)]


def _flat(arrays):
    return tf.concat([tf.reshape(array, [-1]) for array in arrays], axis=0)


def _diagonal(column, scalars):
    """Entry e of `column(direction e)` for every unit direction e, as one array per variable."""
    size = sum(w.shape.num_elements() for w in scalars)
    dtype = scalars[0].dtype

    def entry(index):
        return _flat(column(_split(tf.one_hot(index, size, dtype=dtype), scalars)))[index]

    return _split(tf.map_fn(entry, tf.range(size), fn_output_signature=dtype), scalars)


def estimate(model, x, y, state, seed, options) -> WindowEstimate:
    """The diagonal of the true Hessian of the mean NLL; entries may be negative. `seed` is not used."""
    del seed, options
    scalars = scalar_variables(model)

    def gradient_and_state():
        with tf.GradientTape() as tape:
            hidden, after = model.window(x, state, tf.shape(x)[1])
            loss = tf.reduce_mean(losses.token_nats(model.decode(hidden), y))
        return tape.gradient(loss, scalars), after

    def hessian_column(direction):
        with tf.GradientTape() as tape:
            gradient, _ = gradient_and_state()
            along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradient, direction, strict=True)])
        return tape.gradient(along, scalars)

    gradient, next_state = gradient_and_state()
    return assemble(_diagonal(hessian_column, scalars), gradient, next_state)


def ggn_diagonal(model, x, y, state) -> list:
    """The exact diagonal of the generalised Gauss-Newton matrix of the mean NLL, one array per variable.

    With J e the change of the logits along scalar e: h_e = mean over tokens of Σ_v p (Je)² - (Σ_v p Je)².
    J e is the derivative in u of (Jᵀu) · e, which is linear in u.
    """
    scalars = scalar_variables(model)
    size = sum(w.shape.num_elements() for w in scalars)
    dtype = scalars[0].dtype

    def entry(index):
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
