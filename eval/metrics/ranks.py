"""Ranks of the own candidates of every probe among all candidates, ties kept as ties; read in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from eval.metrics.scores import COLUMNS, ROWS, CrossScores

CELLS = ROWS * COLUMNS  # scores held at a time
MOST_ROWS = 16 * ROWS  # of a block of probes
LOWEST = np.iinfo(np.int32).min  # below every key


@dataclass(frozen=True)
class RankProfiles:
    """Where the own candidates of R probes stand; S entries in all, one for each probe and distinct own score.

    Attributes:
        ends: (R,) int64, where the entries of each probe end; they begin where those of the one before end.
        own: (S,) int64, how many own candidates have the score; the entries of a probe are sorted, best first.
        above: (S,) int64, how many negatives (candidates of other people) score higher.
        tied: (S,) int64, how many negatives have the same score.
        candidates: number G of all candidates.
    """

    ends: Int[np.ndarray, " R"]
    own: Int[np.ndarray, " S"]
    above: Int[np.ndarray, " S"]
    tied: Int[np.ndarray, " S"]
    candidates: int

    @cached_property
    def lengths(self) -> Int[np.ndarray, " R"]:
        """Number of entries of each probe."""
        return np.diff(self.ends, prepend=0)

    @cached_property
    def owned(self) -> Int[np.ndarray, " R"]:
        """Number of own candidates of each probe."""
        return np.add.reduceat(self.own, self.ends - self.lengths)

    @cached_property
    def twins(self) -> Int[np.ndarray, " R"]:
        """The first probe with the same ranks as each probe: where all scores tie there is little to compute."""
        first: dict[bytes, int] = {}
        parts = np.split(np.stack([self.own, self.above, self.tied]), self.ends[:-1], axis=1)
        return np.array([first.setdefault(part.tobytes(), row) for row, part in enumerate(parts)])


def probes_at_a_time(cross: CrossScores) -> int:
    """Rows of a block of probes: more for a large gallery, so that one on disk is not read too often."""
    return int(np.clip(cross.scores.shape[1] // 256, ROWS, MOST_ROWS))


def rank_profiles(cross: CrossScores, probes: Int[np.ndarray, " R"]) -> RankProfiles:
    """Rank the own candidates of some probes in one pass over all candidates.

    Args:
        cross: scores of all probes with all candidates.
        probes: (R,) indices.

    Returns:
        Their profiles; no more than `CELLS` scores are in memory at a time.
    """
    distinct = [np.unique(keys, return_counts=True) for keys in cross.own_keys(probes)]
    keys = np.concatenate([values[::-1] for values, _ in distinct])
    own = np.concatenate([counts[::-1] for _, counts in distinct])
    ends = np.cumsum([len(values) for values, _ in distinct])
    above, tied = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    candidates, step = cross.scores.shape[1], max(1, CELLS // len(probes))
    for first in range(0, candidates, step):
        columns = slice(first, min(first + step, candidates))
        block = cross.scores.keys(probes, columns)
        block[cross.probe_identity[probes, None] == cross.candidate_identity[columns]] = LOWEST
        block.sort(axis=1)
        _count(block, keys, ends, above, tied)
    return RankProfiles(ends, own, above, tied, candidates)


@njit(nogil=True, cache=True)
def _count(block, keys, ends, above, tied):
    """Add to `above` and `tied`, for every key, the numbers of a sorted row that are larger and equal."""
    entry = 0
    for row in range(len(ends)):
        while entry < ends[row]:
            right = np.searchsorted(block[row], keys[entry], side="right")
            above[entry] += block.shape[1] - right
            while right > 0 and block[row, right - 1] == keys[entry]:
                tied[entry] += 1
                right -= 1
            entry += 1


def all_tied(owned: Int[np.ndarray, " R"], candidates: int) -> RankProfiles:
    """Profiles of guessing: all candidates score the same.

    Args:
        owned: (R,) number of own candidates of each probe.
        candidates: number of all candidates.
    """
    return RankProfiles(np.arange(1, len(owned) + 1), owned, np.zeros_like(owned), candidates - owned, candidates)


def precision_and_recall(profiles: RankProfiles, ks: Sequence[int]) -> Float[np.ndarray, "R K+1"]:
    """Average precision and R@K over the whole gallery, expected over random orders of equal scores.

    R@K is the probability that an own candidate is among the first K, whichever of them: a query counts as answered if
    its person is found (Kim et al. 2018, section 4.5, after Vendrov et al.), not a particular sample.

    Args:
        profiles: of R probes.
        ks: K numbers of places, each at least 1.

    Returns:
        (R, 1 + K) in [0, 1]: average precision, then R@K in the order of `ks`.

    Paper: McSherry & Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
    Scores, ECIR 2008: each of b tied places holds one of c own candidates with probability c/b, and before the i-th of
    them stand (i-1)(c-1)/(b-1) other own ones of the same score. Summed place by place instead of with harmonic
    numbers, whose differences lose digits far down the ranking. R@K: with s of the b places left, 1 - C(b-c,s)/C(b,s).
    """
    result = np.zeros((len(profiles.ends), 1 + len(ks)))
    _over_orders(profiles.ends, profiles.own, profiles.above, profiles.tied, np.array(ks, np.int64), result)
    result[:, 0] /= profiles.owned
    return result


@njit(nogil=True, cache=True)
def _over_orders(ends, own, above, tied, ks, result):
    """Fill in, per probe, the sum of the precisions of its own candidates, and R@K from its best score."""
    entry = 0
    for row in range(len(ends)):
        for k in range(len(ks)):
            left = ks[k] - above[entry]
            missed = 1.0 if left <= tied[entry] else 0.0
            for i in range(own[entry] if 0 < left <= tied[entry] else 0):
                missed *= (own[entry] + tied[entry] - left - i) / (own[entry] + tied[entry] - i)
            result[row, 1 + k] = 1.0 - missed
        better = 0  # own candidates of higher scores
        while entry < ends[row]:
            places = own[entry] + tied[entry]
            growth = (own[entry] - 1) / max(places - 1, 1)
            for i in range(places):
                precision = (better + 1 + i * growth) / (better + above[entry] + 1 + i)
                result[row, 0] += own[entry] / places * precision
            better += own[entry]
            entry += 1
