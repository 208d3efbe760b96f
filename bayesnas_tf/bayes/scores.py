"""Scores that rank the edge-operations of a node: larger means keep.

Two scales of h meet here. `saliency` and `taylor` are losses in nats per token and use the curvature of the
mean loss, negative entries floored; `evidence` compares data with prior, so that its h is the one of the
update, kappa times as large. With kappa = 1 they agree.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from bayesnas_tf.bayes import update
from bayesnas_tf.options import checked

Score = Literal["gamma", "saliency", "evidence", "taylor", "magnitude", "oracle"]


class Context(NamedTuple):
    """All that a score may look at; arrays are NumPy float64 [E, O].

    `h` is the floored curvature of the mean loss (before kappa). `gradient` is dL/dw of the mean loss and
    `oracle` the loss change when one edge-op is removed alone: computed elsewhere, and only where wanted.
    `s_zero` [E] are the zero-edge switches, read by pruning only.
    """

    w: np.ndarray
    h: np.ndarray
    gamma: np.ndarray
    omega: np.ndarray
    s: np.ndarray
    kappa: float | np.ndarray
    gradient: np.ndarray | None = None
    oracle: np.ndarray | None = None
    s_zero: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        posterior: update.Posterior,
        w: np.ndarray,
        gradient: np.ndarray | None = None,
        oracle: np.ndarray | None = None,
    ) -> "Context":
        """What one Bayesian update leaves to be scored."""
        return cls(
            np.asarray(w, dtype=np.float64),
            posterior.h_used / posterior.kappa,
            posterior.gamma,
            posterior.omega,
            posterior.s,
            posterior.kappa,
            gradient,
            oracle,
            None if posterior.zero is None else posterior.zero.s,
        )

    def only(self, entries: np.ndarray) -> "Context":
        """The entries that a mask [E, O] marks, as arrays [M]; without the zero-edge switches."""
        shape = entries.shape
        found = [None if part is None else np.broadcast_to(part, shape)[entries] for part in self[:-1]]
        return Context(*found)  # type: ignore[arg-type]


def gamma(context: Context) -> np.ndarray:
    """The prior variance (M10): the thesis' score."""
    return context.gamma


def saliency(context: Context) -> np.ndarray:
    """w^2 h / 2: the loss in nats per token that a removal costs to second order (optimal brain damage)."""
    return 0.5 * np.square(context.w) * context.h


def evidence(context: Context) -> np.ndarray:
    """(w^2/c - ln(gamma/c)) / 2 with c = 1 / (1/gamma + kappa h): the log evidence that a removal loses.

    It is the logarithm of the Savage-Dickey ratio, prior N(0, gamma) to Laplace posterior N(w, c) at 0, in
    nats. Where gamma is 0 the prior already holds the scalar at 0: a removal changes nothing, the score is 0.
    """
    h = context.kappa * context.h
    open_prior = context.gamma > 0.0
    precision = 1.0 / np.where(open_prior, context.gamma, 1.0) + h
    value = 0.5 * (np.square(context.w) * precision - np.log1p(context.gamma * h))
    return np.where(open_prior, value, 0.0)


def taylor(context: Context) -> np.ndarray:
    """-w dL/dw + w^2 h / 2: the loss change when w goes to 0, to second order; may be negative."""
    gradient = _required("taylor", "the gradient of the loss with respect to w", context.gradient)
    return saliency(context) - context.w * gradient


def magnitude(context: Context) -> np.ndarray:
    """|w|."""
    return np.abs(context.w)


def oracle(context: Context) -> np.ndarray:
    """The measured loss change when one edge-op is removed alone, in nats per token."""
    return _required("oracle", "the one-shot oracle (one forward pass per edge-op)", context.oracle)


SCORES: dict[str, Callable[[Context], np.ndarray]] = {
    "gamma": gamma,
    "saliency": saliency,
    "evidence": evidence,
    "taylor": taylor,
    "magnitude": magnitude,
    "oracle": oracle,
}


def score(name: Score, context: Context) -> np.ndarray:
    """The score of that name [E, O]; `ValueError` when it is unknown or lacks its input."""
    checked("score", name, Score)
    return SCORES[name](context)


def _required(name: str, what: str, value: np.ndarray | None) -> np.ndarray:
    """The array, or `ValueError` when it was not computed."""
    if value is None:
        others = ", ".join(other for other in SCORES if other not in ("taylor", "oracle"))
        raise ValueError(
            f"PruneOptions.score={name!r} needs {what}, and this search has not computed it. "
            f"Set PruneOptions.score to one of {others}"
        )
    return np.asarray(value, dtype=np.float64)
