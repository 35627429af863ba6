"""Random galleries in closed form: against every gallery in every order, scipy, and by hand."""

from dataclasses import replace
from functools import cache
from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom, nhypergeom

from eval.metrics.random_galleries import NAMED_GALLERIES, RandomGallery, chance_in, expected_in, fits
from eval.metrics.ranks import RankProfiles, all_tied, precision_and_recall, rank_profiles
from s2f.errors import UsageError
from tests.eval.triplets import Case, random_case

KS = (1, 2, 3)
KIM_250, KIM_1000, KIM_5000, TRINET, SPEECH2FACE = NAMED_GALLERIES


@cache
def mean_over_orders(own: tuple, others: tuple) -> np.ndarray:
    """R@K and average precision of one gallery, averaged over all orders in which no score is above a higher one."""
    items, found = [(score, 1) for score in own] + [(score, 0) for score in others], []
    for order in permutations(items):
        scores, hits = np.array(order).T
        if (np.diff(scores) <= 0).all():
            precisions = [hits[: place + 1].mean() for place in np.flatnonzero(hits)]
            found.append([*(hits[:k].max() for k in KS), np.mean(precisions)])
    return np.mean(found, axis=0)


def enumerated(case: Case, gallery: RandomGallery) -> np.ndarray:
    """The mean over all galleries of every probe; NaN where there is none."""
    result = np.full((len(case.table), len(KS) + 1), np.nan)
    for probe, person in enumerate(case.probe_identity):
        mine = case.candidate_identity == person
        owns = combinations(np.sort(case.table[probe, mine]), gallery.own)
        others = list(combinations(np.sort(case.table[probe, ~mine]), gallery.size - gallery.own))
        if values := [mean_over_orders(own, rest) for own in owns for rest in others]:
            result[probe] = np.mean(values, axis=0)
    return result


@pytest.mark.parametrize(("size", "own"), [(2, 1), (4, 1), (4, 2), (5, 3)])
def test_equals_every_gallery_in_every_order(size, own):
    random, gallery = np.random.default_rng(size + own), RandomGallery("small", size, own, KS, precision=True)
    compared = left_out = 0
    for _ in range(12):
        case = random_case(random, most_people=4, most_samples=4, levels=4)
        result = expected_in(rank_profiles(case.cross, np.arange(len(case.table))), gallery)
        expected = enumerated(case, gallery)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)
        compared, left_out = compared + np.isfinite(expected[:, 0]).sum(), left_out + np.isnan(expected[:, 0]).sum()
    assert compared > 20
    assert left_out or size == 2


def test_by_hand():
    """One own candidate below one of two negatives, of which one is drawn: first or second, each with 1/2."""
    profile = RankProfiles(np.array([1]), np.array([1]), np.array([1]), np.array([0]), 3)
    gallery = RandomGallery("pair", 2, 1, (1, 2), precision=True)
    np.testing.assert_allclose(expected_in(profile, gallery), [[1 / 2, 1, (1 + 1 / 2) / 2]], rtol=1e-15)
    tied = RankProfiles(np.array([1]), np.array([1]), np.array([1]), np.array([1]), 3)
    np.testing.assert_allclose(expected_in(tied, gallery), [[1 / 4, 1, 1 / 4 + 3 / 4 / 2]], rtol=1e-15)


def untied(aboves: np.ndarray, candidates: int) -> RankProfiles:
    own = np.ones_like(aboves)
    return RankProfiles(np.array([len(aboves)]), own, aboves, np.zeros_like(aboves), candidates)


@pytest.mark.parametrize("gallery", NAMED_GALLERIES, ids=lambda gallery: gallery.name)
def test_gallery_of_the_papers_by_scipy(gallery):
    """As many candidates as in Wen's test set, a few of them a person's own; places in falling order."""
    gallery = replace(gallery, ks=gallery.ks[::-1])
    p, total, g = gallery.own + 8, 20076, gallery.own
    m, drawn = total - p, gallery.size - g
    aboves = np.sort((m * np.random.default_rng(0).random(p) ** 3).astype(int))
    aboves[:3], aboves[-1] = 0, m
    k = np.arange(1, p + 1)
    best = np.array([comb(p - rank, g - 1) / comb(p, g) for rank in k])
    expected = [best @ hypergeom.cdf(places - 1, m, aboves, drawn) for places in gallery.ks]
    if gallery.precision:
        x, y = np.arange(g)[:, None], np.arange(drawn + 1)
        chances = [hypergeom.pmf(x, p - 1, rank - 1, g - 1) for rank in k]
        parts = [
            hypergeom.pmf(y, m, a, drawn) * c * (1 + x) / (1 + x + y) for a, c in zip(aboves, chances, strict=True)
        ]
        expected.append(sum(part.sum() for part in parts) / p)
    np.testing.assert_allclose(expected_in(untied(aboves, total), gallery)[0], expected, rtol=0, atol=1e-12)


