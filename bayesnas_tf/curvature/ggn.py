"""Generalised Gauss-Newton by random probes, each a linear lane of one backward pass (method section 3).

For one token the Hessian of the NLL in the logits is diag(p) - p pᵀ, the covariance of a probe v
(`window.probe`). Back-propagating one v per token through the network and squaring the sum gives an unbiased
estimate of the diagonal. With batch norm the examples are coupled, and the square is taken over the whole
batch; otherwise each sequence has its own square, which needs fewer probes for the same error.
"""

import tensorflow as tf

from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.one_pass import Lanes, one_pass
from bayesnas_tf.curvature.window import WindowEstimate, assemble


def estimate(model, x, y, state, seed, options) -> WindowEstimate:
    """Mean over `options.probes` probes of Σ (Σ_tokens vᵀ ∂z/∂w)² / N; see `interface` for the arguments."""
    rule = Rule(diagonal=False, per_sequence=model.cell.options.norm != "batch")
    result = one_pass(model, x, y, state, Lanes(rule, options.probes), seed)
    squares = [
        tf.reduce_sum(tf.square(lane), axis=1) if rule.per_sequence else tf.square(lane)
        for lane in result.lanes
    ]
    return assemble([tf.reduce_mean(square, axis=0) for square in squares], result.gradient, result.state)
