"""Verification over all pairs of a voice and a face: AUC and equal error rate, with intervals that respect people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit
from scipy.stats import t as student

from eval.embeddings.controls import constant, shuffled
from eval.embeddings.folder import Embeddings
from eval.embeddings.groups import Grouping, left_out
from eval.metrics.clusters import Clusters
from eval.metrics.roc import EqualError, RocCounts, auc, checked_cells, eer, pair_blocks, roc_counts
from eval.metrics.scores import CrossScores
from eval.results import Report, Row
from s2f.errors import UsageError

PROTOCOL = "verification/1"
PLACES = 20  # bits of the number of steps of the score that the interval of the AUC tells apart
WINDOW = 0.1  # share of the matched pairs around the EER threshold that tells how steep the curves are


class Interval(NamedTuple):
    """Confidence limits, both None where there is no interval, and how it was made or why there is none."""

    low: float | None
    high: float | None
    method: str


def intervals(
    cross: CrossScores,
    counts: RocCounts,
    clusters: Int[np.ndarray, " J"],
    cells: Int[np.ndarray, " J"] | None = None,
    confidence: float = 0.95,
) -> tuple[Interval, Interval]:
    """Intervals of the AUC and of the EER when whole clusters of people are the independent units.

    Pairs are not independent: one voice is in thousands of them. To first order the AUC moves with the weight of
    cluster c by its influence

        phi_c = sum over matched pairs of c of (F(s) - AUC)/m
              + sum over non-matched pairs that involve c of (S(s) - AUC)/n

    with F(s) the share of the n non-matched pairs that score below s, and S(s) the share of the m matched pairs above,
    equal ones counting half. The variance is K/(K-1) times the sum over the K clusters of (phi_c - mean)². This is the
    clustered form of DeLong's variance (Obuchowski, Biometrics 1997) for pairs that belong to two clusters: each of
    both has them whole, and a pair of two people of one cluster counts once, as it comes and goes with that cluster
    alone. The EER moves by (f·dFPR + g·dFNR)/(f + g), f and g being the densities of matched and non-matched scores at
    the threshold, taken in the narrowest range of keys, symmetric about the threshold, that holds `WINDOW` of the
    matched pairs. F and S are looked up with scores told apart in up to 2**`PLACES` even steps. Limits are the estimate
    plus and minus a quantile of Student's t with K - 1 degrees of freedom, cut to [0, 1]. The second-order part is left
    out, so with very few clusters the intervals are a little short.

    Args:
        cross: scores of all probes with all candidates; gone through once.
        counts: of the same scores and cells.
        clusters: (J,) independent unit of each person.
        cells: as in `eval.metrics.roc.roc_counts`.
        confidence: level in (0, 1).

    Returns:
        Of the AUC, and of the EER.

    Raises:
        UsageError: only one class of pairs, or clusters or cells that are not one for each person.
    """
    cells, area, found = checked_cells(cross, cells), auc(counts), eer(counts)
    units = _units(cross, clusters, cells)
    if units.max() < 1:
        nothing = Interval(None, None, "none: people of one cluster only")
        return nothing, nothing
    steps, shift = _pair_steps(counts, found), _shift(counts)
    first, gains = int(counts.keys[0]), _pair_gains(counts, shift)

    def work(probes: Int[np.ndarray, " R"]) -> Float[np.ndarray, "K 2"]:
        influence = np.zeros((units.max() + 1, 2))
        for block in pair_blocks(cross, cells, probes):
            _add_influence(*block, units, first, shift, found.key, *gains, steps, influence)
        return influence

    influence = np.zeros((units.max() + 1, 2))
    for part in cross.over_probes(work, "intervals of verification"):
        influence += part
    of_auc, of_eer = (_interval(*pair, confidence) for pair in zip((area, found.rate), influence.T, strict=True))
    return of_auc, of_eer


def _units(cross: CrossScores, clusters: Int[np.ndarray, " J"], cells: Int[np.ndarray, " J"]) -> Int[np.ndarray, " J"]:
    """Clusters that take part, numbered from 0; -1 for people who do not."""
    clusters = np.asarray(clusters)
    if clusters.shape != (cross.people,):
        got = f"shape {clusters.shape}"
        raise UsageError(f"a cluster for each of {cross.people} people", got, "give one per person")
    units = np.full(cross.people, -1)
    units[cells >= 0] = np.unique(clusters[cells >= 0], return_inverse=True)[1]
    return units


def _shift(counts: RocCounts) -> int:
    """Lower bits of a key, counted from the lowest one that occurs, that the interval of the AUC does not look at."""
    return max(0, int(counts.keys[-1] - counts.keys[0]).bit_length() - PLACES)


def _pair_gains(counts: RocCounts, shift: int) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """What a matched and what a non-matched pair of each step of the score adds to the influence on the AUC."""
    m, n = counts.pairs
    steps = (counts.keys - counts.keys[0]) >> shift
    matched, non_matched = (np.bincount(steps, side) for side in (counts.matched, counts.non_matched))
    lower = np.cumsum(non_matched) - non_matched / 2
    higher = m - np.cumsum(matched) + matched / 2
    area = matched @ lower / (m * n)
    return (lower / n - area) / m, (higher / m - area) / n


def _density_share(counts: RocCounts, found: EqualError) -> float:
    """Density of matched scores at the threshold, divided by that of both kinds together."""
    m, n = counts.pairs
    matched, non_matched = (np.concatenate(([0], np.cumsum(side))) for side in (counts.matched, counts.non_matched))

    def within(side: Int[np.ndarray, " B1"], width: int) -> int:
        first, end = np.searchsorted(counts.keys, (found.key - width, found.key + width + 1))
        return int(side[end] - side[first])

    low, width = 0, int(counts.keys[-1] - counts.keys[0])  # the narrowest is in low..width
    while low < width:
        middle = (low + width) // 2
        low, width = (low, middle) if within(matched, middle) >= WINDOW * m else (middle + 1, width)
    f, g = within(matched, width) / m, within(non_matched, width) / n
    return f / (f + g)


def _pair_steps(counts: RocCounts, found: EqualError) -> Float[np.ndarray, "2 3"]:
    """What a matched (row 0) and a non-matched pair below, at and above the threshold adds to the EER's influence."""
    m, n = counts.pairs
    share, rejected = _density_share(counts, found), np.array([1.0, found.rejected, 0.0])
    return np.stack([(1 - share) * (rejected - found.rate) / m, share * (1 - rejected - found.rate) / n])


