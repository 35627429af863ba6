"""Retrieval from the full gallery: against scikit-learn, every order of what ties, and by hand."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from eval.embeddings.controls import constant
from eval.embeddings.folder import Embeddings, Samples
from eval.embeddings.retrieval import METHOD, evaluate, over_people, retrieve
from eval.metrics import ranks
from eval.metrics.clusters import Clusters
from eval.metrics.random_galleries import RandomGallery
from eval.metrics.ranks import precision_and_recall, probes_at_a_time, rank_profiles
from eval.metrics.scores import CrossScores, TableScores, VectorScores
from eval.results import NO_METHOD
from s2f.errors import UsageError
from tests.eval.triplets import Case, random_case

PAIR = RandomGallery("pair", 2, 1, (1,), precision=True)
FOUR = RandomGallery("four", 4, 2, (1, 2))


def people(voices: int = 60, faces: int = 40, persons: int = 8, dims: int = 6, noise: float = 1.0) -> Embeddings:
    """Voices and faces around a point for each person; everybody has two of each or more."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(persons, dims))
    sides = []
    for name, count in (("voice", voices), ("face", faces)):
        identity = random.permutation(np.r_[np.tile(np.arange(persons), 2), random.integers(0, 3, count - 2 * persons)])
        vectors = centres[identity] + noise * random.normal(size=(count, dims))
        sides.append(Samples(name, vectors.astype(np.float32), identity, {}))
    return Embeddings(*sides, tuple(map(str, range(persons))), "cosine", "hash", {}, ("noted before",))


