import numpy as np
import pytest

from eval.embeddings.controls import constant, shuffled
from eval.embeddings.folder import read_embeddings
from eval.metrics.two_way import accuracy, win_table
from tests.eval.folders import people_folder


def test_shuffling_deals_everybodys_voices_to_one_other_person(tmp_path):
    found = read_embeddings(people_folder(tmp_path / "e"))
    dealt = shuffled(found)
    pairs = set(zip(found.voice.identity.tolist(), dealt.voice.identity.tolist(), strict=True))
    assert len(pairs) == 12
    assert all(own != other for own, other in pairs)
    assert {other for _, other in pairs} == set(range(12))
    np.testing.assert_array_equal(dealt.face.identity, found.face.identity)
    assert not np.array_equal(shuffled(found, seed=1).voice.identity, dealt.voice.identity)


def test_shuffled_voices_match_at_chance_and_true_ones_do_not(tmp_path):
    found = read_embeddings(people_folder(tmp_path / "e", people=200, noise=0.5))
    values = [accuracy(win_table(each.cross("v2f")), "samples", "identities")[0] for each in (found, shuffled(found))]
    assert values[0] > 0.95
    assert values[1] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("metric", ["cosine", "l2", "joint"])
def test_constant_embeddings_are_exactly_at_chance(tmp_path, metric):
    found = constant(read_embeddings(people_folder(tmp_path / "e", metric=metric)))
    for direction in ("v2f", "f2v"):
        assert accuracy(win_table(found.cross(direction)), "samples", "samples") == [0.5]
