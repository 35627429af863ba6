import numpy as np
import pytest

from eval.embeddings.controls import constant, shuffled
from eval.embeddings.folder import read_embeddings
from eval.metrics.permutations import other_speakers
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


def test_everybody_gets_one_other_person_in_one_cycle():
    for seed in range(20):
        partner = other_speakers(np.arange(9), seed)
        assert sorted(partner) == list(range(9))
        places = [0]
        while partner[places[-1]] != 0:
            places.append(partner[places[-1]])
        assert len(places) == 9  # one cycle through all
    assert (other_speakers(np.arange(9), 0) != other_speakers(np.arange(9), 1)).any()


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (5, 3, 2), (4, 4), (1, 2, 3, 4, 4, 1), (7, 2), (3,)])
def test_nobody_gets_somebody_of_their_own_speaker(sizes):
    numbers = np.random.default_rng(2).permutation(np.repeat(np.arange(len(sizes)), sizes))
    deals = [other_speakers(numbers, seed) for seed in range(20)]
    for given in deals:
        assert sorted(given) == list(range(len(numbers)))
        assert (given != np.arange(len(numbers))).all()
        if 2 * max(sizes) <= sum(sizes):
            assert (numbers[given] != numbers).all()
    assert len(numbers) < 4 or len({tuple(given) for given in deals}) > 1
