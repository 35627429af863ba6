"""Intervals against the printed figures of a paper and against scipy."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics.intervals import binomial_interval, interval, percentile_interval, spread, t_interval
from s2f.errors import UsageError


def test_binomial_interval_is_the_one_that_trinet_prints():
    low, high = binomial_interval(0.81, 10_000)
    assert (round(100 * (0.81 - low), 2), round(100 * (high - 0.81), 2)) == (1.01, 1.01)
    assert stats.norm.cdf(2.576) - stats.norm.cdf(-2.576) == pytest.approx(0.99, abs=1e-4)


def test_binomial_interval_by_hand_and_clipped():
    assert binomial_interval(0.5, 4, u=1.0) == (0.25, 0.75)
    assert binomial_interval(0.1, 1) == (0.0, pytest.approx(0.1 + 2.576 * 0.3))
    assert binomial_interval(0.9, 1)[1] == 1.0
    assert binomial_interval(1.0, 5) == (1.0, 1.0)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_t_interval_is_that_of_the_one_sample_t_test(confidence: float):
    values = np.random.default_rng(0).normal(0.8, 0.02, 30)
    outside = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert t_interval(values, confidence) == pytest.approx((values.mean(), outside.low, outside.high), abs=1e-12)


def test_t_interval_of_equal_values_and_of_one():
    assert t_interval(np.array([0.5, 0.5])) == (0.5, 0.5, 0.5)
    with pytest.raises(UsageError, match="two or more results, got 1"):
        t_interval(np.array([0.5]))


def test_percentiles_drop_draws_without_a_value():
    values = np.arange(101.0)
    assert percentile_interval(values) == (2.5, 97.5)
    assert percentile_interval(np.append(values, [np.nan] * 40)) == (2.5, 97.5)
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()


def test_spread_and_interval_by_hand():
    draws = np.arange(101.0)
    assert interval(draws) == [2.5, 97.5]
    assert spread(draws) == [2.5, 50.0, 97.5]
    assert interval(np.array([1.0, np.nan, 1.0])) == [1.0, 1.0]
