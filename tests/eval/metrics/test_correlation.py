"""Pearson's r, its interval and its controls, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics.correlation import (
    correlation,
    correlation_rows,
    is_constant,
    shuffled_correlations,
    standardised,
    weighted_correlations,
    without_cell_means,
)
from eval.metrics.intervals import cluster_draws, interval

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(5, 2, 200)
B = 0.5 * A + RANDOM.normal(0, 2, 200)


def test_perfect_anti_and_constant():
    assert correlation(A, 3 * A + 1).r == pytest.approx(1)
    assert correlation(A, -A).r == pytest.approx(-1)
    assert correlation(A, np.full(200, 0.1)) == (0.0, -1.0, 1.0, 1.0)
    assert correlation(np.full(200, 0.1), A) == (0.0, -1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least 4"):
        correlation(A[:3], B[:3])


def test_r_p_and_interval_by_their_formulas():
    found = correlation(A, B)
    r = np.corrcoef(A, B)[0, 1]
    t = r * np.sqrt(198 / (1 - r**2))
    half = stats.norm.ppf(0.975) / np.sqrt(197)
    assert found.r == pytest.approx(r)
    assert found.p == pytest.approx(2 * stats.t.sf(t, 198), rel=1e-6)
    assert (found.low, found.high) == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))


def test_constant_up_to_rounding():
    assert is_constant(np.zeros(5))
    assert is_constant(np.full(5, 1e6) + 1e-5 * RANDOM.random(5))
    assert not is_constant(np.array([1e-3, 2e-3]))
    values = np.stack([A, np.full(200, 0.1)], axis=1)
    np.testing.assert_allclose(standardised(values)[:, 0], stats.zscore(A))
    assert (standardised(values)[:, 1] == 0).all()


def test_shuffled_control_is_at_chance_and_moves_columns_together():
    both = np.stack([A, A, np.ones(200)], axis=1)
    control = shuffled_correlations(both, np.stack([A, -A, A], axis=1))
    assert control.shape == (1000, 3)
    assert abs(control[:, 0].mean()) < 0.01
    assert control[:, 0].std() == pytest.approx(1 / np.sqrt(199), rel=0.1)
    np.testing.assert_allclose(control[:, 0], -control[:, 1])
    assert (control[:, 2] == 0).all()
    order = np.random.default_rng(4).permutation(200)
    expected = stats.pearsonr(A[order], B).statistic
    assert shuffled_correlations(A[:, None], B[:, None], shuffles=1, seed=4)[0, 0] == pytest.approx(expected)


def test_cell_means_by_hand():
    values = np.array([[1.0, 10], [3, 10], [5, 7]])
    result = without_cell_means(values, np.array(["x", "x", "y"]))
    np.testing.assert_allclose(result, [[-1, 0], [1, 0], [0, 0]])


def test_weights_draw_whole_speakers():
    speakers = np.array(["b", "a", "b", "c"])
    weights = cluster_draws(speakers, draws=4000)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.1)


def test_weighted_correlation_is_that_of_repeated_people():
    weights = RANDOM.integers(0, 3, (5, 200)).astype(float)
    columns = np.stack([A, np.ones(200)], axis=1)
    result = weighted_correlations(columns, np.stack([B, B], axis=1), weights)
    for row, counts in zip(result, weights.astype(int), strict=True):
        assert row[0] == pytest.approx(stats.pearsonr(np.repeat(A, counts), np.repeat(B, counts)).statistic)
    assert (result[:, 1] == 0).all()


def test_bootstrap_over_speakers_matches_fisher_only_for_independent_people():
    alone = weighted_correlations(A[:, None], B[:, None], cluster_draws(np.arange(200)))[:, 0]
    found = correlation(A, B)
    assert interval(alone) == pytest.approx([found.low, found.high], abs=0.05)
    clones = np.repeat(np.arange(20), 10)
    few = weighted_correlations(A[clones][:, None], B[clones][:, None], cluster_draws(clones))[:, 0]
    wide, narrow = interval(few), correlation(A[clones], B[clones])
    assert wide[1] - wide[0] > 2 * (narrow.high - narrow.low)


def correlated(sign: float = 1.0):
    """200 people, two measures; the first is drawn as expected, the second has no expectation and is constant."""
    random = np.random.default_rng(1)
    hope = random.normal(3, 0.1, 200)
    is_male = np.arange(200) % 2 == 1
    true = np.exp(hope + random.normal(0, 0.1, 200) + 0.5 * is_male)
    drawn = {"wide": np.exp(sign * hope + 0.5 * is_male), "flat": np.ones(200)}
    drawn["wide"][:10] = np.nan
    groups = {"U": np.ones(200, dtype=bool), "f": ~is_male, "few": np.arange(200) > 196}
    truth = {"wide": true, "flat": random.random(200)}
    rows = correlation_rows(drawn, truth, {"wide": hope}, groups, is_male.astype(str), np.arange(200) % 50)
    return {(row.metric, row.params["measure"], row.group): row for row in rows}, drawn, truth, hope, is_male


def test_rows_by_group_and_what_was_planted():
    rows, drawn, truth, hope, is_male = correlated()
    assert {group for _, _, group in rows} == {"U", "f", "within"}
    assert {measure for metric, measure, _ in rows if metric == "pearson_r_expected"} == {"wide"}
    row, found = rows["pearson_r", "wide", "f"], ~is_male & (np.arange(200) >= 10)
    assert row.n == found.sum() == 95
    assert row.value == pytest.approx(stats.pearsonr(drawn["wide"][found], truth["wide"][found]).statistic)
    assert row.params["planted"] == pytest.approx(
        stats.pearsonr(np.log(truth["wide"][found]), hope[found]).statistic, abs=1e-3
    )
    low, mean, high = row.params["shuffled"]
    assert low < mean < high < row.value
    assert abs(mean) < 0.02
    assert rows["pearson_r_expected", "wide", "f"].value == pytest.approx(1)
    assert (rows["pearson_r", "flat", "U"].value, rows["pearson_r", "flat", "U"].ci_low) == (0, -1)
    assert "planted" not in rows["pearson_r", "flat", "U"].params


def test_within_takes_the_classes_out():
    rows, *_ = correlated()
    everybody, within = rows["pearson_r", "wide", "U"].value, rows["pearson_r", "wide", "within"].value
    assert everybody > 0.9
    assert 0.5 < within < 0.85
    assert within == pytest.approx(rows["pearson_r", "wide", "f"].value, abs=0.15)


def test_a_flipped_answer_is_seen():
    rows, *_ = correlated(-1.0)
    assert rows["pearson_r", "wide", "f"].value < -0.5
    assert rows["pearson_r_expected", "wide", "f"].value == pytest.approx(-1)
    assert rows["pearson_r", "wide", "f"].params["planted"] > 0.5
