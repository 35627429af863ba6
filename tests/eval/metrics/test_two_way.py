import numpy as np
import pytest

from eval.metrics import scores
from eval.metrics.two_way import WEIGHTINGS, WinTable, accuracy, win_table
from tests.eval.triplets import Case, accuracies, random_case


def test_table_by_hand():
    """Two people: the first has two probes, the second two candidates."""
    table = np.array([[3.0, 1.0, 3.0], [0.0, 1.0, 2.0], [5.0, 4.0, 9.0]])
    found = win_table(Case(table, np.array([0, 0, 1]), np.array([0, 1, 1]), 2).cross)
    # probe 0: 3 > 1, 3 = 3 -> 1.5 of 2; probe 1: 0 of 2; probe 2: own 4 < 5, own 9 > 5 -> 1 of 2
    np.testing.assert_allclose(found.wins, [[0, 1.5 / 4], [0.5, 0]])
    np.testing.assert_array_equal(found.probes, [2, 1])
    np.testing.assert_array_equal(found.candidates, [1, 2])
    assert accuracy(found, "samples", "samples")[0] == pytest.approx((0.75 + 0 + 0.5) / 3)
    assert accuracy(found, "identities", "samples")[0] == pytest.approx((0.375 + 0.5) / 2)


@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_equals_enumeration(negatives):
    random = np.random.default_rng(0)
    for _ in range(100):
        case = random_case(random, levels=int(random.integers(1, 8)))
        cells = random.integers(0, 2, case.people)
        table = win_table(case.cross)
        for used in (None, cells):
            allowed = None if used is None else used[:, None] == used
            true = accuracies(case, 2, negatives, used)
            for weighting in WEIGHTINGS:
                got = accuracy(table, weighting, negatives, allowed)[0]
                assert got == pytest.approx(true[weighting], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("negatives", WEIGHTINGS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_drawing_people_is_removing_and_repeating_them(weighting, negatives):
    random = np.random.default_rng(1)
    case = random_case(random, most_people=6, most_samples=3)
    while case.people < 6:
        case = random_case(random, most_people=6, most_samples=3)
    table = win_table(case.cross)
    removed = accuracy(table, weighting, negatives, draws=np.array([[1.0, 0, 1, 1, 1, 1]]))
    fewer = accuracy(win_table(case.without({1}).cross), weighting, negatives)
    np.testing.assert_allclose(removed, fewer, atol=1e-14)
    # a person drawn twice is two people with the same samples who never meet each other
    order = [0, 1, 2, 3, 4, 5, 0]
    twice = WinTable(table.wins[np.ix_(order, order)], table.probes[order], table.candidates[order])
    allowed = np.ones((7, 7), bool)
    allowed[0, 6] = allowed[6, 0] = False
    np.testing.assert_allclose(
        accuracy(table, weighting, negatives, draws=np.array([[2.0, 1, 1, 1, 1, 1]])),
        accuracy(twice, weighting, negatives, allowed),
        atol=1e-14,
    )


def test_nobody_to_compare_with_is_not_a_number():
    table = win_table(random_case(np.random.default_rng(2)).cross)
    assert np.isnan(accuracy(table, "samples", "samples", np.zeros(table.wins.shape, bool))).all()


def test_swapping_the_sign_swaps_wins():
    case = random_case(np.random.default_rng(3), most_samples=4)
    turned = Case(-case.table, case.probe_identity, case.candidate_identity, case.people)
    off = ~np.eye(case.people, dtype=bool)
    np.testing.assert_allclose(win_table(case.cross).wins[off], 1 - win_table(turned.cross).wins[off])


def test_small_blocks_change_nothing(monkeypatch):
    case = random_case(np.random.default_rng(4), most_samples=9)
    whole = win_table(case.cross)
    monkeypatch.setattr(scores, "COLUMNS", 5)
    np.testing.assert_array_equal(win_table(case.cross).wins, whole.wins)
