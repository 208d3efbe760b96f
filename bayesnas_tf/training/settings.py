"""What gin may set about training: windows, weights and architecture scalars."""

import dataclasses
from typing import Literal, get_args

import gin

Gauge = Literal["none", "rms"]
Rule = Literal["asgd", "sgd", "adam"]
Compile = Literal["auto", "graph", "stages", "xla"]
Distribute = Literal["none", "mirrored", "multi_worker"]


def at_least(owner: object, minimum: float, *names: str) -> None:
    """Refuse a setting below its minimum, and NaN."""
    for name in names:
        if not getattr(owner, name) >= minimum:
            raise ValueError(
                f"{type(owner).__name__}.{name}={getattr(owner, name)} must be at least {minimum}"
            )


@gin.register
@dataclasses.dataclass(frozen=True)
class WindowOptions:
    """How a corpus becomes windows of batch rows and time steps."""

    batch_size: int = 64
    bptt: int = 35
    jitter: bool = True  # DARTS' random lengths
    bucket: int = 0  # pad lengths to multiples of this; 0: one graph for every length, or 10 under XLA

    def __post_init__(self):
        """Refuse values that give no window."""
        at_least(self, 1, "batch_size", "bptt")
        at_least(self, 0, "bucket")


@gin.register
@dataclasses.dataclass(frozen=True)
class WeightOptions:
    """Clipped SGD on the weights W."""

    lr: float = 10.0
    clip: float = 0.25  # joint norm of all gradients of W; 0: none
    weight_decay: float = 8e-7  # λ: a search adds λ‖W‖² to the loss (M5), `evaluate` λ W to the gradient
    temporal_activation: float = 0.0  # factor of mean (h_t - h_{t-1})²
    activation: float = 0.0  # factor of mean h_t², after dropout

    def __post_init__(self):
        """Refuse negative values."""
        at_least(self, 0.0, "lr", "clip", "weight_decay", "temporal_activation", "activation")


@gin.register
@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """What `evaluate` does with a gradient, and how its rate falls from epoch to epoch."""

    rule: Rule = "asgd"  # asgd: SGD whose iterates are averaged once AveragingOptions say so
    beta_1: float = 0.9  # of adam
    beta_2: float = 0.999
    epsilon: float = 1e-7
    lr_divisor: float = 1.0  # divides the rate once for each epoch after the first `full_rate_epochs`
    full_rate_epochs: int = 0

    def __post_init__(self):
        """Refuse values without meaning."""
        if self.rule not in get_args(Rule):
            raise ValueError(f"OptimizerOptions.rule={self.rule!r} must be one of {get_args(Rule)}")
        for name in ("beta_1", "beta_2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"OptimizerOptions.{name}={getattr(self, name)} must lie in [0, 1)")
        if not self.epsilon > 0.0:
            raise ValueError(f"OptimizerOptions.epsilon={self.epsilon} must be above 0")
        at_least(self, 1.0, "lr_divisor")
        at_least(self, 0, "full_rate_epochs")


@gin.register
@dataclasses.dataclass(frozen=True)
class AveragingOptions:
    """NT-ASGD: when averaging of the iterates begins, and whose form it has (Merity et al. 2018)."""

    nonmono: int = 5  # begins once a validation loss is worse than the best of all but the last so many
    after_epoch: int = 0  # > 0: begins after this epoch, whatever the losses; for budgets of a few epochs
    pytorch_compat: bool = False  # the step and the mean of `torch.optim.ASGD`, each one step late

    def __post_init__(self):
        """Refuse negative values."""
        at_least(self, 0, "nonmono", "after_epoch")


@gin.register
@dataclasses.dataclass(frozen=True)
class ScalarOptions:
    """Proximal SGD on the architecture scalars w, with its own rate and outside the clip (M5)."""

    lr: float = 1.0
    lambda_w: float = 0.17
    l1_per_token: bool = False  # True: λ_w against the mean loss; False: λ_w / bptt
    gauge: Gauge = "none"

    def __post_init__(self):
        """Refuse negative values and unknown gauges."""
        at_least(self, 0.0, "lr", "lambda_w")
        if self.gauge not in get_args(Gauge):
            raise ValueError(f"ScalarOptions.gauge={self.gauge!r} must be one of {get_args(Gauge)}")

    def l1(self, bptt: int) -> float:
        """The factor of Σ|ω w| beside the mean loss: λ_w / T, or λ_w itself."""
        return self.lambda_w if self.l1_per_token else self.lambda_w / bptt