def test_many_ties_by_scipy():
    """Four own candidates tie with 200 negatives, with 20 above and 600 below."""
    profile = RankProfiles(np.array([1]), np.array([4]), np.array([20]), np.array([200]), 824)
    tied = np.arange(201)
    for gallery in (RandomGallery("one", 50, 1, (1, 10)), RandomGallery("two", 30, 2, (1, 10), precision=True)):
        g, drawn = gallery.own, gallery.size - gallery.own
        expected = np.zeros(len(gallery.ks) + 1)
        for rank in (1, 2, 3, 4):
            number = nhypergeom.pmf(tied, 204, 200, rank)
            best = comb(4 - rank, g - 1) / comb(4, g)
            hits = [hypergeom.cdf(places - 1, 820, 20 + tied, drawn) for places in gallery.ks]
            x, y = np.arange(g), np.arange(drawn + 1)
            precision = ((1 + x[:, None]) / (1 + x[:, None] + y)).T
            given = hypergeom.pmf(y, 820, 20 + tied[:, None], drawn) @ precision @ hypergeom.pmf(x, 3, rank - 1, g - 1)
            expected += [*(best * number @ hit for hit in hits), number @ given / 4]
        width = len(gallery.ks) + gallery.precision
        np.testing.assert_allclose(expected_in(profile, gallery)[0], expected[:width], rtol=0, atol=1e-12)


def test_the_gallery_of_all_candidates_is_the_full_one():
    random, compared = np.random.default_rng(3), 0
    for _ in range(10):
        case = random_case(random, levels=5)
        profiles = rank_profiles(case.cross, np.arange(len(case.table)))
        full = precision_and_recall(profiles, KS)
        for owned in np.unique(profiles.owned):
            gallery = RandomGallery("all", profiles.candidates, int(owned), KS, precision=True)
            same, result = profiles.owned == owned, expected_in(profiles, gallery)
            np.testing.assert_allclose(result[same], np.roll(full, -1, axis=1)[same], rtol=0, atol=1e-12)
            assert np.isnan(result[profiles.owned < owned]).all()
            compared += same.sum()
    assert compared > 50


def test_guessing_reaches_chance():
    everything_ties = all_tied(np.array([30, 7, 30]), 6000)
    assert (everything_ties.twins == [0, 1, 0]).all()
    for gallery in (KIM_250, KIM_1000, TRINET, SPEECH2FACE):
        result, chance = expected_in(everything_ties, gallery), chance_in(gallery)
        np.testing.assert_allclose(result, np.tile(chance, (3, 1)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(chance_in(SPEECH2FACE), [0.01, 0.02, 0.05, 0.1], rtol=1e-12)
    np.testing.assert_allclose(chance_in(KIM_250), [0.004, 0.02, 0.04, 0.2, 0.4], rtol=1e-12)
    expected = [1 - comb(4980, k) / comb(5000, k) for k in KIM_5000.ks]
    np.testing.assert_allclose(chance_in(KIM_5000), expected, rtol=1e-10)
    by_scipy = sum(hypergeom.pmf(x, 499, 4, place) * (1 + x) / (1 + place) for place in range(500) for x in range(5))
    np.testing.assert_allclose(chance_in(TRINET), [by_scipy / 500], rtol=1e-10)
    assert f"{chance_in(TRINET)[0]:.2%}" == "2.15%"  # as in the paper's Table 2


def test_sizes_of_the_papers():
    """Kim et al. 2018 print as chance K of 250 people, for all sizes; TriNet has 100 people of 5 pictures."""
    assert [(gallery.size, gallery.size / gallery.own) for gallery in (KIM_250, KIM_1000, KIM_5000)] == [
        (250, 250),
        (1000, 250),
        (5000, 250),
    ]
    assert (TRINET.size, TRINET.own, SPEECH2FACE.size, SPEECH2FACE.own) == (500, 5, 100, 1)
    assert [gallery.precision for gallery in NAMED_GALLERIES] == [False, False, False, True, False]


def test_only_probes_with_enough_candidates_count():
    gallery = RandomGallery("small", 5, 2, (1,))
    owned = np.array([1, 2, 5, 6])
    assert fits(gallery, owned, 8).tolist() == [False, True, True, False]
    assert np.isnan(expected_in(all_tied(owned, 8), gallery)[:, 0]).tolist() == [True, False, False, True]


@pytest.mark.parametrize(("size", "own", "ks"), [(5, 0, (1,)), (5, 5, (1,)), (5, 2, (0, 1))])
def test_impossible_galleries_are_refused(size, own, ks):
    with pytest.raises(UsageError, match=f"got {own} of {size}"):
        RandomGallery("wrong", size, own, ks)
