"""When to begin averaging, and when to stop: pure functions of the validation losses so far.

A loss that is not finite counts as worse than any other: compared as it is, NaN would switch both rules off.
"""

import math
from collections.abc import Sequence


def _ordered(losses: Sequence[float]) -> list[float]:
    """The losses with infinity for what is not finite."""
    return [loss if math.isfinite(loss) else math.inf for loss in losses]


def non_monotone(losses: Sequence[float], nonmono: int = 5) -> bool:
    """Whether the newest loss is worse than the best of all but the `nonmono` before it.

    The trigger of NT-ASGD (Merity et al. 2018, algorithm 1), with the losses of one epoch each and counted
    as DARTS does: `losses[-1]` is new, and with at most `nonmono` before it nothing triggers.
    """
    *earlier, newest = _ordered(losses)
    return len(earlier) > nonmono and newest > min(earlier[: len(earlier) - nonmono])


def epochs_since_best(losses: Sequence[float]) -> int:
    """Epochs after the (first) best one."""
    return len(losses) - 1 - min(range(len(losses)), key=_ordered(losses).__getitem__)
