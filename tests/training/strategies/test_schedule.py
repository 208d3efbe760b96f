"""Which training a window belongs to, and the rungs of successive halving."""

import numpy as np
import pytest

from bayesnas_tf.training.strategies.halving import rungs
from bayesnas_tf.training.strategies.halving.options import HalvingOptions
from bayesnas_tf.training.strategies.schedule import Schedule


def windows(schedule, totals):
    """How many windows each training has, with `totals` of them in the epochs; they come in order."""
    numbers = [
        schedule.number(epoch, done, total) for epoch, total in enumerate(totals) for done in range(total)
    ]
    assert numbers == sorted(numbers)
    return np.bincount(numbers, minlength=len(schedule.parts))


@pytest.mark.parametrize("cells", [1, 2, 3, 7])
@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("total", [7, 8, 23])
def test_equal_trainings_are_those_of_an_epoch_divided_among_its_cells(cells, epochs, total):
    schedule = Schedule((1,) * (cells * epochs), epochs)
    assert schedule.whole and schedule.fits(total)
    for epoch in range(epochs):
        assert schedule.ended(epoch + 1) == (epoch + 1) * cells
        for done in range(total):
            assert schedule.number(epoch, done, total) == epoch * cells + done * cells // total
            assert schedule.share(epoch, done, total) == (done * cells % total) / total


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_windows_are_divided_in_proportion_and_none_is_left_over(epochs):
    schedule = Schedule((1, 1, 2, 2, 2), epochs)
    totals = [40 + epoch % 2 for epoch in range(epochs)]  # lengths are drawn, so that epochs differ
    assert schedule.whole
    found = windows(schedule, totals)
    assert found.sum() == sum(totals)
    np.testing.assert_allclose(found, np.array(schedule.parts) * sum(totals) / 8, atol=1.0)


def test_the_share_that_lies_behind_rises_from_0_within_each_training():
    schedule = Schedule((3, 1, 4), 1)
    shares = {}
    for done in range(29):
        shares.setdefault(schedule.number(0, done, 29), []).append(schedule.share(0, done, 29))
    for number, rising in shares.items():
        step = schedule.ends[-1] / schedule.parts[number] / 29
        np.testing.assert_allclose(np.diff(rising), step)
        assert 0.0 <= rising[0] < step and 1.0 - step <= rising[-1] < 1.0


@pytest.mark.parametrize(
    ("parts", "epochs", "whole"),
    [((1, 1), 2, True), ((1, 1), 4, False), ((1, 1, 1), 2, False), ((1, 1, 2), 2, True), ((1, 3), 2, False)],
)
def test_an_epoch_may_not_end_within_a_training(parts, epochs, whole):
    assert Schedule(parts, epochs).whole == whole


@pytest.mark.parametrize("parts", [(1, 1, 1), (1, 1, 2), (5, 1, 1, 3)])
@pytest.mark.parametrize("total", range(1, 12))
def test_a_schedule_that_fits_gives_every_training_a_window(parts, total):
    schedule = Schedule(parts)
    if schedule.fits(total):
        assert windows(schedule, [total]).min() >= 1
    else:
        assert total < sum(parts) / min(parts)


@pytest.mark.parametrize(
    ("cells", "eta", "sizes"),
    [
        (16, 4, (16, 4)),
        (16, 2, (16, 8, 4, 2)),
        (27, 3, (27, 9, 3)),
        (10, 3, (10, 3)),
        (9, 4, (9, 2)),
        (7, 4, (7,)),  # one is left at once
        (2, 2, (2,)),
        (1, 2, (1,)),
    ],
)
def test_every_rung_has_one_of_eta_of_the_cells_before_until_one_is_left(cells, eta, sizes):
    assert rungs.sizes(cells, eta) == sizes
    assert HalvingOptions(cells, eta).sizes == sizes


@pytest.mark.parametrize(
    ("cells", "eta", "shares"), [(16, 4, ()), (16, 4, (1, 3)), (10, 3, (2, 5)), (24, 2, (1, 1, 2, 2))]
)
def test_a_rung_has_its_share_of_the_tokens_and_its_cells_equal_parts_of_that(cells, eta, shares):
    options = HalvingOptions(cells, eta, shares)
    schedule, sizes, start = options.schedule(1), options.sizes, 0
    weights = np.array(shares or (1,) * len(sizes))
    total = 20 * sum(schedule.parts)
    found = windows(schedule, [total])
    assert len(found) == sum(sizes)
    for count, weight in zip(sizes, weights, strict=True):
        of_rung = found[start : start + count]
        assert len(set(of_rung)) == 1
        assert of_rung.sum() == total * weight / weights.sum()
        start += count


def test_the_best_go_on_and_of_equal_ones_the_first():
    nats = np.array([[3.0, 3.0], [1.0, 2.0], [1.5, 1.5], [2.0, 1.0], [np.inf, np.inf]])
    assert rungs.best(nats, 1).tolist() == [1]
    assert rungs.best(nats, 2).tolist() == [1, 2]
    assert rungs.best(nats, 4).tolist() == [0, 1, 2, 3]