@njit(nogil=True, cache=True)
def _add_influence(
    keys, probe_people, candidate_people, units, first, shift, at, matched_gains, other_gains, steps, influence
):
    """Add what the pairs of a block give to their clusters' influence on the AUC (column 0) and the EER (1)."""
    by_column = np.zeros((2, keys.shape[1]))  # of pairs of two clusters, for that of the candidate
    for row in range(keys.shape[0]):
        person, unit = probe_people[row], units[probe_people[row]]
        gains = step_sum = 0.0
        for column in range(keys.shape[1]):
            key = keys[row, column]
            place = np.uint32((key - first) >> shift)  # without a sign numba need not look for negative places
            side = np.uint32(key >= at) + np.uint32(key > at)
            if candidate_people[column] == person:
                gains += matched_gains[place]
                step_sum += steps[0, side]
                continue
            gains += other_gains[place]
            step_sum += steps[1, side]
            if units[candidate_people[column]] != unit:
                by_column[0, column] += other_gains[place]
                by_column[1, column] += steps[1, side]
        influence[unit, 0] += gains
        influence[unit, 1] += step_sum
    for column in range(keys.shape[1]):
        influence[units[candidate_people[column]], 0] += by_column[0, column]
        influence[units[candidate_people[column]], 1] += by_column[1, column]


def _interval(value: float, influence: Float[np.ndarray, " K"], confidence: float) -> Interval:
    count = len(influence)
    error = float(np.sqrt(count / (count - 1) * ((influence - influence.mean()) ** 2).sum()))
    if error < 1e-12:
        return Interval(None, None, "none: no spread between people")
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * error
    method = f"influence of {count} clusters"
    return Interval(max(value - half, 0.0), min(value + half, 1.0), method)


def evaluate(embeddings: Embeddings, groupings: Sequence[Grouping], clusters: Clusters, control: bool = True) -> Report:
    """AUC and EER over all pairs of a voice and a face, for each grouping and each of its cells.

    A person alone in a cell has no non-matched pairs there and is left out of the grouping, as in matching; a note says
    how many.

    Args:
        embeddings: voices and faces of J people.
        groupings: who may be compared with whom.
        clusters: of the J people.
        control: whether to add, for the grouping of everybody, the controls: voices dealt to other people
            (control=shuffled), and embeddings that are all the same (control=constant).

    Returns:
        Protocol "verification/1": `trials` is the number of pairs, `matched` how many of them are of one person;
        `threshold` the score at which both error rates are equal.

    Raises:
        DatasetError: embeddings of a joint scorer, which have no scores of their own.
        UsageError: clusters or cells that are not one for each person.
    """
    cross = embeddings.cross("v2f")
    rows: list[Row] = []
    notes = list(embeddings.notes)
    for grouping in groupings:
        cells = grouping.compared
        notes += left_out(grouping)
        rows += _rows(cross, cells, clusters, grouping.name, {})
        for cell, label in enumerate(grouping.labels if grouping.columns else ()):
            rows += _rows(cross, np.where(cells == cell, 0, -1), clusters, f"{grouping.name}: {label}", {})
        if control and not grouping.columns:
            for name, made in (("shuffled", shuffled(embeddings)), ("constant", constant(embeddings))):
                rows += _rows(made.cross("v2f"), cells, clusters, grouping.name, {"control": name})
    return Report(PROTOCOL, embeddings.split_hash, rows, notes)


def _rows(
    cross: CrossScores,
    cells: Int[np.ndarray, " J"],
    clusters: Clusters,
    group: str,
    params: Mapping[str, Any],
) -> list[Row]:
    """AUC and EER of a group; nothing if nobody is in it."""
    people = int((cells >= 0).sum())
    if not people:
        return []
    counts = roc_counts(cross, cells)
    matched, non_matched = counts.pairs
    trials = {"trials": matched + non_matched, "matched": matched}
    found = eer(counts)
    threshold = {"threshold": float(f"{found.threshold:.6g}")}
    of_auc, of_eer = intervals(cross, counts, clusters.numbers, cells)
    return [
        Row("auc", "both", group, auc(counts), *of_auc, 0.5, people, {**params, **trials}),
        Row("eer", "both", group, found.rate, *of_eer, 0.5, people, {**params, **threshold, **trials}),
    ]
