"""Means, intervals, tests and their correction, against SciPy's and against worked examples."""

import math

import numpy as np
import pytest
from scipy import stats

from bayesnas_tf.report import statistics

GENERATOR = np.random.default_rng(3)
SAMPLES = [GENERATOR.normal(120, 2, size) for size in (2, 3, 5, 20)]


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_paired_is_the_t_test_of_one_sample(values):
    found = statistics.paired(list(values - 119.0))
    expected = stats.ttest_1samp(values - 119.0, 0.0)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found[:4], [np.mean(values - 119.0), low, high, expected.pvalue], rtol=1e-9)
    assert found.n == (len(values),)


@pytest.mark.parametrize("a", SAMPLES, ids=len)
@pytest.mark.parametrize("b", SAMPLES, ids=len)
def test_welch_is_the_t_test_of_unequal_variances(a, b):
    if a is b:
        b = b + 0.5
    found, expected = statistics.welch(list(a), list(b)), stats.ttest_ind(a, b, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found[:4], [np.mean(a) - np.mean(b), low, high, expected.pvalue], rtol=1e-9)


def test_too_few_values_or_no_spread_allow_no_test():
    assert statistics.paired([]) is None
    assert statistics.paired([1.0]) is None
    assert statistics.paired([1.0, 1.0, 1.0]) is None
    assert statistics.welch([1.0, 2.0], [3.0]) is None
    assert statistics.welch([1.0, 1.0], [2.0, 2.0]) is None


def test_what_is_not_finite_is_counted_and_not_averaged():
    found = statistics.sample([1.0, math.nan, 3.0, math.inf])
    assert found == (2.0, pytest.approx(math.sqrt(2)), 2, 2)
    one = statistics.sample([5.0])
    assert (one.mean, one.n) == (5.0, 1)
    assert math.isnan(one.sd)
    assert math.isnan(statistics.sample([]).mean)


def test_holm_of_a_worked_example():
    # ordered .005 .01 .03 .04: times 4, 3, 2, 1, never falling
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_holm_keeps_the_error_of_many_true_hypotheses_below_its_level():
    draws = np.random.default_rng(0).uniform(size=(2000, 10))
    wrong = np.mean([min(statistics.holm(list(row))) < 0.05 for row in draws])
    assert wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)  # three standard errors of a share
