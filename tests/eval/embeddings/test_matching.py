"""The report on matching, and marginal accuracy against an enumeration of all triplets of small score tables."""

from itertools import product

import numpy as np
import pytest

from eval.embeddings.folder import read_embeddings
from eval.embeddings.groups import groupings
from eval.embeddings.matching import Protocol, best_and_worst, evaluate, marginal_accuracy
from eval.metrics.n_way import n_way
from eval.metrics.scores import CrossScores, TableScores
from eval.metrics.two_way import WEIGHTINGS, WinTable, accuracy, two_way_trials, win_table
from tests.eval.folders import people_folder
from tests.eval.triplets import random_case

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read_embeddings(people_folder(tmp_path_factory.mktemp("e"), people=24, noise=1.5))


def test_rows_carry_what_the_parts_compute(found):
    report = evaluate(found, groupings(found, ["U", "G"]), Protocol(n_max=4, sizes=(5, 10, 24), marginal=2))
    rows = [row for row in report.rows if row.direction == "f2v"]
    first = rows[0]
    table = win_table(found.cross("f2v"))
    assert first.value == accuracy(table, "samples", "identities")[0]
    assert (first.group, first.chance, first.n) == ("U", 0.5, 24)
    assert first.params == {"n_way": 2, "weighting": "samples", "negatives": "identities", "trials": 72 * 3 * 69}
    assert first.ci_low < first.value < first.ci_high
    curve = [row.value for row in rows if row.group == "U" and row.ci_method == "jackknife over people"]
    np.testing.assert_allclose(curve, n_way(found.cross("f2v"), 4, "identities", np.arange(24)).accuracy("samples")[1:])
    assert [row.chance for row in rows if row.params["n_way"] == 4] == [0.25, 0.25]
    binomial = next(row for row in rows if row.ci_method.startswith("binomial"))
    half = 2.576 * np.sqrt(first.value * (1 - first.value) / (72 * 3 * 69))
    assert binomial.ci_high - binomial.value == pytest.approx(half)
    assert [(row.n, row.params["subset"]) for row in rows if "subset" in row.params] == [(5, 5), (10, 10)]
    listed = [(row.params["listed"], row.value) for row in rows if row.metric == "marginal_accuracy"]
    assert [rank for rank, _ in listed] == ["best"] * 2 + ["worst"] * 2
    assert listed[0][1] >= listed[1][1] > listed[3][1] >= listed[2][1]
    controls = {row.params["control"]: row for row in rows if "control" in row.params}
    assert controls["constant"].value == 0.5
    assert abs(controls["shuffled"].value - 0.5) < 0.2 < first.value - 0.5


def test_cells_average_to_their_grouping(found):
    """Equal cells, so the whole is their mean; each has its own people and triplets."""
    rows = evaluate(found, groupings(found, ["G"]), Protocol(n_max=2, control=False)).rows
    whole, women, men = [row for row in rows if row.direction == "v2f"]
    assert [row.group for row in (whole, women, men)] == ["G", "G: f", "G: m"]
    assert whole.value == pytest.approx((women.value + men.value) / 2)
    assert (women.n, men.n, whole.n) == (12, 12, 24)
    assert whole.params["trials"] == women.params["trials"] + men.params["trials"] == 2 * 36 * 3 * 33


def test_triplets_are_counted():
    case = random_case(np.random.default_rng(8), most_people=5, most_samples=4)
    cells = np.arange(case.people) % 2
    counted = sum(
        1
        for probe in case.probe_identity
        for own in case.candidate_identity
        for other in case.candidate_identity
        if own == probe and other != probe and cells[other] == cells[probe]
    )
    assert two_way_trials(win_table(case.cross), cells[:, None] == cells) == counted


def test_who_is_left_out_is_said(tmp_path):
    folder = people_folder(tmp_path / "e", people=6)
    for side in ("voice", "face"):
        path = folder / f"{side}.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line[:-1] if line.startswith("p05") else line for line in lines))
    some = read_embeddings(folder)
    report = evaluate(some, groupings(some, ["G"]), Protocol(n_max=3, control=False))
    assert report.notes == ["G: 1 people of unknown gender left out"]
    counted = {(row.group, row.params["n_way"], row.n) for row in report.rows}
    assert counted == {("G", 2, 5), ("G: f", 2, 3), ("G: m", 2, 2), ("G", 3, 3)}


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
def test_marginal_accuracy_equals_the_enumeration(weighting, negatives):
    random = np.random.default_rng(3)
    for _ in range(8):
        scores, probe, candidate, allowed = small_case(random)
        table = win_table(CrossScores(TableScores(scores), probe, candidate, 5))
        expected = enumerated(scores, probe, candidate, allowed, weighting, negatives)
        np.testing.assert_allclose(marginal_accuracy(table, weighting, negatives, allowed), expected, atol=1e-12)


def test_uniform_marginal_accuracy_is_the_plain_mean_over_row_and_column():
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
