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
    signs = tf.random.stateless_uniform(tf.shape(probabilities), seed, 0, 2, tf.int32, alg=masks.ALGORITHM)
    signed = tf.sqrt(probabilities) * tf.cast(2 * signs - 1, probabilities.dtype)
    return signed - probabilities * tf.reduce_sum(signed, axis=1, keepdims=True)


def cotangents(model, hidden, y, seed, probes: int):
    """Cotangents of the hidden states, `[probes + 1, B, T, U]`: vᵀE/√N of each probe, then ∂(mean NLL)/∂h.

    One time step at a time: arrays over the vocabulary are `[B, V]`, never `[B T, V]`.
    """
    embedding = tf.convert_to_tensor(model.embedding)
    tokens = tf.cast(tf.size(y), hidden.dtype)

    def one_step(inputs):
        h, targets, t = inputs
        probabilities = tf.nn.softmax(model.decode(h))
        drawn = [probe(probabilities, masks.fold(seed, number, t)) for number in range(probes)]
        of_logits = [*(v * tf.math.rsqrt(tokens) for v in drawn), residual(probabilities, targets) / tokens]
        return tf.matmul(tf.stack(of_logits), embedding)

    by_time = (tf.transpose(hidden, [1, 0, 2]), tf.transpose(y), tf.range(tf.shape(y)[1]))
    signature = tf.TensorSpec([probes + 1, *hidden.shape[::2]], hidden.dtype)
    mapped = tf.map_fn(one_step, by_time, parallel_iterations=1, fn_output_signature=signature)
    return tf.transpose(mapped, [1, 2, 0, 3])


def estimate(model, x, y, state, seed, options) -> WindowEstimate:
    """Mean over `options.probes` probes of (Σ_tokens vᵀ ∂z/∂w)² / N; see `interface` for the arguments."""
    scalars = scalar_variables(model)
    with tf.GradientTape(persistent=True) as tape:
        hidden = model.hidden(x, state)
    pulled: list = []
    for cotangent in tf.unstack(cotangents(model, hidden, y, seed, options.probes)):
        # one backward pass after the other: each holds the gradients of a whole window
        with tf.control_dependencies([part for parts in pulled for part in parts]):
            at_hidden = tf.identity(cotangent)
        pulled.append(tape.gradient(hidden, scalars, output_gradients=at_hidden))
    squares = [
        tf.add_n([tf.square(part) for part in parts]) / options.probes
        for parts in zip(*pulled[:-1], strict=True)
    ]
    return assemble(squares, pulled[-1], hidden[:, -1])
