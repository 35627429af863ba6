"""Laws of random orders: which are possible, how likely each is, and who may get whose."""

from collections import Counter

import numpy as np
import pytest

from eval.metrics.permutations import derangement, permutations, speaker_derangement, speaker_permutations


def test_every_permutation_is_equally_likely():
    times = Counter(tuple(order) for order in permutations(3, 6000, seed=0))
    assert len(times) == 6
    assert all(abs(count - 1000) < 120 for count in times.values())
    first, second = list(permutations(9, 2, seed=4)), list(permutations(9, 2, seed=4))
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()
    assert list(permutations(9, 0)) == []


def test_every_cycle_is_an_equally_likely_derangement():
    times = Counter(tuple(derangement(4, seed)) for seed in range(3000))
    assert set(times) == {(1, 2, 3, 0), (1, 3, 0, 2), (2, 3, 1, 0), (2, 0, 3, 1), (3, 2, 0, 1), (3, 0, 1, 2)}
    assert all(abs(count - 500) < 90 for count in times.values())
    assert derangement(2).tolist() == [1, 0]


def test_a_permutation_of_speakers_keeps_their_people_together():
    speakers = np.array(["b", "a", "c", "a", "b", "c"])
    orders = speaker_permutations(speakers, 300)
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    names = speakers[orders]
    for one, other in ((0, 4), (1, 3), (2, 5)):
        assert (names[:, one] == names[:, other]).all()
    assert len({tuple(order) for order in orders.tolist()}) == 6 * 2**3  # every order of speakers, either way round


def test_every_permutation_of_people_who_share_no_speaker_is_equally_likely():
    times = np.unique(speaker_permutations(np.arange(3), 3000), axis=0, return_counts=True)[1]
    assert len(times) == 6
    assert (abs(times - 500) < 100).all()


def test_everybody_gets_one_other_person_in_one_cycle():
    for seed in range(20):
        partner = speaker_derangement(np.arange(9), seed)
        assert sorted(partner) == list(range(9))
        places = [0]
        while partner[places[-1]] != 0:
            places.append(partner[places[-1]])
        assert len(places) == 9  # one cycle through all
    assert (speaker_derangement(np.arange(9), 0) != speaker_derangement(np.arange(9), 1)).any()


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (5, 3, 2), (4, 4), (1, 2, 3, 4, 4, 1), (7, 2), (3,)])
def test_nobody_gets_somebody_of_their_own_speaker(sizes):
    numbers = np.random.default_rng(2).permutation(np.repeat(np.arange(len(sizes)), sizes))
    deals = [speaker_derangement(numbers, seed) for seed in range(20)]
    for given in deals:
        assert sorted(given) == list(range(len(numbers)))
        assert (given != np.arange(len(numbers))).all()
        if 2 * max(sizes) <= sum(sizes):
            assert (numbers[given] != numbers).all()
    assert len(numbers) < 4 or len({tuple(given) for given in deals}) > 1
