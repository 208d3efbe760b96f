import numpy as np
import pytest

from bayesnas_tf.optim.trigger import epochs_since_best, non_monotone


def as_darts(losses, nonmono):
    """The epochs at which DARTS' training script would switch: the loss is appended after the test."""
    best, switches = [], []
    for epoch, loss in enumerate(losses):
        switches.append(len(best) > nonmono and loss > min(best[:-nonmono]))
        best.append(loss)
        assert len(best) == epoch + 1
    return switches


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nonmono", [1, 3, 5])
def test_it_triggers_where_darts_does(seed, nonmono):
    losses = list(np.random.default_rng(seed).normal(size=30) + np.linspace(3, 0, 30))
    found = [non_monotone(losses[: epoch + 1], nonmono) for epoch in range(len(losses))]
    assert found == as_darts(losses, nonmono)
    assert any(found)


def test_a_falling_loss_never_triggers():
    assert not any(non_monotone([1.0 / (k + 1) for k in range(n)], 5) for n in range(1, 40))


def test_with_nothing_left_out_any_rise_triggers():
    assert not non_monotone([3.0], 0)
    assert non_monotone([3.0, 3.1], 0)
    assert not non_monotone([3.0, 3.0], 0)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("odd", [NAN, INF])
def test_a_loss_that_is_not_finite_counts_as_the_worst(odd):
    # before it, the trigger works on; at it, it fires; after it, it is not switched off
    assert not non_monotone([odd, 3.0, 2.0, 1.0], 1)
    assert non_monotone([3.0, 2.0, odd], 1)
    assert non_monotone([odd, 2.0, 1.0, 1.5, 2.5], 1)
    assert non_monotone([2.0, odd, 1.5, 2.5], 1)
    # an improving run is not ended by an odd beginning, and an odd end is no best
    assert epochs_since_best([odd, 3.0, 2.0, 1.0]) == 0
    assert epochs_since_best([2.0, 1.0, odd, odd]) == 2
    assert epochs_since_best([odd, odd]) == 1


def test_the_first_of_equal_bests_counts():
    assert epochs_since_best([2.0]) == 0
    assert epochs_since_best([2.0, 1.0, 1.0, 1.5]) == 2