def mean_over_orders(scores: np.ndarray, mine: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    found = []
    for order in permutations(range(len(scores))):
        if (np.diff(scores[list(order)]) <= 0).all():
            hits = mine[list(order)]
            precisions = [hits[: place + 1].mean() for place in np.flatnonzero(hits)]
            found.append([np.mean(precisions), *(hits[:k].any() for k in ks)])
    return np.mean(found, axis=0)


def test_profile_by_hand():
    table = np.array([[5.0, 5, 3, 5, 3, 9, 1], [0.0, 1, 2, 3, 4, 5, 6]])
    case = Case(table, np.array([0, 1]), np.array([0, 0, 0, 1, 1, 1, 2]), 3)
    profiles = rank_profiles(case.cross, np.array([0, 1]))
    assert profiles.ends.tolist() == [2, 5]
    assert profiles.own.tolist() == [2, 1, 1, 1, 1]
    assert profiles.above.tolist() == [1, 2, 1, 1, 1]
    assert profiles.tied.tolist() == [1, 1, 0, 0, 0]
    assert profiles.owned.tolist() == [3, 3]
    assert profiles.candidates == 7


def test_precision_and_recall_by_hand():
    """An own candidate that ties with one negative is first or second; another is last of four, or third."""
    table = np.array([[7.0, 7, 2, 3], [7.0, 7, 2, 2]])
    case = Case(table, np.array([0, 0]), np.array([0, 1, 0, 1]), 2)
    result = precision_and_recall(rank_profiles(case.cross, np.array([0, 1])), (1, 2))
    first = (1 + 1 / 2) / 2
    np.testing.assert_allclose(result, [[(first + 2 / 4) / 2, 1 / 2, 1], [(first + (2 / 3 + 2 / 4) / 2) / 2, 1 / 2, 1]])


def test_without_ties_it_is_scikit_learn():
    random, compared = np.random.default_rng(0), 0
    for _ in range(40):
        case = random_case(random, most_people=6, most_samples=5)
        case.table = random.permutation(case.table.size).reshape(case.table.shape).astype(float)
        result = precision_and_recall(rank_profiles(case.cross, np.arange(len(case.table))), (1, 4))
        for scores, person, found in zip(case.table, case.probe_identity, result, strict=True):
            mine = case.candidate_identity == person
            best_four = mine[np.argsort(-scores)[:4]]
            expected = [average_precision_score(mine, scores), best_four[0], best_four.any()]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
            compared += 1
    assert compared > 200


def test_with_ties_it_is_the_mean_over_all_orders():
    random, compared = np.random.default_rng(1), 0
    for _ in range(25):
        case = random_case(random, most_people=3, most_samples=2, levels=3)
        result = precision_and_recall(rank_profiles(case.cross, np.arange(len(case.table))), (1, 2, 3))
        for scores, person, found in zip(case.table, case.probe_identity, result, strict=True):
            expected = mean_over_orders(scores, case.candidate_identity == person, (1, 2, 3))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
            compared += len(set(scores)) < len(scores)
    assert compared > 50


@pytest.mark.parametrize("cells", [1, 90, 700])
def test_reading_in_blocks_changes_nothing(monkeypatch, cells):
    cross = people().cross("v2f")
    whole = retrieve(cross, (1, 5), (PAIR,))
    sizes = []

    class Watched(VectorScores):
        def keys(self, probes, candidates):
            keys = super().keys(probes, candidates)
            if isinstance(candidates, slice):
                sizes.append(keys.size)
            return keys

    embeddings = people()
    scores = Watched(embeddings.voice.vectors, embeddings.face.vectors, "cosine")
    monkeypatch.setattr(ranks, "CELLS", cells)
    monkeypatch.setattr(ranks, "ROWS", 7)
    cut = retrieve(CrossScores(scores, cross.probe_identity, cross.candidate_identity, cross.people), (1, 5), (PAIR,))
    assert sum(sizes) == 60 * 40
    assert max(sizes) <= max(cells, 7)
    np.testing.assert_array_equal(cut.values, whole.values)


def test_a_large_gallery_is_read_for_more_probes_at_once():
    def rows(candidates: int) -> int:
        return probes_at_a_time(CrossScores(SimpleNamespace(shape=(9, candidates)), np.zeros(9), np.zeros(1), 1))

    assert [rows(candidates) for candidates in (50, 20_076, 100_000, 10**7)] == [128, 128, 390, 2048]


def test_a_constant_embedding_reaches_chance():
    for direction in ("v2f", "f2v"):
        cross = constant(people()).cross(direction)
        retrieved = retrieve(cross, (1, 3, 30), (PAIR, FOUR))
        np.testing.assert_allclose(retrieved.values, retrieved.chance[cross.probe_identity], rtol=0, atol=1e-12)
        one_of_forty = cross.candidate_counts / cross.scores.shape[1]
        np.testing.assert_allclose(retrieved.chance[:, 1], one_of_forty, rtol=1e-12)
        np.testing.assert_allclose(retrieved.chance[0, 4:], [1 / 2, 3 / 4, 1 / 2, 5 / 6], rtol=1e-12)


def rows_of(report) -> dict:
    return {
        (row.metric, row.direction, row.params["gallery"], row.params.get("k"), row.params.get("control")): row
        for row in report.rows
    }


@pytest.mark.parametrize("weighting", ["samples", "identities"])
def test_rows_are_means_over_probes_or_people(weighting):
    embeddings = people()
    rows = rows_of(evaluate(embeddings, Clusters(range(8)), weighting, (1, 5), (PAIR, FOUR)))
    for direction, probes in (("v2f", embeddings.voice), ("f2v", embeddings.face)):
        cross = embeddings.cross(direction)
        scores = cross.scores.keys(np.arange(len(probes.identity)), slice(None))
        mine = cross.candidate_identity == probes.identity[:, None]
        by_probe = np.array([average_precision_score(*pair) for pair in zip(mine, scores, strict=True)])
        hits = np.take_along_axis(mine, np.argsort(-scores, axis=1)[:, :5], axis=1).any(1)
        for values, key in ((by_probe, ("map", None)), (hits, ("recall", 5))):
            parts = [values[probes.identity == person].mean() for person in range(8)]
            row = rows[key[0], direction, "all", key[1], None]
            assert row.value == pytest.approx(values.mean() if weighting == "samples" else np.mean(parts))
            assert row.ci_low < row.value < row.ci_high
            assert (row.n, row.params["trials"], row.params["weighting"]) == (8, len(values), weighting)
        share = cross.candidate_counts / len(cross.candidate_identity)
        weights = cross.probe_counts if weighting == "samples" else None
        assert rows["recall", direction, "all", 1, None].chance == pytest.approx(np.average(share, weights=weights))
        assert rows["recall", direction, "pair", 1, None].chance == pytest.approx(1 / 2)
    assert len(rows) == 2 * (3 + 2 + 2) + 2 * 3


def test_good_embeddings_are_good_and_shuffled_ones_are_not():
    report = evaluate(people(noise=0.01), Clusters(range(8)), "samples", (1,), (FOUR,))
    rows = rows_of(report)
    assert report.protocol == "retrieval/1"
    for direction in ("v2f", "f2v"):
        assert all(row.value == pytest.approx(1) for key, row in rows.items() if key[1] == direction and not key[4])
        control = rows["map", direction, "all", None, "shuffled"]
        assert control.value < 2 * control.chance
    assert not any(
        key[4] for key in rows_of(evaluate(people(), Clusters(range(8)), ks=(1,), galleries=(), control=False))
    )


def test_people_with_too_few_candidates_are_counted():
    wants = RandomGallery("wants three", 4, 3, (1,))
    never = RandomGallery("never", 100, 1, (1,), precision=True)
    embeddings = people()
    report = evaluate(embeddings, Clusters(range(8)), "samples", (1,), (wants, never), control=False)
    rows = rows_of(report)
    assert "noted before" in report.notes
    for direction, candidate, probe in (("v2f", "face", "voice"), ("f2v", "voice", "face")):
        enough = np.bincount(getattr(embeddings, candidate).identity) >= 3
        assert 0 < enough.sum() < 8
        row = rows["recall", direction, "wants three", 1, None]
        assert row.n == enough.sum()
        assert row.params["trials"] == enough[getattr(embeddings, probe).identity].sum()
        said = f"{8 - enough.sum()} people left out of gallery wants three ({direction})"
        assert sum(note.startswith(said) for note in report.notes) == 1
        assert sum(note.startswith(f"8 people left out of gallery never ({direction})") for note in report.notes) == 1
        assert ("recall", direction, "never", 1, None) not in rows
        assert ("map", direction, "never", None, None) not in rows


def test_intervals_redraw_clusters():
    random = np.random.default_rng(2)
    clusters = np.repeat(np.arange(50), 4)
    means = random.random(50)[clusters]
    weights = 0.1 + means**2
    value, low, high, method = over_people(np.r_[means, np.nan], np.r_[weights, 5], Clusters(np.r_[clusters, 50]))
    assert value == pytest.approx(np.average(means, weights=weights))
    sums, totals = np.bincount(clusters, means * weights), np.bincount(clusters, weights)
    error = np.sqrt(((sums - value * totals) ** 2).sum()) / totals.sum()  # of a ratio of sums over clusters
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert low < value < high
    assert method == "bootstrap over speakers, gallery fixed"
    alone = over_people(means, weights, Clusters(np.arange(200)))
    assert alone[3] == METHOD == "bootstrap over people, gallery fixed"
    assert alone[2] - alone[1] < 0.65 * (high - low)
    assert over_people(means, np.ones(200), Clusters(np.zeros(200))) == (
        pytest.approx(means.mean()),
        None,
        None,
        NO_METHOD,
    )


def test_places_from_one():
    with pytest.raises(UsageError, match="places K from 1"):
        retrieve(people().cross("v2f"), (0, 1))


def test_scores_from_a_table_need_no_vectors():
    """Two people, a perfect and an inverted probe."""
    cross = CrossScores(TableScores(np.array([[1.0, 0], [1.0, 0]])), np.array([0, 1]), np.array([0, 1]), 2)
    np.testing.assert_allclose(retrieve(cross, (1, 2), (PAIR,)).values, [[1, 1, 1, 1, 1], [0.5, 0, 1, 0, 0.5]])
