"""Redrawn people against tables of the redrawn people themselves; whether intervals hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics import bootstrap
from eval.metrics.bootstrap import bootstrap_accuracy, redrawn_accuracy, size_curve, subset_accuracies
from eval.metrics.intervals import binomial_interval, cluster_draws
from eval.metrics.two_way import WEIGHTINGS, WinTable, accuracy
from s2f.errors import UsageError

BOTH = [(weighting, negatives) for weighting in WEIGHTINGS for negatives in WEIGHTINGS]


def table(people: int) -> WinTable:
    random = np.random.default_rng(people)
    wins = random.random((people, people))
    np.fill_diagonal(wins, 0)
    return WinTable(wins, random.integers(1, 6, people), random.integers(1, 6, people))


def part(whole: WinTable, rows) -> WinTable:
    return WinTable(whole.wins[np.ix_(rows, rows)], whole.probes[rows], whole.candidates[rows])


def by_triplets(whole: WinTable, weighting, negatives, allowed) -> float:
    """Accuracy by its definition, pair by pair."""
    won = total = 0.0
    for a, probes in enumerate(whole.probes):
        others = [b for b in range(len(whole.wins)) if b != a and allowed[a, b]]
        if others:
            share = [whole.candidates[b] if negatives == "samples" else 1 for b in others]
            weight = probes if weighting == "samples" else 1
            won += weight * np.average([whole.wins[a, b] for b in others], weights=share)
            total += weight
    return won / total if total else np.nan


def test_clusters_are_drawn_whole():
    units = np.array([7, 3, 7, 5])
    draws = cluster_draws(units, 3000, seed=1)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, [0, 1, 3]].sum(1) == 3).all()
    np.testing.assert_allclose(draws.mean(0), 1, atol=0.06)
    assert draws[:, 1].var() == pytest.approx(2 / 3, abs=0.06)  # multinomial: 3 * 1/3 * 2/3
    np.testing.assert_array_equal(draws, cluster_draws(units, 3000, seed=1))
    assert (draws != cluster_draws(units, 3000, seed=2)).any()


@pytest.mark.parametrize(("weighting", "negatives"), BOTH)
def test_a_redrawn_accuracy_is_that_of_copied_people_who_never_meet(weighting, negatives):
    whole, cells = table(7), np.array([0, 0, 0, 1, 1, 2, -1])
    allowed = (cells[:, None] == cells) & (cells >= 0)
    draws = np.random.default_rng(1).integers(0, 4, (30, 7)).astype(float)
    draws[0] = [0, 0, 2, 0, 1, 1, 1]  # nobody has a negative
    found = redrawn_accuracy(whole, weighting, negatives, allowed, draws)
    assert np.isnan(found[0])
    assert np.isfinite(found).sum() > 20
    for value, counts in zip(found[1:], draws[1:].astype(int), strict=True):
        copies = np.repeat(np.arange(7), counts)
        meet = allowed[np.ix_(copies, copies)] & (copies[:, None] != copies)
        assert value == pytest.approx(
            by_triplets(part(whole, copies), weighting, negatives, meet), abs=1e-12, nan_ok=True
        )


def test_blocks_of_draws_change_nothing(monkeypatch):
    whole, draws = table(9), cluster_draws(np.arange(9), 50)
    together = redrawn_accuracy(whole, "samples", "samples", None, draws)
    seen = []
    monkeypatch.setattr(bootstrap, "BLOCK", 9 * 7)
    monkeypatch.setattr(bootstrap, "accuracy", lambda *given: seen.append(len(given[4])) or accuracy(*given))
    np.testing.assert_allclose(redrawn_accuracy(whole, "samples", "samples", None, draws), together, rtol=1e-12)
    assert seen == [7] * 7 + [1]


def test_bootstrap_interval_is_made_of_redrawn_accuracies():
    whole, units = table(8), np.array([0, 0, 1, 2, 2, 3, 4, 5])
    allowed = np.ones((8, 8), bool)
    allowed[:2] = allowed[:, :2] = False
    found = bootstrap_accuracy(whole, "identities", "samples", allowed, units, draws=200, seed=3)
    values = accuracy(whole, "identities", "samples", allowed, cluster_draws(units, 200, 3))
    assert found == pytest.approx(tuple(np.nanpercentile(values, [2.5, 97.5])))


@pytest.mark.parametrize(("weighting", "negatives"), BOTH)
def test_subsets_are_recomputed_on_sub_tables(weighting, negatives, monkeypatch):
    whole, drawn = table(10), []
    real = bootstrap.redrawn_accuracy
    monkeypatch.setattr(bootstrap, "redrawn_accuracy", lambda *given: drawn.append(given[4]) or real(*given))
    allowed = np.random.default_rng(2).random((10, 10)) < 0.7
    found = subset_accuracies(whole, weighting, negatives, allowed, 4, repeats=12)
    assert (drawn[0].sum(1) == 4).all()
    assert len(np.unique(drawn[0], axis=0)) > 6
    for value, draw in zip(found, drawn[0], strict=True):
        rows = np.flatnonzero(draw)
        meet = allowed[np.ix_(rows, rows)]
        assert value == pytest.approx(by_triplets(part(whole, rows), weighting, negatives, meet), abs=1e-12)


def test_a_subset_of_all_is_the_whole():
    whole = table(6)
    exact = accuracy(whole, "samples", "identities")[0]
    np.testing.assert_allclose(subset_accuracies(whole, "samples", "identities", None, 6, 3), exact, rtol=1e-12)
    for size in (1, 7):
        with pytest.raises(UsageError, match="2 to 6 people"):
            subset_accuracies(whole, "samples", "identities", None, size)


def test_the_mean_over_all_subsets_is_the_accuracy_and_the_curve_narrows():
    whole = table(40)
    curve = size_curve(whole, "identities", "identities", sizes=(5, 20, 40, 100), repeats=300)
    assert [point.size for point in curve] == [5, 20]
    exact = accuracy(whole, "identities", "identities")[0]
    for point in curve:
        assert (len(point.values), point.dropped) == (300, 0)
        test = stats.ttest_1samp(point.values, 0).confidence_interval()
        assert (point.mean, point.low, point.high) == pytest.approx((point.values.mean(), test.low, test.high))
        assert abs(point.mean - exact) < 2 * (point.high - point.low)
    assert curve[1].values.std() < 0.5 * curve[0].values.std()


def test_subsets_in_which_nobody_can_be_compared_are_counted():
    whole, cells = table(12), np.arange(12) // 2
    allowed = cells[:, None] == cells
    (point,) = size_curve(whole, "samples", "samples", allowed, sizes=(3,), repeats=40)
    values = subset_accuracies(whole, "samples", "samples", allowed, 3, 40)
    assert 0 < point.dropped == np.isnan(values).sum() < 39
    np.testing.assert_array_equal(point.values, values[np.isfinite(values)])
    assert size_curve(whole, "samples", "samples", np.eye(12, dtype=bool), sizes=(3,)) == []


def simulated(random, people: int, per_cluster: int) -> tuple[WinTable, np.ndarray]:
    """One sample each; who wins depends on both people of a pair, by effects that a cluster shares; 0.6 on average."""
    units = np.repeat(np.arange(people // per_cluster), per_cluster)
    strong, alike = (random.uniform(-1, 1, people // per_cluster)[units] for _ in range(2))
    wins = (random.random((people, people)) < 0.6 + 0.22 * strong[:, None] - 0.15 * alike).astype(float)
    np.fill_diagonal(wins, 0)
    ones = np.ones(people, np.int64)
    return WinTable(wins, ones, ones), units


@pytest.mark.slow
def test_only_intervals_over_clusters_cover_the_truth():
    random, held = np.random.default_rng(5), np.zeros((300, 3), bool)
    for number in range(len(held)):
        independent, units = simulated(random, 60, 1)
        low, high = bootstrap_accuracy(independent, "identities", "identities", None, units, draws=200, seed=number)
        few_low, few_high = binomial_interval(accuracy(independent, "identities", "identities")[0], 10_000, u=1.96)
        clustered, units = simulated(random, 60, 3)
        c_low, c_high = bootstrap_accuracy(clustered, "identities", "identities", None, units, draws=200, seed=number)
        held[number] = [low <= 0.6 <= high, few_low <= 0.6 <= few_high, c_low <= 0.6 <= c_high]
    people, binomial, whole_clusters = held.mean(0)
    assert 0.88 < people < 0.99
    assert binomial < 0.6
    assert 0.88 < whole_clusters < 0.99


def test_counting_people_of_one_speaker_as_independent_is_too_narrow():
    whole, units = simulated(np.random.default_rng(6), 60, 6)
    low, high = bootstrap_accuracy(whole, "identities", "identities", None, units)
    narrow = bootstrap_accuracy(whole, "identities", "identities", None, np.arange(60))
    assert high - low > 1.4 * (narrow[1] - narrow[0])
