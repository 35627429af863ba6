"""Exact ROC curve of all pairs of a probe and a candidate: AUC, equal error rate and the points of a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit
from scipy.stats import norm

from eval.metrics.scores import CrossScores
from s2f.errors import UsageError

HALF = 32  # bits of a lower half, see `auc`
LISTED = 2**20  # pairs up to which sorting them is faster than tables by score
MIN_POINTS = 16


@dataclass(frozen=True)
class RocCounts:
    """How many pairs have each score; B different scores occur.

    Attributes:
        keys: (B,) int64 grid numbers of the scores, rising.
        matched: (B,) int64 pairs of one person.
        non_matched: (B,) int64 pairs of two people.
        value: the score at a key, see `eval.metrics.scores.Scores.value`.
    """

    keys: Int[np.ndarray, " B"]
    matched: Int[np.ndarray, " B"]
    non_matched: Int[np.ndarray, " B"]
    value: Callable[[float], float]

    @cached_property
    def pairs(self) -> tuple[int, int]:
        """Number of matched and of non-matched pairs."""
        return int(self.matched.sum()), int(self.non_matched.sum())


class PairBlock(NamedTuple):
    """Keys (R, C) of some probes with some candidates, and the people of both, (R,) and (C,)."""

    keys: Int[np.ndarray, "R C"]
    probe_people: Int[np.ndarray, " R"]
    candidate_people: Int[np.ndarray, " C"]


def pair_blocks(cross: CrossScores, cells: Int[np.ndarray, " J"], probes: Int[np.ndarray, " R"]) -> Iterator[PairBlock]:
    """Keys of some probes with all candidates of the same cell, block by block.

    Args:
        cross: scores of all probes with all candidates.
        cells: (J,) cell of each person; people of cell -1 are left out.
        probes: indices of probes.

    Yields:
        Blocks of one cell each; every pair that counts is in one of them, and no other.
    """
    cell_of_probe = cells[cross.probe_identity[probes]]
    cell_of_candidate = cells[cross.candidate_identity]
    for cell in np.unique(cell_of_probe[cell_of_probe >= 0]):
        rows = probes[cell_of_probe == cell]
        for block in cross.candidate_blocks():
            inside = np.flatnonzero(cell_of_candidate[block] == cell) + block.start
            if len(inside):
                columns = block if len(inside) == block.stop - block.start else inside
                keys = cross.scores.keys(rows, columns)
                yield PairBlock(keys, cross.probe_identity[rows], cross.candidate_identity[inside])


def checked_cells(cross: CrossScores, cells: Int[np.ndarray, " J"] | None) -> Int[np.ndarray, " J"]:
    """The cells as int64; one for everybody if None.

    Args:
        cross: tells the number J of people.
        cells: (J,) or None.

    Returns:
        (J,) int64.

    Raises:
        UsageError: another number of people.
    """
    cells = np.zeros(cross.people, np.int64) if cells is None else np.asarray(cells, np.int64)
    if cells.shape != (cross.people,):
        raise UsageError(f"a cell for each of {cross.people} people", f"shape {cells.shape}", "give one per person")
    return cells


def roc_counts(cross: CrossScores, cells: Int[np.ndarray, " J"] | None = None) -> RocCounts:
    """Count all pairs by score, in one pass that keeps no scores (from `LISTED` pairs on).

    Args:
        cross: scores of all probes with all candidates.
        cells: (J,) cell of each person: a non-matched pair is one of two people of the same cell (Wen et al. 2021,
            "G": a negative has the gender of the probe); people of cell -1 are left out altogether. None lets everybody
            be compared with everybody. Matched pairs are always those of one person.

    Returns:
        The counts.

    Raises:
        UsageError: the cells are not one for each person.
    """
    cells = checked_cells(cross, cells)
    known = cells >= 0
    sides = (np.bincount(cells[known], count[known]) for count in (cross.probe_counts, cross.candidate_counts))
    count = _listed if np.multiply(*sides).sum() <= LISTED else _tabled
    return RocCounts(*count(cross, cells), cross.scores.value)


def _listed(cross: CrossScores, cells: Int[np.ndarray, " J"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys that occur, and the matched and non-matched pairs of each, by sorting all keys."""

    def work(probes: Int[np.ndarray, " R"]) -> list[tuple[np.ndarray, np.ndarray]]:
        blocks = list(pair_blocks(cross, cells, probes))
        own = [block.probe_people[:, None] == block.candidate_people for block in blocks]
        return [(block.keys[same], block.keys[~same]) for block, same in zip(blocks, own, strict=True)]

    nothing = (np.zeros(0, np.int32), np.zeros(0, np.int32))
    parts = zip(nothing, *(part for parts in cross.over_probes(work, "verification") for part in parts), strict=True)
    found = [np.unique(np.concatenate(part), return_counts=True) for part in parts]
    keys = np.union1d(found[0][0], found[1][0]).astype(np.int64)
    counts = np.zeros((2, len(keys)), np.int64)
    for side, (occurring, times) in zip(counts, found, strict=True):
        side[np.searchsorted(keys, occurring)] = times
    return keys, counts[0], counts[1]


