"""Generalised Gauss-Newton by random probes, each a linear lane of one backward pass (method section 3).

For one token the Hessian of the NLL in the logits is diag(p) - p pᵀ, the covariance of a probe v
(`window.probe`). Back-propagating one v per token through the network and squaring the sum gives an unbiased
estimate of the diagonal. With batch norm the examples are coupled, and the square is taken over the whole
batch; otherwise each sequence has its own square, which needs fewer probes for the same error.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.one_pass import Lanes, Pass, one_pass
from bayesnas_tf.curvature.window import Window, WindowEstimate, WindowEstimator, assemble, relative_error
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import row_groups
from bayesnas_tf.numerics.sums import ordered_sum

if TYPE_CHECKING:
    from bayesnas_tf.curvature.interface import CurvatureOptions

MOST_PROBES = 64


def lanes_of(model: LanguageModel, options: "CurvatureOptions") -> Lanes:
    """A lane per probe; sequences apart where the norm does not couple them."""
    return Lanes(Rule(diagonal=False, per_sequence=not model.cell.couples_rows), options.probes)


def squares(lanes: Lanes, found: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What each probe says of h, `[L, ...]` per array, from the lanes of `one_pass`.

    Of examples that no norm couples each has a square of its own, `[L, B, ...]` summed over B: the products
    between examples have mean 0 and add noise alone.
    """
    squared = [tf.square(lane) for lane in found]
    return [tf.reduce_sum(square, axis=1) for square in squared] if lanes.rule.per_sequence else squared


def in_groups(model: LanguageModel, window: Window, lanes: Lanes, seed: tf.Tensor, groups: int) -> Pass:
    """`one_pass` over groups of rows side by side (`numerics.row_groups`), with the probes of all rows.

    The lanes are those of the whole window to rounding: `[L, B, E, O]`, or `[L, E, O]` with batch norm;
    `seed` is int32 `[2]`.

    Raises:
      ValueError: the lanes do not keep sequences apart.
    """
    if groups > 1 and not lanes.rule.per_sequence:
        raise ValueError(f"batch norm couples all rows, so that {groups} groups cannot be computed apart")

    def of_group(group: int) -> Pass:
        rows, own = row_groups.rows_of(group, groups), lanes._replace(group=group, groups=groups)
        return one_pass(model, Window(*map(rows, window)), own, seed)

    of_lanes, gradients, states = zip(*map(of_group, range(groups)), strict=True)
    # each lane began over the root of its group's number of tokens
    joined = [tf.concat(parts, axis=1) / math.sqrt(groups) for parts in zip(*of_lanes, strict=True)]
    gradient = [ordered_sum(parts) / groups for parts in zip(*gradients, strict=True)]
    return Pass(joined, gradient, tf.concat(states, axis=0))


def of_groups(groups: int) -> WindowEstimator:
    """The estimator with so many groups of rows side by side; one function for each number."""

    def estimate(
        model: LanguageModel,
        x: tf.Tensor,
        y: tf.Tensor,
        state: tf.Tensor,
        seed: tf.Tensor,
        options: "CurvatureOptions",
    ) -> WindowEstimate:
        """Mean over `options.probes` probes of Σ (Σ_tokens vᵀ ∂z/∂w)² / N; see `interface`."""
        lanes = lanes_of(model, options)
        result = in_groups(model, Window(x, y, state), lanes, seed, groups)
        squared = squares(lanes, result.lanes)
        h = [tf.reduce_mean(square, axis=0) for square in squared]
        found = assemble(h, result.gradient, result.state)
        if options.probes == 1:
            return found
        spread = tf.reduce_sum(tf.math.squared_difference(squared[0], h[0]), axis=0)
        return found._replace(variance=spread / (options.probes * (options.probes - 1)))

    return estimate


estimate = of_groups(1)


def probes_needed(h: np.ndarray, variance: np.ndarray, options: "CurvatureOptions") -> int:
    """Probes per window for a median relative standard error of `options.target_error` over all windows.

    From one window's h `[E, O]` and its variance with `options.probes` probes; at least those, at most
    MOST_PROBES. The error falls as the root of probes times windows.
    """
    error = relative_error(h, np.sqrt(variance))
    needed = options.probes * (error / options.target_error) ** 2 / options.windows
    return min(max(math.ceil(needed), options.probes), MOST_PROBES)
