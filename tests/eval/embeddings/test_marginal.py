"""Marginal accuracy against an enumeration of all triplets of small score tables."""

from itertools import product

import numpy as np
import pytest

from eval.embeddings.marginal import best_and_worst, marginal_accuracy
from eval.metrics.scores import CrossScores, TableScores
from eval.metrics.two_way import WEIGHTINGS, WinTable, accuracy, win_table

NAMES = ("a", "b", "c", "d", "e")


def small_case(random):
    """Five people, one to three samples each, scores with many ties, and who may meet whom."""
    probe, candidate = (np.repeat(np.arange(5), random.integers(1, 4, 5)) for _ in range(2))
    probe = random.permutation(probe)
    scores = random.integers(0, 4, (len(probe), len(candidate))).astype(float)
    allowed = random.random((5, 5)) < 0.75
    return scores, probe, candidate, allowed


def enumerated(scores, probe, candidate, allowed, weighting, negatives) -> list[float]:
    """Every triplet with its weight in the protocol, credited to the people of its positive and its negative."""
    won, total = np.zeros(5), np.zeros(5)
    for p, who in enumerate(probe):
        own = np.flatnonzero(candidate == who)
        rivals = [g for g, other in enumerate(candidate) if other != who and allowed[who, other]]
        people = {candidate[g] for g in rivals}
        weight = 1.0 if weighting == "samples" else 1 / (probe == who).sum()
        for positive, negative in product(own, rivals):
            other = candidate[negative]
            share = 1 / len(rivals) if negatives == "samples" else 1 / len(people) / (candidate == other).sum()
            mine, theirs = scores[p, positive], scores[p, negative]
            for person in (who, other):
                won[person] += weight * share / len(own) * (mine > theirs or 0.5 * (mine == theirs))
                total[person] += weight * share / len(own)
    return [won[s] / total[s] if total[s] else np.nan for s in range(5)]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_equals_the_enumeration(weighting, negatives):
    random = np.random.default_rng(3)
    for _ in range(8):
        scores, probe, candidate, allowed = small_case(random)
        table = win_table(CrossScores(TableScores(scores), probe, candidate, 5))
        expected = enumerated(scores, probe, candidate, allowed, weighting, negatives)
        np.testing.assert_allclose(marginal_accuracy(table, weighting, negatives, allowed), expected, atol=1e-12)


def test_uniform_case_is_the_plain_mean_over_row_and_column():
    random = np.random.default_rng(4)
    wins = random.random((6, 6))
    np.fill_diagonal(wins, 0)
    found = marginal_accuracy(WinTable(wins, np.ones(6, int), np.ones(6, int)), "samples", "samples")
    np.testing.assert_allclose(found, (wins.sum(0) + wins.sum(1)) / 10, atol=1e-12)
    assert found.mean() == pytest.approx(accuracy(WinTable(wins, np.ones(6), np.ones(6)), "samples", "samples")[0])


def test_who_meets_nobody_has_none_and_the_mask_is_not_changed():
    wins = np.array([[0, 0.75, 1], [0.25, 0, 1], [1, 1, 0]])
    allowed = np.array([[True, True, False], [True, True, False], [False, False, True]])
    table = WinTable(wins, np.array([3, 1, 1]), np.array([1, 1, 1]))
    np.testing.assert_allclose(marginal_accuracy(table, "identities", "samples", allowed), [0.5, 0.5, np.nan])
    np.testing.assert_allclose(marginal_accuracy(table, "samples", "samples", allowed), [0.625, 0.625, np.nan])
    assert allowed[0, 0]


def test_best_and_worst_by_hand():
    wins = np.full((5, 5), 0.5)
    wins[0, 1:] = 1  # a is always found
    wins[3, :3] = wins[3, 4] = 0  # d never
    allowed = np.ones((5, 5), bool)
    allowed[4] = allowed[:, 4] = False  # e meets nobody
    np.fill_diagonal(wins, 0)
    table = WinTable(wins, np.ones(5, int), np.ones(5, int))
    best, worst = best_and_worst(table, "samples", "samples", allowed, NAMES, count=2)
    assert best == [("a", pytest.approx(4 / 6)), ("b", pytest.approx(0.5))]
    assert worst == [("d", pytest.approx(2 / 6)), ("b", pytest.approx(0.5))]
    best, worst = best_and_worst(table, "samples", "samples", allowed, NAMES)
    assert [name for name, _ in best] == ["a", "b", "c", "d"]
    assert [name for name, _ in worst] == ["d", "b", "c", "a"]
