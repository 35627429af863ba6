from threading import Event

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from eval.metrics import scores
from eval.metrics.scores import STEPS, CrossScores, TableScores, VectorScores, unit

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(7, 5)), RANDOM.normal(size=(9, 5))


@pytest.mark.parametrize(
    ("metric", "true"),
    [
        ("cosine", lambda: 1 - cdist(A, B, "cosine")),
        ("l2", lambda: -cdist(A, B)),
        ("l1", lambda: -cdist(A, B, "cityblock")),
    ],
)
def test_keys_are_the_scores_on_a_fine_grid(metric, true):
    found = VectorScores(A, B, metric)
    keys = found.keys(slice(None), slice(None))
    assert keys.dtype == np.int32
    assert abs(keys).max() <= found.limit == STEPS
    values = np.vectorize(found.value)(keys)
    np.testing.assert_allclose(values, true(), atol=found.value(0.5001))
    assert found.value(1.0) < 1e-5


def test_unit_vectors_by_hand():
    found = unit(np.array([[[3, 4], [0, -2]]], np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [[[0.6, 0.8], [0, -1]]]
    assert unit(np.array([5, 12])).tolist() == [5 / 13, 12 / 13]


def test_equal_vectors_tie_whatever_their_place_and_length():
    same = np.concatenate([np.tile(RANDOM.normal(size=5), (300, 1)), RANDOM.normal(size=(41, 5))])
    scaled = same * RANDOM.uniform(0.1, 90, (341, 1))
    keys = VectorScores(A, scaled, "cosine").keys(slice(None), slice(None))
    assert (keys[:, :300] == keys[:, :1]).all()
    assert (VectorScores(same[:1], same, "cosine").keys([0], slice(0, 300)) == STEPS).all()
    assert (VectorScores(same[:1], same, "l2").keys([0], slice(0, 300)) == 0).all()
    assert len(np.unique(keys[:, 300:])) == 7 * 41


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_vectors_too_large_for_memory_give_the_same_keys(metric, monkeypatch):
    kept = VectorScores(A, B, metric).keys(np.array([4, 2]), slice(1, 8))
    monkeypatch.setattr(scores, "IN_MEMORY", 0)
    np.testing.assert_array_equal(VectorScores(A, B, metric).keys(np.array([4, 2]), slice(1, 8)), kept)


def test_zero_distances_everywhere_divide_nothing():
    zeros = np.zeros((3, 4))
    assert (VectorScores(zeros, zeros, "l2").keys(slice(None), slice(None)) == 0).all()


def test_table_keeps_order_and_ties():
    table = np.array([[0.3, -7.0, 0.3], [1e300, 0.30000000000000004, 5.0]])
    found = TableScores(table)
    np.testing.assert_array_equal(found.keys(slice(None), slice(None)), [[1, 0, 1], [4, 2, 3]])
    assert found.value(3) == 5.0
    assert found.value(0.5) == pytest.approx(-3.35)


def test_blocks_hold_every_candidate_once_with_its_person(monkeypatch):
    monkeypatch.setattr(scores, "COLUMNS", 4)
    identity = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2])
    cross = CrossScores(VectorScores(A, B, "cosine"), np.array([0, 1, 2, 0, 1, 2, 0]), identity, 3)
    packed = list(cross.packed_blocks(np.array([5, 1])))
    assert [block.shape for block in packed] == [(2, 4), (2, 4), (2, 1)]
    assert all((np.diff(block) >= 0).all() for block in packed)
    every = np.sort(np.concatenate(packed, axis=1), axis=1)
    keys = cross.scores.keys(np.array([5, 1]), slice(None))
    for row, found in zip(keys, every, strict=True):
        assert sorted(zip(row.tolist(), identity.tolist(), strict=True)) == sorted(
            zip((found >> 32).tolist(), (found & 0xFFFFFFFF).tolist(), strict=True)
        )
    own = cross.own_keys(np.array([5, 1, 4]))
    for probe, found in zip((5, 1, 4), own, strict=True):
        mine = identity == cross.probe_identity[probe]
        np.testing.assert_array_equal(found, np.sort(cross.scores.keys([probe], np.flatnonzero(mine))[0]))


def test_stopping_early_leaves_the_rest_undone():
    cross = CrossScores(VectorScores(np.tile(A, (100, 1)), B, "cosine"), np.arange(700) % 3, np.arange(9) % 3, 3)
    begun, free = [], Event()

    def work(probes):
        begun.append(probes)
        if len(begun) > 1:
            free.wait(0.2)
        return len(probes)

    results = cross.over_probes(work, "test", rows=1)
    assert next(results) == 1
    results.close()
    assert len(begun) < 100


def test_work_comes_back_in_order_with_people_together():
    cross = CrossScores(VectorScores(A, B, "cosine"), np.array([0, 1, 2, 0, 1, 2, 0]), np.arange(9) % 3, 3)
    blocks = list(cross.over_probes(lambda probes: probes.tolist(), "test", rows=3))
    assert blocks == [[0, 3, 6], [1, 4, 2], [5]]
