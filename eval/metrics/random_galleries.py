"""Retrieval from random galleries of a given size, in closed form: the mean over all galleries, none drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from eval.metrics.ranks import RankProfiles, all_tied, precision_and_recall
from s2f.errors import UsageError

NEGLIGIBLE = 1e-18  # relative to the likeliest number: what lies beyond adds less than 1e-16


@dataclass(frozen=True)
class RandomGallery:
    """A gallery of `size` candidates: `own` of the probe's person's, the others uniformly from everybody else's.

    Attributes:
        name: for the table.
        size: number n of candidates.
        own: number g of own candidates among them, at least 1 and fewer than `size`.
        ks: places K of R@K.
        precision: whether mAP is asked for.
    """

    name: str
    size: int
    own: int
    ks: tuple[int, ...]
    precision: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.own < self.size or min(self.ks, default=1) < 1:
            got = f"{self.own} of {self.size} and places {self.ks}"
            raise UsageError("a gallery with own and other candidates, and places from 1", got, "correct the sizes")


NAMED_GALLERIES = (
    RandomGallery("Kim 2018, 250", 250, 1, (1, 5, 10, 50, 100)),
    RandomGallery("Kim 2018, 1000", 1000, 4, (1, 5, 10, 50, 100)),
    RandomGallery("Kim 2018, 5000", 5000, 20, (1, 5, 10, 50, 100)),
    RandomGallery("TriNet 2020, 500", 500, 5, (), precision=True),
    RandomGallery("Speech2Face 2019, 100", 100, 1, (1, 2, 5, 10)),
)
"""Galleries of the papers: Kim et al. 2018, Table 6 (1, 4 and 20 samples of 250 people); TriNet 2020, section 5.1 (5
pictures of 100 people, mAP); Speech2Face 2019, Table 3 (5,000 pictures, but a chance of K % at K: 100 in effect).

