"""Two systems: rows against the exact figures of each, tests against hand counts and scipy, samples that differ."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from eval.embeddings.compare import (
    MCNEMAR_METHOD,
    bootstrap_p,
    compare,
    drawn_triplets,
    mcnemar,
    outcomes,
    same_samples,
)
from eval.embeddings.folder import Embeddings, Samples, read_embeddings
from eval.embeddings.groups import clusters, grouping, groupings, of_people
from eval.metrics.clusters import Clusters
from eval.metrics.intervals import cluster_draws
from eval.metrics.scores import CrossScores, TableScores
from eval.metrics.two_way import WEIGHTINGS, accuracy, win_table
from s2f.errors import DatasetError

RANDOM = np.random.default_rng(0)
PEOPLE = [f"p{number:02}" for number in range(24)]
ROWS = np.repeat(np.arange(24), 3)
TRUE = RANDOM.normal(size=(24, 6))
SHARED = {name: RANDOM.normal(size=(72, 6)) for name in ("voice", "face")}  # what is hard for every system


def system(noise: float, seed: int, hash_: str = "h") -> Embeddings:
    """Voices and faces of 24 people of two genders; systems differ by their noise only."""
    random, sides = np.random.default_rng(seed), []
    for name, hard in SHARED.items():
        vectors = TRUE[ROWS] + 1.5 * hard + noise * random.normal(size=(72, 6))
        columns = {
            "identity": [PEOPLE[who] for who in ROWS],
            "path": [f"{name}/{row}" for row in range(72)],
            "gender": ["mf"[who % 2] for who in ROWS],
        }
        sides.append(Samples(name, vectors, ROWS, columns))
    return Embeddings(sides[0], sides[1], tuple(PEOPLE), "cosine", hash_, {"split_hash": hash_}, ())


def picked(side: Samples, rows, drop: tuple[str, ...] = ()) -> Samples:
    columns = {name: [cells[row] for row in rows] for name, cells in side.columns.items() if name not in drop}
    return Samples(side.name, np.asarray(side.vectors)[rows], side.identity[rows], columns)


A, B = system(1.2, 1), system(0.4, 2)
CHOICE = ("samples", "identities")


def test_rows_are_the_exact_figures_of_each_system():
    report = compare(A, B, groupings(A, ["U", "G"]), clusters(A), *CHOICE, draws=300, triplets=500)
    assert report.protocol == "compare/1"
    assert [row.metric for row in report.rows] == ["accuracy", "accuracy", "accuracy_difference", "mcnemar"] * 4
    assert [(row.direction, row.group) for row in report.rows[::4]] == [
        (direction, group) for direction in ("v2f", "f2v") for group in "UG"
    ]
    rows = {(row.metric, row.direction, row.group, row.params.get("system")): row for row in report.rows}
    for direction in ("v2f", "f2v"):
        for group in ("U", "G"):
            allowed, found = grouping(A, group).allowed, []
            for name, embeddings in (("A", A), ("B", B)):
                row = rows["accuracy", direction, group, name]
                exact = accuracy(win_table(embeddings.cross(direction)), *CHOICE, allowed)[0]
                assert row.value == pytest.approx(exact, abs=1e-12)
                assert row.ci_low < row.value < row.ci_high
                assert (row.n, row.chance) == (24, 0.5)
                assert row.params["trials"] == 72 * 3 * 3 * (23 if group == "U" else 11)
                found.append(row.value)
            row = rows["accuracy_difference", direction, group, "B - A"]
            assert row.value == pytest.approx(found[1] - found[0], abs=1e-12)
            assert row.value > 0  # B is A with less noise
            assert (row.chance, row.ci_method) == (0.0, "paired bootstrap over people")
            draws = cluster_draws(np.arange(24), 300, 0)
            tables = [win_table(side.cross(direction)) for side in (A, B)]
            change = accuracy(tables[1], *CHOICE, allowed, draws) - accuracy(tables[0], *CHOICE, allowed, draws)
            assert row.params["p"] == pytest.approx(2 * (1 + (change <= 0).sum()) / 301)
            assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.quantile(change, [0.025, 0.975])))
    assert json.loads(report.json())["rows"][0]["params"]["weighting"] == "samples"
    test = rows["mcnemar", "v2f", "U", None]
    assert (test.ci_low, test.chance, test.ci_method) == (None, None, MCNEMAR_METHOD)
    assert "p is too small" in MCNEMAR_METHOD
    assert test.params["trials"] == 500
    assert test.params["b"] < test.params["c"]
    assert test.value == pytest.approx(mcnemar_p(test.params["b"], test.params["c"]))


def mcnemar_p(b: int, c: int) -> float:
    """The two-sided exact test from the cumulated binomial, both tails alike."""
    return min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5))


def test_the_paired_interval_is_narrower_than_the_unpaired():
    alike = system(0.5, 3)
    report = compare(B, alike, groupings(A, ["U"]), clusters(A), *CHOICE, draws=500, triplets=50)
    row = report.rows[2]
    draws = [cluster_draws(np.arange(24), 500, seed) for seed in (0, 9)]
    tables = [win_table(side.cross("v2f")) for side in (B, alike)]
    change = accuracy(tables[1], *CHOICE, None, draws[1]) - accuracy(tables[0], *CHOICE, None, draws[0])
    low, high = np.quantile(change, [0.025, 0.975])
    assert row.ci_high - row.ci_low < 0.6 * (high - low)
    same = accuracy(tables[1], *CHOICE, None, draws[0]) - accuracy(tables[0], *CHOICE, None, draws[0])
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.quantile(same, [0.025, 0.975])))


def test_a_system_against_itself_and_the_other_way_round():
    report = compare(A, A, groupings(A, ["U"]), clusters(A), *CHOICE, draws=50, triplets=50)
    difference, test = report.rows[2:4]
    assert (difference.value, difference.ci_low, difference.ci_high, difference.params["p"]) == (0, 0, 0, 1)
    assert (test.value, test.params["b"], test.params["c"]) == (1, 0, 0)
    there, back = (
        compare(x, y, groupings(A, ["U"]), clusters(A), *CHOICE, draws=50, triplets=200).rows[2:4]
        for x, y in ((A, B), (B, A))
    )
    assert there[0].value == -back[0].value
    assert (there[1].params["b"], there[1].params["c"]) == (back[1].params["c"], back[1].params["b"])


def test_speakers_are_redrawn_whole_and_named():
    units = np.arange(24) // 6
    report = compare(A, B, groupings(A, ["U"]), Clusters(units), *CHOICE, draws=400, triplets=50)
    assert report.rows[2].ci_method == "paired bootstrap over clusters of people"
    draws = cluster_draws(units, 400, 0)
    values = accuracy(win_table(A.cross("v2f")), *CHOICE, None, draws)
    assert (report.rows[0].ci_low, report.rows[0].ci_high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_bootstrap_p_by_hand():
    assert bootstrap_p(np.array([1.0] * 99)) == 2 / 100
    assert bootstrap_p(np.array([-1.0] * 99)) == 2 / 100
    assert bootstrap_p(np.array([1.0] * 96 + [-1.0, -2.0, 0.0])) == 2 * 4 / 100
    assert bootstrap_p(np.array([1.0, -1.0, np.nan])) == 1.0
    assert bootstrap_p(np.zeros(9)) == 1.0


def test_mcnemar_counts_by_hand():
    a = np.array([1, 1, 1, -1, -1, 1, 0, 1, 1, 1])
    b = np.array([1, -1, -1, 1, -1, 1, 1, 0, -1, -1])
    found = mcnemar(a, b)
    assert (found.b, found.c, found.ties) == (4, 1, 2)
    assert found.p == pytest.approx(2 * (1 + 5) / 32)
    assert mcnemar(a, a) == (1.0, 0, 0, 1)


def table_cross() -> CrossScores:
    random = np.random.default_rng(4)
    probe, candidate = random.permutation([0, 0, 0, 1, 2, 2]), random.permutation([0, 1, 1, 1, 2, 2, 2])
    return CrossScores(TableScores(random.integers(0, 4, (6, 7)).astype(float)), probe, candidate, 3)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("negatives", WEIGHTINGS)
def test_drawn_triplets_estimate_the_exact_accuracy(weighting, negatives):
    cross = table_cross()
    allowed = np.ones((3, 3), bool)
    allowed[0, 2] = False
    drawn = drawn_triplets(cross, weighting, negatives, allowed, 20_000, seed=5)
    people = np.stack([cross.probe_identity[drawn[:, 0]], *cross.candidate_identity[drawn[:, 1:].T]])
    assert (people[0] == people[1]).all()
    assert allowed[people[0], people[2]].all()
    assert (people[0] != people[2]).all()
    assert len(np.unique(drawn, axis=0)) == sum(
        allowed[p, n] and p == g and p != n
        for p in cross.probe_identity
        for g in cross.candidate_identity
        for n in cross.candidate_identity
    )
    score = cross.scores._keys
    by_hand = np.sign(score[drawn[:, 0], drawn[:, 1]] - score[drawn[:, 0], drawn[:, 2]])
    np.testing.assert_array_equal(outcomes(cross, drawn), by_hand)
    assert (by_hand == 0).any()
    exact = accuracy(win_table(cross), weighting, negatives, allowed)[0]
    assert (by_hand + 1).mean() / 2 == pytest.approx(exact, abs=0.015)


def test_who_meets_nobody_is_never_drawn():
    allowed = np.zeros((3, 3), bool)
    allowed[2, 1] = True
    drawn = drawn_triplets(table_cross(), "samples", "samples", allowed, 200)
    assert set(table_cross().probe_identity[drawn[:, 0]]) == {2}


def test_samples_are_found_by_their_cells_in_any_order():
    order = RANDOM.permutation(72)
    mixed = replace(B, voice=picked(B.voice, order), face=picked(B.face, order[::-1]))
    choice = (groupings(A, ["U", "G"]), clusters(A), *CHOICE, 100, 0, 200)
    assert compare(A, mixed, *choice).json() == compare(A, B, *choice).json()


def test_only_samples_of_both_count_and_the_rest_is_said():
    voices = [row for row in range(72) if row not in (0, 1, 10)]
    fewer_a = replace(A, voice=picked(A.voice, voices))
    faces = [row for row in range(72) if ROWS[row] != 5]  # B lacks p05
    shift = np.cumsum(np.arange(24) != 5) - 1
    sides = [picked(side, faces) for side in (B.voice, B.face)]
    voice, face = (replace(side, identity=shift[side.identity]) for side in sides)
    fewer_b = replace(B, voice=voice, face=face, identities=(*PEOPLE[:5], *PEOPLE[6:]), notes=("something",))
    a, b, kept, notes = same_samples(fewer_a, fewer_b)
    assert kept.tolist() == [number != 5 for number in range(24)]
    assert a.identities == b.identities == (*PEOPLE[:5], *PEOPLE[6:])
    assert a.voice.columns["path"] == b.voice.columns["path"]
    assert a.face.columns["path"] == b.face.columns["path"]
    assert (len(a.voice.identity), len(a.face.identity)) == (72 - 3 - 3, 72 - 3)
    np.testing.assert_array_equal(a.voice.identity, b.voice.identity)
    np.testing.assert_array_equal(np.asarray(a.voice.vectors)[0], np.asarray(A.voice.vectors)[2])
    np.testing.assert_array_equal(np.asarray(b.voice.vectors)[0], np.asarray(B.voice.vectors)[2])
    assert notes == [
        "B: something",
        "3 voice rows that only A has left out",
        "3 face rows that only A has left out",
        "3 voice rows that only B has left out",
        "1 people of A without a voice and a face in both left out",
    ]
    report = compare(fewer_a, fewer_b, groupings(A, ["G"]), clusters(A), *CHOICE, draws=20, triplets=20)
    assert report.rows[0].n == 23
    exact = accuracy(win_table(b.cross("v2f")), *CHOICE, grouping(b, "G").allowed)[0]
    assert report.rows[1].value == pytest.approx(exact, abs=1e-12)


def test_people_of_whom_both_hold_different_samples_are_left_out():
    a = replace(A, voice=picked(A.voice, [row for row in range(72) if row not in (0, 1)]))
    b = replace(B, voice=picked(B.voice, [row for row in range(72) if row != 2]))
    a, b, kept, notes = same_samples(a, b)
    assert not kept[0]
    assert kept[1:].all()
    assert notes[-1] == "1 people of B without a voice and a face in both left out"
    other = picked(B.voice, range(72))
    other.columns["path"][:] = [f"elsewhere/{row}" for row in range(72)]
    with pytest.raises(DatasetError, match="two people to compare, got 0 of 24"):
        same_samples(A, replace(B, voice=other))


def test_columns_of_people_do_not_tell_samples_apart():
    renamed = picked(B.voice, range(72))
    renamed.columns["gender"][:] = ["female"] * 72
    assert same_samples(A, replace(B, voice=renamed))[2].all()
    twice = picked(B.voice, range(72))
    twice.columns["path"][1] = twice.columns["path"][0]
    with pytest.raises(DatasetError, match="several with the same identity, path"):
        same_samples(A, replace(B, voice=twice))
    with pytest.raises(DatasetError, match="several with the same identity, path"):
        same_samples(replace(B, voice=twice), A)


def without_paths(embeddings: Embeddings, rows=range(72)) -> Embeddings:
    return replace(
        embeddings, voice=picked(embeddings.voice, rows, ("path",)), face=picked(embeddings.face, rows, ("path",))
    )


def test_without_a_path_the_order_counts():
    choice = (groupings(A, ["U"]), clusters(A), *CHOICE, 50, 0, 100)
    assert compare(without_paths(A), without_paths(B), *choice).rows == compare(A, B, *choice).rows
    assert compare(A, without_paths(B), *choice).rows == compare(A, B, *choice).rows
    chosen = np.arange(24) > 1  # B does not know the first two people
    a, b, kept, _ = same_samples(without_paths(A), without_paths(of_people(B, chosen), range(66)))
    assert kept.tolist() == chosen.tolist()
    np.testing.assert_array_equal(np.asarray(a.voice.vectors), np.asarray(A.voice.vectors)[6:])
    np.testing.assert_array_equal(np.asarray(b.voice.vectors), np.asarray(B.voice.vectors)[6:])
    with pytest.raises(DatasetError, match="got 72 and 71 rows without a path"):
        same_samples(without_paths(A), without_paths(B, range(71)))
    with pytest.raises(DatasetError, match="do not agree line by line"):
        same_samples(without_paths(A), without_paths(B, range(71, -1, -1)))


def test_without_a_path_nothing_may_have_been_left_out(tmp_path):
    for name, people in (("voice", "aabbc"), ("face", "aabb")):
        np.save(tmp_path / f"{name}.npy", RANDOM.normal(size=(len(people), 3)))
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["identity"], *people])
    read = read_embeddings(tmp_path)
    with pytest.raises(DatasetError, match="without a path, of which rows were left out"):
        same_samples(read, read)


def test_other_splits_and_empty_groups_are_said_not_refused():
    other = system(0.4, 2, "elsewhere")
    nobody = picked(A.voice, range(72))
    nobody.columns["age"] = [""] * 72
    a = replace(A, voice=nobody)
    report = compare(a, other, groupings(a, ["A", "U"]), clusters(A), *CHOICE, draws=20, triplets=20)
    assert report.split_hash == "h"
    assert {row.group for row in report.rows} == {"U"}
    assert report.notes == [
        "split hashes differ (h and elsewhere): the same samples, perhaps other people in training",
        "A: 24 people of unknown age left out",
        "A: nobody can be compared, no figures",
    ]
