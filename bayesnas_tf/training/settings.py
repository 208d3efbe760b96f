"""What gin may set about training: windows, weights and architecture scalars."""

import dataclasses
from typing import Annotated, Literal

import gin

from bayesnas_tf.options import Below1, NonNegative, Options, Positive, Range, Rows, Steps, Whole

Gauge = Literal["none", "rms"]
Rule = Literal["asgd", "sgd", "adam"]
Decay = Literal["constant", "linear"]
Compile = Literal["auto", "graph", "stages", "xla"]
Distribute = Literal["none", "mirrored", "multi_worker"]


@gin.register
@dataclasses.dataclass(frozen=True)
class WindowOptions(Options):
    """How a corpus becomes windows of batch rows and time steps."""

    batch_size: Rows = 64  # rows that are read side by side
    bptt: Steps = 35  # time steps of a window
    jitter: bool = True  # DARTS' random lengths
    bucket: Annotated[int, Range(0, 10_000)] = (
        0  # pad lengths to multiples of this; 0: one graph for every length, or 10 under XLA
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class WeightOptions(Options):
    """Clipped SGD on the weights W."""

    lr: NonNegative = 10.0  # of the weights W
    clip: NonNegative = 0.25  # joint norm of all gradients of W; 0: none
    weight_decay: NonNegative = (
        8e-7  # λ: a search adds λ‖W‖² to the loss (M5), `evaluate` λ W to the gradient
    )
    temporal_activation: NonNegative = 0.0  # factor of mean (h_t - h_{t-1})²
    activation: NonNegative = 0.0  # factor of mean h_t², after dropout


@gin.register
@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Options):
    """What is done with a gradient of W, and how the learning rate falls.

    `evaluate` takes ASGD by default, a search the SGD of (M5); a search knows no ASGD.
    """

    rule: Rule = "asgd"  # asgd: SGD whose iterates are averaged once AveragingOptions say so
    beta_1: Below1 = 0.9  # of adam
    beta_2: Below1 = 0.999  # of adam
    epsilon: Positive = 1e-7  # of adam
    lr_divisor: Annotated[float, Range(1.0)] = (
        1.0  # divides the rate once for each epoch after the first `full_rate_epochs`
    )
    full_rate_epochs: Whole = 0  # epochs before `lr_divisor` begins
    decay: Decay = "constant"  # linear: besides, the rate falls to 0 over all windows of a training


@gin.register
@dataclasses.dataclass(frozen=True)
class AveragingOptions(Options):
    """NT-ASGD: when averaging of the iterates begins, and whose form it has (Merity et al. 2018)."""

    nonmono: Whole = 5  # begins once a validation loss is worse than the best of all but the last so many
    after_epoch: Whole = 0  # > 0: begins after this epoch, whatever the losses; for budgets of a few epochs
    pytorch_compat: bool = False  # the step and the mean of `torch.optim.ASGD`, each one step late


@gin.register
@dataclasses.dataclass(frozen=True)
class ScalarOptions(Options):
    """Proximal SGD on the architecture scalars w, with its own rate and outside the clip (M5)."""

    lr: NonNegative = 1.0  # of the scalars
    lambda_w: NonNegative = 0.17  # λ_w: strength of L1, and a divisor in κ
    l1_per_token: bool = False  # True: λ_w against the mean loss; False: λ_w / bptt
    gauge: Gauge = "none"  # rms: scales the scalars into each node to root mean square 1 after every step
    cost_share: Below1 = 0.0  # of λ, the switches' too, in proportion to the parameters that an entry costs

    def l1(self, bptt: int) -> float:
        """The factor of Σ|ω w| beside the mean loss: λ_w / T, or λ_w itself."""
        return self.per_window(self.lambda_w, bptt)

    def per_window(self, lambda_w: float, bptt: int) -> float:
        """What a λ comes to beside the mean loss."""
        return lambda_w if self.l1_per_token else lambda_w / bptt


@gin.register
@dataclasses.dataclass(frozen=True)
class SwitchOptions(Options):
    """Proximal SGD on the switches of a space that has some, as `ScalarOptions` on the edge operations.

    A switch moves every unit at every step: its gradient and curvature are far larger than an operation's.
    """

    lr: NonNegative = 1.0  # of the switches
    lambda_w: NonNegative = 0.17  # its unit is that of `ScalarOptions.lambda_w`
    warm_up: Below1 = 0.5  # share of the first epoch's steps in which switches stay at 1