Deviation: there every person has as many samples as the probe's; here the others are drawn uniformly from everybody
else's, so a person may have more or none.
"""


def fits(gallery: RandomGallery, owned: Int[np.ndarray, " R"], candidates: int) -> Bool[np.ndarray, " R"]:
    """Whether a gallery can be drawn for probes with so many own candidates among so many in all."""
    return (owned >= gallery.own) & (candidates - owned >= gallery.size - gallery.own)


def chance_in(gallery: RandomGallery) -> Float[np.ndarray, " C"]:
    """What guessing reaches, exactly.

    Args:
        gallery: the gallery.

    Returns:
        (C,) columns as of `expected_in`: 1 - C(n-g,K)/C(n,K), and the average precision when all scores tie.
    """
    precision, *recalls = precision_and_recall(all_tied(np.array([gallery.own]), gallery.size), gallery.ks)[0]
    return np.array([*recalls, *([precision] if gallery.precision else [])])


def expected_in(profiles: RankProfiles, gallery: RandomGallery) -> Float[np.ndarray, "R C"]:
    """R@K and average precision, expected over all galleries and all orders of equal scores.

    A probe has P own candidates and M negatives, `above` of them above its k-th best own candidate; m = n - g of the
    negatives are drawn. The k-th is the best own one drawn with probability C(P-k,g-1)/C(P,g), and then a hit if fewer
    than K drawn negatives are above it: R@K = Σₖ C(P-k,g-1)/C(P,g) · P(Y < K), Y hypergeometric (M, above, m).
    Each own candidate is drawn with probability g/P and counts 1/g: AP = 1/P · Σₖ E[(1+X)/(1+X+Y)], X hypergeometric
    (P-1, k-1, g-1) the drawn own ones above it; own ones and negatives are drawn apart, so X and Y are independent.
    Ties: a random order of all that tie puts those that are drawn in random order too; of t tied negatives the j-th of
    c tied own candidates has a negative hypergeometric number above it, which is added to `above`.

    Args:
        profiles: of R probes.
        gallery: what is drawn.

    Returns:
        (R, C) in [0, 1]: R@K for each of `ks`, then AP if asked for; NaN for probes with too few candidates to draw.
    """
    ks = np.array(gallery.ks, np.int64)
    result = np.full((len(profiles.ends), len(ks) + gallery.precision), np.nan)
    usable = fits(gallery, profiles.owned, profiles.candidates) & (profiles.twins == np.arange(len(result)))
    for owned in np.unique(profiles.owned[usable]):
        chosen = usable & (profiles.owned == owned)
        negatives = profiles.candidates - owned
        places = _places(profiles, chosen, negatives)
        factors = _factors(owned, gallery)
        columns = np.zeros((len(places), factors.shape[1]))
        inverse = 1.0 / np.arange(1, gallery.size + 1)
        _by_above(places, negatives, gallery.size - gallery.own, ks, inverse, columns)
        sums, rows = np.zeros((len(result), factors.shape[1])), np.flatnonzero(chosen)
        begins = np.searchsorted(places, profiles.above)
        _over_own(rows, profiles.ends, profiles.own, profiles.tied, begins, columns, factors, sums)
        result[rows, : len(ks)] = sums[rows, : len(ks)]
        if gallery.precision:
            result[rows, -1] = sums[rows, len(ks) :].sum(1)
    return result[profiles.twins]


def _places(profiles: RankProfiles, chosen: Bool[np.ndarray, " R"], negatives: int) -> Int[np.ndarray, " A"]:
    """Numbers of negatives that may stand above an own candidate of the chosen probes, rising."""
    entries = np.repeat(chosen, profiles.lengths)
    above, tied = profiles.above[entries], profiles.tied[entries]
    changes = np.bincount(above, minlength=negatives + 2) - np.bincount(above + tied + 1, minlength=negatives + 2)
    return np.flatnonzero(np.cumsum(changes))


def _factors(owned: int, gallery: RandomGallery) -> Float[np.ndarray, "P C"]:
    """What the columns of `_by_above` count for, by the rank of an own candidate among the own ones."""
    g, k = gallery.own, np.arange(1, owned)
    best = np.cumprod(np.concatenate([[g / owned], np.maximum(owned - k - g + 1, 0) / (owned - k)]))
    depth = g if gallery.precision else 0
    above = np.zeros((owned, depth))
    for rank in range(owned if depth else 0):
        _shares(rank, g - 1, owned - rank - g + 1, g - 1, above[rank])
    return np.hstack([np.repeat(best[:, None], len(gallery.ks), 1), above * np.arange(1, depth + 1) / owned])


@njit(nogil=True, cache=True)
def _shares(alpha, beta, gamma, most, shares):
    """Probabilities of the numbers y = 0..most, that of y + 1 being (alpha-y)(beta-y)/((y+1)(gamma+y)) times that of y.

    Of N things A are marked and m drawn: Y marked ones are drawn with alpha, beta, gamma = A, m, N-A-m+1
    (hypergeometric). Of t + c things in random order Y of the t precede the j-th of the c with -j, t, j-t-c (negative
    hypergeometric). Starting from the likeliest number nothing cancels or overflows. Returns the first and last number
    that is not negligible; `shares` holds the probabilities between them.
    """
    slope = alpha + beta + gamma + 1
    first = last = 0 if slope == 0 else min(max((alpha * beta - gamma) // slope + 1, 0), most)
    shares[first] = total = weight = 1.0
    while last < most and weight > NEGLIGIBLE:
        weight *= (alpha - last) * (beta - last) / ((last + 1) * (gamma + last))
        last += 1
        shares[last] = weight
        total += weight
    weight = 1.0
    while first > 0 and weight > NEGLIGIBLE:
        first -= 1
        weight *= (first + 1) * (gamma + first) / ((alpha - first) * (beta - first))
        shares[first] = weight
        total += weight
    for y in range(first, last + 1):
        shares[y] /= total
    return first, last


@njit(nogil=True, cache=True)
def _by_above(places, negatives, drawn, ks, inverse, columns):
    """Fill in, for Y of `drawn` negatives above: P(Y < K) for every K, then E[1/(1+x+Y)] for x = 0, 1, ...

    Without the latter, rows are left at 0 where P(Y < K) is below 1e-17 by Hoeffding's bound exp(-2(EY-K+1)²/drawn).
    """
    depth, most = columns.shape[1] - len(ks), 0
    for k in ks:
        most = max(most, k)
    shares = np.empty(drawn + 1)
    for row in range(len(places)):
        above = places[row]
        excess = above * drawn / negatives - most + 1
        if depth == 0 and excess > 0 and excess * excess > 20 * drawn:
            continue
        first, last = _shares(above, drawn, negatives - above - drawn + 1, drawn, shares)
        for k in range(len(ks)):
            for y in range(first, min(last + 1, ks[k])):
                columns[row, k] += shares[y]
        for y in range(first, last + 1):
            for x in range(depth):
                columns[row, len(ks) + x] += shares[y] * inverse[x + y]


@njit(nogil=True, cache=True)
def _over_own(rows, ends, own, tied, begins, columns, factors, sums):
    """Sum up, per probe, factors times columns over its own candidates, on average over the orders of what ties."""
    shares = np.empty(tied.max() + 1)
    for row in rows:
        rank = 0
        for entry in range(ends[row - 1] if row else 0, ends[row]):
            for j in range(1, own[entry] + 1):
                first, last = _shares(-j, tied[entry], j - tied[entry] - own[entry], tied[entry], shares)
                for y in range(first, last + 1):
                    for column in range(columns.shape[1]):
                        value = columns[begins[entry] + y, column]
                        sums[row, column] += factors[rank, column] * shares[y] * value
                rank += 1
