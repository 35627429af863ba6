"""AUC, equal error rate and ROC points of all pairs, against scikit-learn, scipy, enumeration and by hand."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from eval.metrics.roc import RocCounts, auc, det_points, eer, roc_counts
from eval.metrics.scores import CrossScores, TableScores, VectorScores
from s2f.errors import UsageError


def small_case(random: np.random.Generator, grid: int) -> tuple[CrossScores, np.ndarray]:
    """2 to 6 people with 1 to 4 samples a side, scores on a grid of some values, in no order."""
    people = int(random.integers(2, 7))
    sides = [random.permutation(np.repeat(np.arange(people), random.integers(1, 5, people))) for _ in range(2)]
    table = random.integers(-grid, grid + 1, (len(sides[0]), len(sides[1]))) / 8
    return CrossScores(TableScores(table), *sides, people), table


def enumerated(cross: CrossScores, table: np.ndarray, cells: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of the pairs that count, one by one."""
    cells = np.zeros(cross.people, int) if cells is None else cells
    found = [
        (a == b, table[i, j])
        for i, a in enumerate(cross.probe_identity)
        for j, b in enumerate(cross.candidate_identity)
        if cells[a] >= 0 and cells[a] == cells[b]
    ]
    labels, scores = zip(*found, strict=True)
    return np.array(labels), np.array(scores)


