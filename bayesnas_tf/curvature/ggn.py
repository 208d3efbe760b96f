"""Generalised Gauss-Newton by random probes, whole batch at a time (method section 3).

For one token the Hessian of the NLL in the logits is diag(p) - p pᵀ = A Aᵀ with A = (I - p 1ᵀ) diag(√p), so
that v = A ξ with random signs ξ has E[v vᵀ] = A Aᵀ. Back-propagating one v per token through the network and
squaring the sum gives an unbiased estimate of the GGN diagonal. The square is taken over the whole batch:
batch norm couples the examples.
"""

import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.curvature.window import WindowEstimate, assemble, residual, scalar_variables


def probe(probabilities, seed):
    """√p ∘ ξ - p (√p · ξ): a cotangent `[N, V]` of the logits with covariance diag(p) - p pᵀ per token."""
    signs = tf.random.stateless_uniform(tf.shape(probabilities), seed, 0, 2, dtype=tf.int32)
    signed = tf.sqrt(probabilities) * tf.cast(2 * signs - 1, probabilities.dtype)
    return signed - probabilities * tf.reduce_sum(signed, axis=1, keepdims=True)


def estimate(model, x, y, state, seed, options) -> WindowEstimate:
    """Mean over `options.probes` probes of (Σ_tokens vᵀ ∂z/∂w)² / N; see `interface` for the arguments."""
    scalars = scalar_variables(model)
    units = model.cell.units
    with tf.GradientTape(persistent=True) as tape:
        hidden = model.hidden(x, state)
    flat = tf.reshape(hidden, [-1, units])
    probabilities = tf.nn.softmax(tf.reshape(model.decode(hidden), [-1, model.vocabulary]))
    tokens = tf.cast(tf.shape(flat)[0], hidden.dtype)
    embedding = tf.convert_to_tensor(model.embedding)

    def pulled_back(cotangent):
        """vᵀ ∂z/∂w for a cotangent `[N, V]` of the logits."""
        at_hidden = tf.reshape(tf.matmul(cotangent, embedding), tf.shape(hidden))
        return tape.gradient(hidden, scalars, output_gradients=at_hidden)

    squares = [tf.zeros_like(w) for w in scalars]
    for number in range(options.probes):
        projected = pulled_back(probe(probabilities, masks.fold(seed, number)) * tf.math.rsqrt(tokens))
        squares = [total + tf.square(p) / options.probes for total, p in zip(squares, projected, strict=True)]
    gradient = pulled_back(residual(probabilities, tf.reshape(y, [-1])) / tokens)
    return assemble(squares, gradient, hidden[:, -1])
