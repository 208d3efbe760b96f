"""When to begin averaging, and when to stop: pure functions of the validation losses so far."""

from collections.abc import Sequence


def non_monotone(losses: Sequence[float], nonmono: int = 5) -> bool:
    """Whether the newest loss is worse than the best of all but the `nonmono` before it.

    The trigger of NT-ASGD (Merity et al. 2018, algorithm 1), with the losses of one epoch each and counted
    as DARTS does: `losses[-1]` is new, and with at most `nonmono` before it nothing triggers.
    """
    *earlier, newest = losses
    return len(earlier) > nonmono and newest > min(earlier[: len(earlier) - nonmono])


def epochs_since_best(losses: Sequence[float]) -> int:
    """Epochs after the (first) best one."""
    return len(losses) - 1 - min(range(len(losses)), key=losses.__getitem__)
