"""The Bayesian update of the scalars' prior (Algorithm 2, step 3): one function per equation.

Letters as in docs/method.md. Arrays are NumPy float64 `[E, O]`, rows in the order of the
space's sites; the elementwise functions take any shape. `h` is the second derivative of the mean
loss in nats per token until `update` multiplies it by kappa.
"""

import dataclasses
from typing import Literal, NamedTuple, Optional

import gin
import numpy as np

from bayesnas_tf.options import NonNegative, Options, Positive, checked
from bayesnas_tf.space.base import Space

Scale = Literal["sum_over_lambda", "mean", "mean_over_lambda", "sum", "corpus"]
Negative = Literal["clip", "abs"]
Parents = Literal["parents", "zero_edge", "none"]


@gin.register
@dataclasses.dataclass(frozen=True)
class BayesOptions(Options):
    """How h becomes a prior variance. The thesis leaves `scale` open, and the chosen cell depends on it."""

    scale: Scale = "sum_over_lambda"  # κ: what h of the mean loss is multiplied by; docs/method.md section 4
    negative: Negative = "clip"  # what becomes of a negative h: 0, or its absolute value
    floor: NonNegative = 1e-8  # smallest h that an update uses, under `clip`
    cap: Positive = 1e6  # largest s
    # what makes gamma of s (M10): also the s of its parents, of the zero-edge switches too, or s alone
    parents: Parents = "parents"


class Prior(NamedTuple):
    """What one Bayesian update hands to the next; each array is [E, O] ([E] for zero-edge switches)."""

    gamma: np.ndarray
    omega: np.ndarray
    s: np.ndarray

    @classmethod
    def start(cls, *shape: int) -> "Prior":
        """gamma = omega = s = 1: the state before the first update."""
        return cls(np.ones(shape), np.ones(shape), np.ones(shape))


class ZeroEdge(NamedTuple):
    """The zero-edge switches, one scalar per edge: their prior, value w_ii' and curvature, each [E]."""

    prior: Prior
    w: np.ndarray
    h: np.ndarray


class Posterior(NamedTuple):
    """One Bayesian update; arrays are [E, O].

    `h` is as estimated, `h_used` is scaled by `kappa` and floored, `clipped` counts the entries that the
    floor (or the absolute value) changed. `zero` is the update of the zero-edge switches, if there are any.
    """

    h: np.ndarray
    h_used: np.ndarray
    c: np.ndarray
    omega: np.ndarray
    s: np.ndarray
    gamma: np.ndarray
    kappa: float | np.ndarray
    clipped: int
    zero: Optional["Posterior"] = None

    @property
    def prior(self) -> Prior:
        """The prior of the next epoch."""
        return Prior(self.gamma, self.omega, self.s)


def kappa(
    scale: Scale, tokens_per_window: int, corpus_tokens: int, lambda_w: float, setting: str = "lambda_w"
) -> float:
    """Factor from the curvature of the mean loss per token to the one that the update uses (section 4).

    `tokens_per_window` is batch times time steps; `corpus_tokens` the tokens of the training split;
    `setting` is what an error calls `lambda_w`.
    `ValueError` for a scale over lambda_w when lambda_w is 0.
    """
    checked("scale", scale, Scale)
    if scale.endswith("over_lambda") and lambda_w <= 0.0:
        raise ValueError(
            f"BayesOptions.scale={scale!r} divides by {setting} = {lambda_w!r}. Set {setting} above 0, "
            "or set BayesOptions.scale to 'sum', 'mean' or 'corpus'"
        )
    if scale == "sum_over_lambda":
        return tokens_per_window / lambda_w
    if scale == "mean_over_lambda":
        return 1.0 / lambda_w
    return float({"mean": 1, "sum": tokens_per_window, "corpus": corpus_tokens}[scale])


def floor_negative(h: np.ndarray, mode: Negative, floor: float = 1e-8) -> tuple[np.ndarray, int]:
    """Make h positive (M6) and count the entries changed.

    `clip`: max(h, floor). `abs`: |h|, as in the authors' code; there the floor plays no part.
    """
    if mode == "abs":
        return np.abs(h), int(np.sum(h < 0.0))
    return np.maximum(h, floor), int(np.sum(h < floor))


