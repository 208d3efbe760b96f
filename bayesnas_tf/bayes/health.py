"""What a search must say about itself (section 8): can its signal be trusted? NumPy only."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bayesnas_tf.bayes.scores import SCORES, Context
from bayesnas_tf.numerics.ranks import spearman
from bayesnas_tf.space.genotype import Genotype

LEAST_GAIN = 0.05
BALANCE = 10.0
LEAST_RELIABILITY = 0.7
LEAST_STABILITY = 0.5
LEAST_TRAVEL = 0.1
MOST_IDENTITY = 0.5


class Structure(NamedTuple):
    """The shape of a cell: shares of its nodes of depth 1 and of identity, and the mean depth in steps.

    In `highway` a node of depth 1 is one fed by node 0.
    """

    star_share: float
    mean_depth: float
    identity_share: float


def h_reliability(h_windows: np.ndarray) -> float:
    """Spearman between the mean h of the even and of the odd windows; [K, E, O]; NaN for K < 2."""
    if len(h_windows) < 2:
        return math.nan
    return spearman(h_windows[0::2].mean(axis=0), h_windows[1::2].mean(axis=0))


def choice_stability(
    windows: np.ndarray, choose: Callable[[np.ndarray], np.ndarray], resamples: int, seed: int
) -> np.ndarray:
    """Per node the share of bootstrap resamples over windows that choose as all windows do; [n].

    `windows` [K, ...] holds what was estimated per window. `choose` maps its mean over some of them to one
    number per node, as `prune.choices`: dead is a choice as any other. Windows are drawn with replacement
    from a generator of its own with `seed`. A choice that looks at none of it is stable by construction.
    """
    generator = np.random.default_rng(seed)
    count = len(windows)
    full = np.asarray(choose(windows.mean(axis=0)))
    same = np.zeros(full.shape)
    for _ in range(resamples):
        drawn = generator.integers(count, size=count)
        same += np.asarray(choose(windows[drawn].mean(axis=0))) == full
    return same / resamples


def structure(genotype: Genotype) -> Structure:
    """Star share, mean depth and identity share of a cell."""
    graph = genotype.graph()
    depths, operations = graph.depths(), [edge.operation for edge in graph.operations()]
    return Structure(
        _mean([depth == 1 for depth in depths]),
        _mean(depths),
        _mean([operation == "identity" for operation in operations]),
    )


def _mean(values: Sequence[float]) -> float:
    """Their mean; NaN of none, as in a space whose cells have no such part."""
    return sum(values) / len(values) if values else math.nan


def gain(unigram_nats: float, supernet_nats: float) -> float:
    """1 - supernet / unigram: the share of the word-frequency loss that the supernet has removed."""
    return 1.0 - supernet_nats / unigram_nats


def pull_ratio(gradient_rms: np.ndarray, l1_pull: np.ndarray) -> np.ndarray:
    """L1 pull (lambda_w / T) omega over the rms of the data gradient on w, elementwise; 0 / 0 is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(l1_pull, dtype=np.float64) / np.asarray(gradient_rms, dtype=np.float64)


def oracle_correlations(context: Context) -> dict[str, float]:
    """Spearman of every score that the context allows with its one-shot oracle."""
    truth = SCORES["oracle"](context)
    names = [name for name in SCORES if name != "oracle"]
    if context.gradient is None:
        names.remove("taylor")
    return {name: spearman(SCORES[name](context), truth) for name in names}


@dataclasses.dataclass(frozen=True)
class Health:
    """The numbers of one search that tell signal from noise; NaN = not measured.

    Losses in nats per token; `pull_ratio` and `travel` are medians over the scalars; `choice_stability` is
    per node.
    """

    unigram_nats: float = math.nan
    train_nats: float = math.nan
    valid_nats: float = math.nan
    pull_ratio: float = math.nan
    travel: float = math.nan
    h_reliability: float = math.nan
    choice_stability: tuple[float, ...] = ()
    star_share: float = math.nan
    mean_depth: float = math.nan
    identity_share: float = math.nan
    oracle_correlations: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def gain(self) -> float:
        """The gain over word frequencies on validation text."""
        return gain(self.unigram_nats, self.valid_nats)

    @property
    def stability(self) -> float:
        """Mean of `choice_stability` over the nodes."""
        return float(np.mean(self.choice_stability)) if self.choice_stability else math.nan

    @property
    def warnings(self) -> list[str]:
        """One plain sentence for each number that says: do not trust this cell. NaN warns of nothing."""
        checks = [
            (
                math.isfinite(self.unigram_nats) and not math.isfinite(self.valid_nats),
                "The validation loss of the supernet is not finite: do not trust this search.",
            ),
            (
                self.gain < LEAST_GAIN,
                f"The supernet gains {self.gain:.1%} over word frequencies, too little to rank operations.",
            ),
            (
                self.pull_ratio >= BALANCE,
                f"L1 pulls w {self.pull_ratio:.3g} times as hard as the data: all scalars shrink together "
                "and nothing is selected.",
            ),
            (
                self.pull_ratio <= 1.0 / BALANCE,
                f"L1 pulls w only {self.pull_ratio:.3g} times as hard as the data: nothing is selected.",
            ),
            (
                self.travel < LEAST_TRAVEL,
                f"L1 alone moved a scalar by {self.travel:.2g}: raise ScalarOptions.lr or lambda_w.",
            ),
            (
                self.h_reliability < LEAST_RELIABILITY,
                f"The rank correlation of h between two halves of the windows is {self.h_reliability:.2f} "
                f"(less than {LEAST_RELIABILITY}): use more windows or probes.",
            ),
            (
                self.stability < LEAST_STABILITY,
                f"With other windows only {self.stability:.0%} of the nodes keep their input and operation.",
            ),
            (self.star_share == 1.0, "Every node takes its input from node 0: the cell is a star."),
            (
                self.identity_share >= MOST_IDENTITY,
                f"{self.identity_share:.0%} of the nodes apply the identity.",
            ),
        ]
        return [sentence for applies, sentence in checks if applies]

    def to_dict(self) -> dict[str, Any]:
        """All of it, gain, stability and warnings, as JSON for summary.json; None where not finite."""
        values = dataclasses.asdict(self)
        values.update(gain=self.gain, stability=self.stability, warnings=self.warnings)
        return _finite(values)


def switch_warnings(switches: dict[str, dict[str, Any]], pulls: dict[str, float]) -> list[str]:
    """Of the kept switches those that the objective of the search would rather be without.

    Args:
      switches: of each `w`, `saliency` (nats per token that a removal costs) and whether it is `kept`.
      pulls: the L1 pull on each, nats per token: times `w` it is what a removal gains.
    """
    names = [
        name
        for name, switch in switches.items()
        if switch["kept"] and pulls[name] * abs(switch["w"]) > switch["saliency"]
    ]
    if not names:
        return []
    return [
        f"L1 had not the time to remove what costs less than it gains: {', '.join(names)}. "
        "Raise SwitchOptions.lambda_w or SwitchOptions.lr."
    ]


def _finite(value: Any) -> Any:
    """The value for JSON: tuples as lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_finite(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
