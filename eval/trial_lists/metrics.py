"""Figures of other people's lists: scores of given pairs, ROC of given pairs, average precision in a given gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.metrics.clusters import Clusters
from eval.metrics.intervals import percentile_interval
from eval.metrics.ranks import all_tied, precision_and_recall, probes_at_a_time, rank_profiles
from eval.metrics.roc import RocCounts, auc, eer
from eval.metrics.scores import ROWS, CrossScores, Scores
from eval.results import Row

GROUP = "list"


def pair_keys(
    scores: Scores, probes: Int[np.ndarray, " L"], candidates: Int[np.ndarray, "L N"]
) -> Int[np.ndarray, "L N"]:
    """Keys of the candidates of each probe.

    Args:
        scores: of all probes with all candidates.
        probes: (L,) numbers.
        candidates: (L, N) numbers, or (L,) for N = 1.

    Returns:
        (L, N) int32.
    """
    candidates = candidates.reshape(len(probes), -1)
    keys = np.empty(candidates.shape, np.int32)
    for first in range(0, len(probes), ROWS):
        block = slice(first, first + ROWS)
        wanted, place = np.unique(candidates[block], return_inverse=True)
        table = scores.keys(probes[block], wanted)
        keys[block] = np.take_along_axis(table, place.reshape(candidates[block].shape), axis=1)
    return keys


def roc_rows(
    keys: Int[np.ndarray, " L"],
    same: Bool[np.ndarray, " L"],
    person: Int[np.ndarray, " L"],
    clusters: Clusters,
    params: Mapping[str, Any],
) -> Iterator[Row]:
    """AUC and EER of pairs, with the interval of redrawn people; a pair counts as often as its probe's person.

    Args:
        keys: (L,) scores as whole numbers, higher is more alike.
        same: (L,) whether a pair is of one person; both kinds are there.
        person: (L,) whose probe each pair has.
        clusters: of the J people.
        params: of the rows.

    Returns:
        Rows `auc` and `eer`, see `eval.metrics.roc`.
    """
    place = np.unique(keys, return_inverse=True)[1]
    asked = np.unique(person)
    values = _roc_figures(place, same, np.ones(len(keys)))
    index, clusters = np.searchsorted(asked, person), clusters.of(asked)
    drawn = np.array([_roc_figures(place, same, weights[index]) for weights in clusters.draws]).T
    several = clusters.count > 1
    method = "bootstrap over clusters of the probes' people" if several else "none: one cluster of people"
    counts = {"trials": len(keys), "matched": int(same.sum())}
    for metric, value, part in zip(("auc", "eer"), values, drawn, strict=True):
        low, high = percentile_interval(part) if several else (None, None)
        yield Row(metric, "both", GROUP, value, low, high, method, 0.5, len(asked), {**params, **counts})


def _roc_figures(
    place: Int[np.ndarray, " L"], same: Bool[np.ndarray, " L"], weights: Float[np.ndarray, " L"]
) -> tuple[float, float]:
    """AUC and EER of pairs that count several times; NaN if only one class is left."""
    size = int(place.max()) + 1
    matched, non_matched = (np.bincount(place, weights * side, size).astype(np.int64) for side in (same, ~same))
    if not matched.any() or not non_matched.any():
        return float("nan"), float("nan")
    counts = RocCounts(np.arange(size), matched, non_matched, float)
    return auc(counts), eer(counts).rate


class _Part:
    """Scores of some probes with some candidates, in a new order."""

    def __init__(self, scores: Scores, probes: Int[np.ndarray, " Q"], candidates: Int[np.ndarray, " G"]) -> None:
        self._scores, self._probes, self._candidates = scores, probes, candidates
        self.shape, self.limit, self.value = (len(probes), len(candidates)), scores.limit, scores.value

    def keys(self, probes: np.ndarray | slice, candidates: np.ndarray | slice) -> Int[np.ndarray, "R C"]:
        return self._scores.keys(self._probes[probes], self._candidates[candidates])


def average_precision(
    cross: CrossScores, queries: Int[np.ndarray, " Q"], gallery: Int[np.ndarray, " G"]
) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, " Q"]]:
    """Average precision of queries in a gallery: the mean over own candidates of the precision at their rank.

    Equal scores have one rank, the last of theirs, as in scikit-learn's `average_precision_score`; peers take the order
    in which a sort leaves them. Without ties all agree. (`eval.embeddings.retrieval` has the expectation over their
    orders.)

    Args:
        cross: scores of all probes with all candidates.
        queries: (Q,) numbers of probes.
        gallery: (G,) numbers of candidates.

    Returns:
        (Q,) in [0, 1], 0 where the gallery has nobody of the query's person, and what guessing expects, 0 likewise.
    """
    who, owners = cross.probe_identity[queries], cross.candidate_identity[gallery]
    owned = np.bincount(owners, minlength=cross.people)[who]
    there = np.flatnonzero(owned)
    values, chance = np.zeros(len(queries)), np.zeros(len(queries))
    part = CrossScores(_Part(cross.scores, queries[there], gallery), who[there], owners, cross.people)

    def ranked(probes: Int[np.ndarray, " R"]) -> tuple[np.ndarray, np.ndarray]:
        found = rank_profiles(part, probes)
        starts = found.ends - found.lengths
        total = np.cumsum(found.own)
        better = total - np.repeat(total[starts] - found.own[starts], found.lengths)
        precision = found.own * better / (better + found.above + found.tied)
        return probes, np.add.reduceat(precision, starts) / found.owned

    for probes, precision in part.over_probes(ranked, "retrieval", probes_at_a_time(part)):
        values[there[probes]] = precision
    sizes, place = np.unique(owned[there], return_inverse=True)
    if len(sizes):
        chance[there] = precision_and_recall(all_tied(sizes, len(gallery)), ())[place, 0]
    return values, chance