def equal_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """EER as speaker verification code finds it: brentq on scikit-learn's ROC curve, straight between its points."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return brentq(lambda rate: 1 - rate - interp1d(fpr, tpr)(rate), 0, 1)


def of_scores(matched: list[float], others: list[float]) -> RocCounts:
    """Counts of a list of scores of both kinds."""
    values = np.unique(matched + others)
    counts = [np.bincount(np.searchsorted(values, side), minlength=len(values)) for side in (matched, others)]
    return RocCounts(np.arange(len(values)), *counts, lambda key: float(values[int(key)]))


def test_auc_and_eer_of_200_small_cases_with_ties():
    random, tied = np.random.default_rng(0), 0
    for number in range(200):
        cross, table = small_case(random, 2 if number % 2 else 50)
        labels, scores = enumerated(cross, table)
        counts = roc_counts(cross)
        tied += len(np.intersect1d(scores[labels], scores[~labels])) > 0
        assert counts.pairs == (labels.sum(), (~labels).sum())
        assert auc(counts) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert eer(counts).rate == pytest.approx(equal_error(labels, scores), abs=1e-9)
    assert 100 <= tied < 200


def test_six_pairs_by_hand():
    # matched 1, 3, 3; non-matched 0, 2, 3: wins 1 + (2 + 1/2) + (2 + 1/2) of 9
    counts = of_scores([1, 3, 3], [0, 2, 3])
    assert auc(counts) == pytest.approx(6 / 9)
    # accepting 3: FPR 1/3, FNR 1/3
    assert eer(counts) == (pytest.approx(1 / 3), 2.0, 2, 1.0)
    # matched 1, 2, 2; non-matched 0, 0, 2: accepting 2 gives (FPR, FNR) = (1/3, 1/3)
    assert eer(of_scores([1, 2, 2], [0, 0, 2])).rate == pytest.approx(1 / 3)
    # matched 1, 1, 2; non-matched 0, 1, 1: from (0, 2/3) to (2/3, 0), the diagonal is met in the middle of score 1
    assert eer(of_scores([1, 1, 2], [0, 1, 1])) == (pytest.approx(1 / 3), 1.0, 1, 0.5)
    # matched 2, 2, 2, 0; non-matched 0: from (0, 1/4) to (1, 0), x = (1 - x)/4
    assert eer(of_scores([2, 2, 2, 0], [0])) == (pytest.approx(1 / 5), 0.0, 0, pytest.approx(4 / 5))


def test_the_threshold_makes_both_rates_equal():
    random = np.random.default_rng(5)
    cross, table = small_case(random, 1)
    labels, scores = enumerated(cross, table)
    found = eer(roc_counts(cross))
    rejected = (scores < found.threshold) + found.rejected * (scores == found.threshold)
    assert found.threshold == cross.scores.value(found.key)
    assert rejected[labels].mean() == pytest.approx(found.rate)
    assert 1 - rejected[~labels].mean() == pytest.approx(found.rate)


def test_the_other_convention_is_near_only_without_ties():
    random = np.random.default_rng(1)

    def nearest_point(matched, others):  # CMPC: false positive rate where the two rates differ least
        labels = np.arange(len(matched) + len(others)) < len(matched)
        fpr, tpr, _ = roc_curve(labels, [*matched, *others], drop_intermediate=False)
        return fpr[np.argmin(abs(1 - tpr - fpr))]

    matched, others = random.normal(1, 1, 3000).tolist(), random.normal(0, 1, 3000).tolist()
    assert eer(of_scores(matched, others)).rate == pytest.approx(nearest_point(matched, others), abs=1 / 3000)
    assert nearest_point([2, 2, 2, 0], [0]) == 0
    assert eer(of_scores([2, 2, 2, 0], [0])).rate == pytest.approx(1 / 5)


def test_extreme_scores():
    equal, best, worst = of_scores([1, 1], [1, 1, 1]), of_scores([3, 2], [1, 0]), of_scores([1, 0], [3, 2])
    assert (auc(equal), eer(equal).rate) == (0.5, 0.5)
    assert (auc(best), eer(best).rate) == (1.0, 0.0)
    assert (auc(worst), eer(worst).rate) == (0.0, 1.0)
    for counts in (equal, best, worst):
        fpr, fnr = det_points(counts)
        assert (fpr[0], fnr[0], fpr[-1], fnr[-1]) == (0, 1, 1, 0)


def test_reversed_scores():
    cross, table = small_case(np.random.default_rng(3), 4)
    turned = CrossScores(TableScores(-table), cross.probe_identity, cross.candidate_identity, cross.people)
    one, other = roc_counts(cross), roc_counts(turned)
    assert auc(other) == pytest.approx(1 - auc(one), abs=1e-15)
    assert eer(other).rate == pytest.approx(1 - eer(one).rate, abs=1e-15)
    assert auc(one) != 0.5


def test_more_pairs_of_pairs_than_64_bits():
    # 2·m·n is 1.6e20, beyond 2**63
    many = 10**10 // 4
    counts = RocCounts(np.arange(3), np.array([many, 0, 3 * many]), np.array([2 * many, many, many]), float)
    # matched at 0 ties with half of the others, matched at 2 is above 3/4 and ties with 1/4
    assert auc(counts) == 0.25 * 0.25 + 0.75 * (0.75 + 0.125)
    assert eer(counts).rate == pytest.approx(0.25)


@pytest.mark.parametrize("metric", ["cosine", "l1"])
def test_many_blocks_are_one(monkeypatch: pytest.MonkeyPatch, metric):
    random = np.random.default_rng(2)
    voices, faces = random.normal(size=(300, 3)), random.normal(size=(90, 3))
    sides = random.permutation(np.arange(300) % 8), random.permutation(np.arange(90) % 8)
    cross = CrossScores(VectorScores(voices, faces, metric), *sides, 8)
    whole = roc_counts(cross)
    monkeypatch.setattr("eval.metrics.scores.COLUMNS", 7)
    listed = roc_counts(cross)
    monkeypatch.setattr("eval.metrics.roc.LISTED", 26999)
    tabled = roc_counts(cross)
    assert whole.pairs == (300 * 90 - whole.pairs[1], (sides[0][:, None] != sides[1]).sum())
    for parts in (listed, tabled):
        np.testing.assert_array_equal(whole.keys, parts.keys)
        np.testing.assert_array_equal(whole.matched, parts.matched)
        np.testing.assert_array_equal(whole.non_matched, parts.non_matched)
    exact = voices @ faces.T / np.linalg.norm(voices, axis=1)[:, None] / np.linalg.norm(faces, axis=1)
    exact = exact if metric == "cosine" else -abs(voices[:, None] - faces).sum(2)
    assert auc(whole) == pytest.approx(roc_auc_score(*enumerated(cross, exact)), abs=1e-6)
    assert whole.value(whole.keys[0]) == pytest.approx(exact.min(), abs=1e-5)


def test_cells_restrict_who_is_compared(monkeypatch: pytest.MonkeyPatch):
    random, checked = np.random.default_rng(4), 0
    monkeypatch.setattr("eval.metrics.scores.COLUMNS", 5)
    for number in range(40):
        monkeypatch.setattr("eval.metrics.roc.LISTED", 10**6 * (number % 2))
        cross, table = small_case(random, 3)
        cells = random.integers(-1, 3, cross.people)
        counts = roc_counts(cross, cells)
        if 0 in counts.pairs:
            continue
        labels, scores = enumerated(cross, table, cells)
        assert counts.pairs == (labels.sum(), (~labels).sum())
        assert auc(counts) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        checked += counts.pairs[1] < (cross.probe_identity[:, None] != cross.candidate_identity).sum()
    assert checked > 10


def test_points_are_exact_and_lose_no_corner():
    random = np.random.default_rng(6)
    few = of_scores([1, 3, 3], [0, 2, 3])
    np.testing.assert_allclose(det_points(few), ([0, 1 / 3, 2 / 3, 2 / 3, 1], [1, 1 / 3, 1 / 3, 0, 0]))
    matched = np.concatenate([random.normal(2, 1, 4000), np.full(1500, 0.7)])
    counts = of_scores(matched.tolist(), random.normal(0, 1, 30000).tolist())
    labels = np.arange(35500) < 5500
    values = np.array([counts.value(key) for key in range(len(counts.matched))])
    scores = np.concatenate([np.repeat(values, counts.matched), np.repeat(values, counts.non_matched)])
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    x, y = det_points(counts, 400)
    assert 250 < len(x) <= 401
    places = np.searchsorted(fpr + tpr, x + 1 - y - 1e-9)
    np.testing.assert_allclose([x, y], [fpr[places], 1 - tpr[places]], atol=1e-12)
    assert (places[0], places[-1]) == (0, len(fpr) - 1)
    skipped = np.diff(places) > 1
    assert np.maximum(np.diff(x), -np.diff(y))[skipped].max() < 1 / 48  # the jump of 3/11 is a step of its own
    assert np.diff(y).min() < -3 / 11
    assert ((x > 0) & (x < 0.001)).sum() > 10
    assert np.trapezoid(1 - y, x) == pytest.approx(auc(counts), abs=1e-4)


def test_bad_input():
    cross, _ = small_case(np.random.default_rng(0), 3)
    with pytest.raises(UsageError, match="a cell for each of"):
        roc_counts(cross, np.zeros(cross.people + 1, int))
    for cells in (np.arange(cross.people), np.full(cross.people, -1)):
        counts = roc_counts(cross, cells)
        for measure in (auc, eer, det_points):
            with pytest.raises(UsageError, match="matched and non-matched pairs"):
                measure(counts)
    with pytest.raises(UsageError, match="at least 16 points"):
        det_points(roc_counts(cross), 15)