def _tabled(cross: CrossScores, cells: Int[np.ndarray, " J"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same by two tables of 2·limit + 1 places that all threads share."""
    limit, lock = cross.scores.limit, Lock()
    matched, non_matched = np.zeros(2 * limit + 1, np.int64), np.zeros(2 * limit + 1, np.int64)

    def work(probes: Int[np.ndarray, " R"]) -> None:
        for block in pair_blocks(cross, cells, probes):
            with lock:
                _count(*block, limit, matched, non_matched)

    for _ in cross.over_probes(work, "verification"):
        pass
    places = np.flatnonzero((matched > 0) | (non_matched > 0))
    return places - limit, matched[places], non_matched[places]


@njit(nogil=True, cache=True)
def _count(keys, probe_people, candidate_people, limit, matched, non_matched):
    """Add the pairs of a block to the tables; place 0 is the key -limit."""
    for row in range(keys.shape[0]):
        for column in range(keys.shape[1]):
            place = np.uint32(keys[row, column] + limit)  # without a sign numba need not look for negative places
            if candidate_people[column] == probe_people[row]:
                matched[place] += 1
            else:
                non_matched[place] += 1


def _both_classes(counts: RocCounts) -> tuple[int, int]:
    """Number of matched and of non-matched pairs.

    Raises:
        UsageError: there are none of a kind.
    """
    matched, non_matched = counts.pairs
    if not matched or not non_matched:
        fix = "compare at least two people, each with a voice and a face"
        raise UsageError("matched and non-matched pairs", f"{matched} and {non_matched}", fix)
    return matched, non_matched


def auc(counts: RocCounts) -> float:
    """Area under the ROC curve: P(matched > non-matched) + P(equal)/2 over all pairs of pairs.

    Args:
        counts: pairs by score.

    Returns:
        In [0, 1]; the nearest float to the exact fraction (whole numbers, divided once).

    Raises:
        UsageError: only one class of pairs.
    """
    matched, non_matched = _both_classes(counts)
    below = np.cumsum(counts.non_matched)  # with the place itself
    places = np.flatnonzero(counts.matched)
    wins = 2 * below[places] - counts.non_matched[places]  # twice the lower ones plus those equal
    times = counts.matched[places]
    # the sum may need more than 64 bits, the sums of the halves do not
    total = (int(times @ (wins >> HALF)) << HALF) + int(times @ (wins & (2**HALF - 1)))
    return total / (2 * matched * non_matched)


class EqualError(NamedTuple):
    """Where a verifier errs equally often on both kinds of pairs.

    Attributes:
        rate: share of matched pairs rejected = share of non-matched pairs accepted.
        threshold: the score that is the limit: higher ones are accepted, lower ones rejected.
        key: the threshold as a key of the grid.
        rejected: share in (0, 1] of the pairs with exactly this score that is rejected.
    """

    rate: float
    threshold: float
    key: int
    rejected: float


def eer(counts: RocCounts) -> EqualError:
    """Equal error rate on the ROC curve that joins its points by straight lines.

    A line is what a threshold gives that rejects equal scores at random, so the two rates can always be made equal. It
    is what `brentq` on the linearly interpolated curve finds (Xie et al. 2019 and most speaker verification code). CMPC
    takes the false positive rate at the point where the two differ least, which depends on the order of ties and on how
    dense the points are; with many pairs and no ties both agree.

    Args:
        counts: pairs by score.

    Returns:
        Rate and threshold.

    Raises:
        UsageError: only one class of pairs.
    """
    m, n = _both_classes(counts)
    rejected_m, rejected_n = (np.cumsum(side) for side in (counts.matched, counts.non_matched))

    def excess(missed: int, refused: int) -> int:
        """(FNR - FPR)·m·n; rises with the threshold."""
        return missed * n - (n - refused) * m

    low, place = 0, len(rejected_m) - 1  # the first place at which FNR >= FPR is in low..place
    while low < place:
        middle = (low + place) // 2
        enough = excess(int(rejected_m[middle]), int(rejected_n[middle])) >= 0
        low, place = (low, middle) if enough else (middle + 1, place)
    here_m, here_n = int(counts.matched[place]), int(counts.non_matched[place])
    before_m, before_n = int(rejected_m[place]) - here_m, int(rejected_n[place]) - here_n
    share = Fraction(-excess(before_m, before_n), here_m * n + here_n * m)
    key = int(counts.keys[place])
    return EqualError(float((before_m + share * here_m) / m), counts.value(key), key, float(share))


def det_points(counts: RocCounts, points: int = 1000) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, " Q"]]:
    """Points of the ROC and DET curves for a plot; Q is at most `points` or little more.

    Points are taken at evenly spaced rates of both kinds of error, at rates evenly spaced on the normal-deviate axes of
    a DET plot (down to 10⁻⁶), and on both sides of each jump that this finds; each is exact.

    Args:
        counts: pairs by score.
        points: about how many, at least 16; curves with fewer points are given whole.

    Returns:
        False positive rate, rising from 0 to 1, and false negative rate, falling from 1 to 0.

    Raises:
        UsageError: only one class of pairs, or too few points.
    """
    m, n = _both_classes(counts)
    if points < MIN_POINTS:
        raise UsageError(f"at least {MIN_POINTS} points", str(points), "ask for more")
    rejected = [np.concatenate(([0], np.cumsum(side))) for side in (counts.matched, counts.non_matched)]
    places = np.arange(len(rejected[0]))
    if len(places) > points:
        count = points // 8  # of two axes, two spacings, two sides
        spread = norm.cdf(np.linspace(norm.ppf(1e-6), norm.ppf(1 - 1e-6), count))
        levels = np.concatenate([np.linspace(0, 1, count), spread])
        after = [np.searchsorted(side, levels * side[-1]) for side in rejected]
        places = np.unique(np.concatenate([*after, *(np.maximum(side - 1, 0) for side in after), places[-1:]]))
    return (1 - rejected[1][places] / n)[::-1], (rejected[0][places] / m)[::-1]