def posterior_variance(gamma: np.ndarray, h: np.ndarray) -> np.ndarray:
    """c = 1 / (1/gamma + h) (M7, 3.16), written so that gamma = 0 gives 0."""
    return gamma / (1.0 + gamma * h)


def omega(gamma: np.ndarray, h: np.ndarray) -> np.ndarray:
    """omega = sqrt(h / (1 + gamma h)) (M8): 3.17, sqrt(gamma - c) / gamma, without its cancellation."""
    return np.sqrt(h / (1.0 + gamma * h))


def switch(w: np.ndarray, omega: np.ndarray, cap: float = 1e6) -> np.ndarray:
    """s = |w| / omega, at most `cap` (M9, 3.18); 0 where w is 0, also when omega is 0."""
    size = np.abs(w)
    below = size < cap * omega  # hence omega > 0 there, and the ratio cannot overflow
    ratio = np.divide(size, omega, out=np.full(np.shape(size), float(cap)), where=below)
    return np.where(size == 0.0, 0.0, ratio)


def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(1/a + 1/b)^-1, the AND of two switches; 0 as soon as one of them is 0."""
    total = a + b
    return np.where(total > 0.0, a * (b / np.where(total > 0.0, total, 1.0)), 0.0)


class Rules(NamedTuple):
    """What stays the same over the updates of a search; `space` is None where no entry has parents.

    `kappa` is one number, or one per row `[E, 1]`: switches may have a lambda of their own.
    """

    options: BayesOptions
    kappa: float | np.ndarray
    space: Space | None


def prior_variance(
    s: np.ndarray, parents: Parents, space: Space | None, s_zero: np.ndarray | None = None
) -> np.ndarray:
    """gamma_jk = (1 / sum over the entries into j of s_ij + 1 / s_jk)^-1 (M10, 3.19).

    Entries without parents (`Space.parents`) keep gamma = s. `zero_edge` (3.9) replaces each s_ij in the sum
    by the AND of s_ij and its edge's switch `s_zero` [E]; `ValueError` when that is missing. `none` and a
    space of None: gamma = s.
    """
    if parents == "none" or space is None:
        return np.array(s, dtype=np.float64)
    strength = s
    if parents == "zero_edge":
        if s_zero is None:
            raise ValueError(
                "BayesOptions.parents='zero_edge' needs the switches of the zero edges. Set "
                "CellOptions.zero_edge_switch = True, or BayesOptions.parents = 'parents'"
            )
        strength = both(s_zero[:, None], s)
    gamma = np.array(s, dtype=np.float64)
    for site in range(len(s)):
        rows = space.parents(site)
        if rows.size:
            gamma[site] = both(np.sum(strength[rows]), s[site])
    return gamma


def update(
    prior: Prior,
    w: np.ndarray,
    h: np.ndarray,
    rules: Rules,
    zero: ZeroEdge | None = None,
) -> Posterior:
    """One pass of M6 to M10 over all scalars, from the prior of the last update.

    `w`, `h` are [E, O] (or [E] with parents 'none'); h is multiplied by kappa before it is floored.
    `ValueError` when a shape does not fit or w, h or kappa are not finite.
    """
    w, h = _checked("w", w, prior), _checked("h", h, prior)
    options, kappa, space = rules
    checked("kappa", float(np.min(kappa)), Positive)
    h_used, clipped = floor_negative(kappa * h, options.negative, options.floor)
    c = posterior_variance(prior.gamma, h_used)
    pull = omega(prior.gamma, h_used)
    s = switch(w, pull, options.cap)
    own = None
    if zero is not None:
        own = update(zero.prior, zero.w, zero.h, rules._replace(space=None))  # one kappa: no space has both
    gamma = prior_variance(s, options.parents, space, None if own is None else own.s)
    return Posterior(h, h_used, c, pull, s, gamma, kappa, clipped, own)


def _checked(name: str, value: np.ndarray, prior: Prior) -> np.ndarray:
    """The array in float64, of the prior's shape and finite; else `ValueError`."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape != prior.gamma.shape:
        raise ValueError(f"{name} has shape {array.shape}, but its prior has shape {prior.gamma.shape}")
    broken = int(np.sum(~np.isfinite(array)))
    if broken:
        raise ValueError(
            f"{broken} of {array.size} entries of {name} are not finite. The network has diverged: "
            "lower the learning rate or set a norm in the cell"
        )
    return array
