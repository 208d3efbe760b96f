"""The complete diagonal recursion through every elementary operation of the cell, in one backward pass.

p (1 - p) at the logits (4.13), then the rules of `lanes` down to the scalars. Off-diagonal terms are dropped
at every operation, which is why it is an approximation even without truncation.
"""

from typing import TYPE_CHECKING

import tensorflow as tf

from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.one_pass import Lanes, one_pass
from bayesnas_tf.curvature.window import Window, WindowEstimate, assemble
from bayesnas_tf.models.language_model import LanguageModel

if TYPE_CHECKING:
    from bayesnas_tf.curvature.interface import CurvatureOptions


def lanes_of(options: "CurvatureOptions") -> Lanes:
    """Lanes for horizon `options.tau` (0: the whole window), in slots or chunks."""
    rule, tau = Rule(diagonal=True, d_terms=options.d_term), options.tau
    if tau and options.truncation == "slots":
        return Lanes(rule, tau, slots=True)
    return Lanes(rule, 1, chunk=tau)


def estimate(
    model: LanguageModel,
    x: tf.Tensor,
    y: tf.Tensor,
    state: tf.Tensor,
    seed: tf.Tensor,
    options: "CurvatureOptions",
) -> WindowEstimate:
    """h of the mean nats per token by the recursion, `[E, O]`, from one backward pass (docs/method.md).

    From ids x, y `[B, T]` and a state `[B, S]`; the seed is not used, for nothing is drawn. The lanes, one
    or a slot for each step of the horizon, add up to h.
    """
    result = one_pass(model, Window(x, y, state), lanes_of(options), seed)
    return assemble([tf.reduce_sum(lane, axis=0) for lane in result.lanes], result.gradient, result.state)
