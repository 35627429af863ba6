"""Verification: intervals against jackknife and simulation, groups, controls and notes."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from eval.embeddings.folder import Embeddings, Samples
from eval.embeddings.groups import Grouping
from eval.embeddings.verification import _density_share, evaluate, intervals
from eval.metrics.clusters import Clusters
from eval.metrics.roc import EqualError, RocCounts, auc, eer, roc_counts
from eval.metrics.scores import CrossScores, TableScores
from s2f.errors import UsageError

NOISE = 0.7


def world(random: np.random.Generator, people: int, samples: int, clones: int) -> CrossScores:
    """People on a line, a voice or face is a place near its person's; `clones` people in a row share a place."""
    place = np.repeat(random.normal(size=people // clones), clones)
    owner = np.repeat(np.arange(people), samples)
    voices, faces = (place[owner] + NOISE * random.normal(size=len(owner)) for _ in range(2))
    return CrossScores(TableScores(-abs(voices[:, None] - faces)), owner, owner, people)


def without(cross: CrossScores, person_left_out: np.ndarray) -> tuple[float, float]:
    counts = roc_counts(cross, np.where(person_left_out, -1, 0))
    return auc(counts), eer(counts).rate


@pytest.mark.parametrize("clones", [2, 4])
def test_intervals_are_those_of_a_jackknife_over_clusters(clones: int):
    cross = world(np.random.default_rng(0), 48, 5, clones=2)
    clusters = 7 - np.arange(48) // clones
    counts = roc_counts(cross)
    found, count = intervals(cross, counts, clusters), 48 // clones
    left_out = np.array([without(cross, clusters == cluster) for cluster in np.unique(clusters)])
    errors = np.sqrt((count - 1) / count * ((left_out - left_out.mean(0)) ** 2).sum(0))
    quantile = {24: 2.068658, 12: 2.200985}[count]
    for interval, value, error in zip(found, (auc(counts), eer(counts).rate), errors, strict=True):
        assert interval.high - value == pytest.approx(value - interval.low)
        assert (interval.high - value) / quantile == pytest.approx(error, rel=0.1)
        assert interval.method == f"influence of {count} clusters"


def weighted_figures(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC and EER of weighted pairs, pair by pair."""
    (own, w), (other, v) = ((scores[side], weights[side]) for side in (labels, ~labels))
    area = w @ (np.sign(own[:, None] - other) / 2 + 0.5) @ v / w.sum() / v.sum()
    limits = np.array([*np.unique(scores), np.inf])
    fnr = (own < limits[:, None]) @ w / w.sum()
    fpr = (other >= limits[:, None]) @ v / v.sum()
    return np.array([area, np.interp(0, fnr - fpr, fnr)])


def test_influence_is_the_derivative_by_the_weight_of_a_cluster(monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(8)
    owner = np.arange(36) % 9
    cells, clusters = np.array([0, 0, 0, 1, 1, 1, 1, -1, 0]), np.array([5, 5, 3, 3, 2, 2, 9, 8, 0])
    counted = (cells[owner][:, None] == cells[owner]) & (cells[owner] >= 0)
    same, unit = owner[:, None] == owner, clusters[owner]
    monkeypatch.setattr("eval.metrics.scores.COLUMNS", 11)
    checked = 0
    for _ in range(8):  # few different scores, so the threshold alone holds a tenth of the matched pairs
        table = np.rint(random.normal(size=(36, 36)) + same)
        cross = CrossScores(TableScores(table), owner, owner, 9)
        counts = roc_counts(cross, cells)
        if eer(counts).rejected == 1:
            continue  # at a corner of the ROC curve, where the EER has two derivatives
        checked, influence, change = checked + 1, [], 1e-6
        for cluster in (0, 2, 3, 5, 9):
            moved = [
                weighted_figures(same[counted], table[counted], weights[counted])
                for sign in (1, -1)
                for weights in [1 + sign * change * ((unit[:, None] == cluster) | (unit == cluster))]
            ]
            influence.append((moved[0] - moved[1]) / (2 * change))
        errors = np.sqrt(5 / 4 * ((influence - np.mean(influence, 0)) ** 2).sum(0))
        for value, error, wide, narrow in zip(
            (auc(counts), eer(counts).rate),
            errors,
            intervals(cross, counts, clusters, cells),
            intervals(cross, counts, clusters, cells, confidence=0.5),
            strict=True,
        ):
            assert (wide.low, wide.high) == pytest.approx(
                (value - 2.776445 * error, min(value + 2.776445 * error, 1)), rel=1e-5
            )
            assert narrow.high - value == pytest.approx(0.740697 * error, rel=1e-5)
    assert checked == 7


def test_densities_are_taken_in_a_window_about_the_threshold():
    counts = RocCounts(np.array([0, 4, 5, 6, 90]), np.array([0, 1, 0, 1, 18]), np.array([5, 2, 1, 3, 1]), float)
    # keys 4 to 6 hold a tenth of the 20 matched and half of the 12 non-matched pairs
    assert _density_share(counts, EqualError(0.5, 5.0, 5, 1.0)) == pytest.approx(0.1 / (0.1 + 0.5))


def test_limits_are_cut_to_what_is_possible():
    owner = np.repeat(np.arange(4), 3)
    table = np.random.default_rng(1).normal(size=(12, 12))
    cross = CrossScores(TableScores(table), owner, owner, 4)
    found = intervals(cross, roc_counts(cross), np.arange(4) // 2)
    assert [interval[:2] for interval in found] == [(0.0, 1.0)] * 2


@pytest.mark.slow
def test_intervals_hold_the_truth_about_95_times_of_100():
    matched, others = NOISE * np.sqrt(2), np.sqrt(2 + 2 * NOISE**2)  # spread of the differences of places
    threshold = brentq(lambda t: 2 * norm.sf(t / matched) + 2 * norm.sf(t / others) - 1, 0, 9)
    truth = np.array([2 / np.pi * np.arctan(others / matched), 2 * norm.sf(threshold / matched)])
    random, inside, by_person = np.random.default_rng(0), np.zeros(2), np.zeros(2)
    for _ in range(100):
        cross = world(random, 60, 2, clones=4)
        counts = roc_counts(cross)
        for hits, clusters in ((inside, np.arange(60) // 4), (by_person, np.arange(60))):
            limits = np.array([found[:2] for found in intervals(cross, counts, clusters)])
            hits += (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    assert (np.abs(inside - 95) <= 4).all()
    assert (by_person < 89).all()


def test_no_interval_where_there_is_none():
    owner = np.repeat(np.arange(4), 2)
    same = owner[:, None] == owner
    cases = {
        "people of one cluster only": (np.random.default_rng(0).normal(size=(8, 8)), np.zeros(4)),
        "no spread between people": (np.zeros((8, 8)), np.arange(4)),
    }
    for reason, (table, clusters) in cases.items():
        cross = CrossScores(TableScores(table), owner, owner, 4)
        for found in intervals(cross, roc_counts(cross), clusters):
            assert found == (None, None, f"none: {reason}")
    cross = CrossScores(TableScores(same * 1.0), owner, owner, 4)
    assert [found.low for found in intervals(cross, roc_counts(cross), np.arange(4))] == [None, None]


def embeddings_of(voices: np.ndarray, faces: np.ndarray, owner: np.ndarray) -> Embeddings:
    sides = (Samples(name, side, owner, {}) for name, side in (("voice", voices), ("face", faces)))
    names = tuple(f"p{person}" for person in range(owner.max() + 1))
    return Embeddings(*sides, names, "cosine", "0123456789abcdef", {}, ("2 faces left out",))


@pytest.fixture(scope="module")
def population() -> Embeddings:
    random = np.random.default_rng(3)
    owner = np.repeat(np.arange(24), 5)
    people = random.normal(size=(24, 8)) + 2 * np.eye(8)[np.arange(24) % 2]
    return embeddings_of(*(people[owner] + random.normal(size=(120, 8)) for _ in range(2)), owner)


EVERYBODY = Grouping("U", (), np.zeros(24, np.int64), ("",))
SEX = Grouping("G", ("gender",), np.array([*([0, 1] * 10), 2, -1, -1, -1]), ("f", "m", "x"))


def test_rows_of_groups_and_controls(population: Embeddings):
    clusters = np.arange(24) // 2
    report = evaluate(population, [EVERYBODY, SEX], Clusters(clusters))
    rows = {(row.metric, row.group, row.params.get("control")): row for row in report.rows}
    groups = [("U", None), ("U", "shuffled"), ("U", "constant"), ("G", None), ("G: f", None), ("G: m", None)]
    assert list(rows) == [(metric, *group) for group in groups for metric in ("auc", "eer")]
    cross = population.cross("v2f")
    sex = np.where(SEX.cells == 2, -1, SEX.cells)
    for group, cells in {"U": EVERYBODY.cells, "G": sex, "G: m": np.where(sex == 1, 0, -1)}.items():
        counts, row = roc_counts(cross, cells), rows["auc", group, None]
        assert (row.value, rows["eer", group, None].value) == (auc(counts), eer(counts).rate)
        assert (row.params["trials"], row.params["matched"]) == (sum(counts.pairs), counts.pairs[0])
        assert (row.n, row.direction, row.chance) == ((cells >= 0).sum(), "both", 0.5)
        of_auc, of_eer = intervals(cross, counts, clusters, cells)
        assert (row.ci_low, row.ci_high, row.ci_method) == of_auc
        assert rows["eer", group, None].ci_low == of_eer.low
        assert rows["eer", group, None].params["threshold"] == pytest.approx(eer(counts).threshold, rel=1e-5)
    assert rows["auc", "G", None].value < rows["auc", "U", None].value - 0.01
    assert rows["auc", "U", None].params["matched"] == 24 * 25
    assert rows["auc", "U", None].params["trials"] == 120**2
    assert report.notes == [
        "2 faces left out",
        "G: 3 people of unknown gender left out",
        "G: 1 people left out, alone in their cell",
    ]
    assert report.protocol == "verification/1"
    assert json.loads(report.json())["split_hash"] == population.split_hash


def test_controls_are_at_chance(population: Embeddings):
    rows = evaluate(population, [EVERYBODY], Clusters(range(24))).rows
    constant = [row for row in rows if row.params.get("control") == "constant"]
    assert [(row.value, row.ci_low, row.ci_method) for row in constant] == [
        (0.5, None, "none: no spread between people")
    ] * 2
    for row in rows:
        if row.params.get("control") == "shuffled":
            assert row.ci_low < 0.5 < row.ci_high
            assert row.params["matched"] == 24 * 25
    assert all(not row.ci_low < 0.5 < row.ci_high for row in rows if "control" not in row.params)
    assert {row.params.get("control") for row in evaluate(population, [SEX], Clusters(range(24))).rows} == {None}
    assert len(evaluate(population, [EVERYBODY], Clusters(range(24)), control=False).rows) == 2


def test_a_grouping_that_compares_nobody(population: Embeddings):
    alone = Grouping("N", ("nationality",), np.arange(24), tuple(f"c{cell}" for cell in range(24)))
    unknown = Grouping("A", ("age",), np.full(24, -1), ())
    report = evaluate(population, [alone, unknown], Clusters(range(24)))
    assert not report.rows
    assert list(report.notes[1:]) == [
        "N: 24 people left out, alone in their cell",
        "N: nobody can be compared, no figures",
        "A: 24 people of unknown age left out",
        "A: nobody can be compared, no figures",
    ]


def test_bad_input(population: Embeddings):
    with pytest.raises(UsageError, match="a cluster for each of 24 people"):
        evaluate(population, [EVERYBODY], Clusters(range(23)))
    cross = population.cross("v2f")
    with pytest.raises(UsageError, match="a cell for each of 24 people"):
        intervals(cross, roc_counts(cross), np.arange(24), np.zeros(3, int))
