"""Exact 1:N matching for all N at once, with jackknife intervals over people.

For a probe and one candidate of its own person, let a rival person j hold the share p_j of candidates that score lower.
If N - 1 distinct rivals each send one candidate, drawn uniformly, the own one wins with probability
e_{N-1}(p) / C(J, N-1): the mean of the products over all (N-1)-subsets, e an elementary symmetric polynomial, J rivals.
Adding rivals one by one keeps the means E_k themselves, which stay in [0, 1] and involve no subtraction:

    E_k(j) = (j - k)/j E_k(j-1) + k/j p_j E_{k-1}(j-1).

If the negatives are drawn from all rivals' M candidates alike, r of them lower, it is C(r, N-1) / C(M, N-1).
Equal scores count in expectation over random orders: with t equal negatives drawn, the own one wins with 1/(1 + t). For
rivals this is the integral over u in [0, 1] of the polynomial in p_j + u q_j, q_j the equal share: exact by
Gauss-Legendre nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student

from eval.metrics.n_way_kernels import add_distinct, add_uniform, fill, shares
from eval.metrics.scores import ROWS, CrossScores
from eval.metrics.two_way import WEIGHTINGS, Weighting

TABLE = 2**22  # numbers in a block's table of counts
Sums = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # won, weight and their changes, see `NWay`
SAFE_RIVALS = 30  # leaving one out is stable up to N - 1 of half the rivals, and for so few rivals always


@dataclass(frozen=True)
class NWay:
    """Sums from which accuracies follow; N = 2 … K + 1, W weightings, Z cells, C clusters.

    Attributes:
        won: (W, Z, K) weighted sum over probes of the probability to win.
        weight: (W, Z, K) sum of the weights of probes that have N - 1 rivals.
        won_change: (W, Z, C, K) change of `won` if a cluster is left out.
        weight_change: (W, Z, C, K) change of `weight`.
        rivals: (Z,) number of rivals of each person, one less than the people of the cell.
    """

    won: Float[np.ndarray, "W Z K"]
    weight: Float[np.ndarray, "W Z K"]
    won_change: Float[np.ndarray, "W Z C K"]
    weight_change: Float[np.ndarray, "W Z C K"]
    rivals: Int[np.ndarray, " Z"]

    def accuracy(self, weighting: Weighting, cell: int | None = None) -> Float[np.ndarray, " K"]:
        """Accuracy for each N, of one cell or of all together; NaN where nobody has N - 1 rivals."""
        won, weight = self._of(self.won, weighting, cell), self._of(self.weight, weighting, cell)
        return _ratio(won, weight)

    def interval(
        self, weighting: Weighting, cell: int | None = None, confidence: float = 0.95
    ) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """Delete-one-cluster jackknife, Student's t with one degree less than clusters.

        Args:
            weighting: see `eval.metrics.two_way.accuracy`.
            cell: one cell, or all together.
            confidence: level.

        Returns:
            Limits (K,) in [0, 1] for each N; NaN with fewer than three clusters, where leaving one out leaves nobody
            with N - 1 rivals, and where N - 1 is more than half of over 30 rivals (rounding).
        """
        won = self._of(self.won, weighting, cell) + self._of(self.won_change, weighting, cell)
        weight = self._of(self.weight, weighting, cell) + self._of(self.weight_change, weighting, cell)
        involved = (self._of(self.weight_change, weighting, cell) < 0).any(1)
        without, count = _ratio(won, weight)[involved], int(involved.sum())
        if count < 3:
            nothing = np.full(self.won.shape[-1], np.nan)
            return nothing, nothing
        rivals, drawn = self.rivals[slice(None) if cell is None else [cell]][:, None], np.arange(1, won.shape[1] + 1)
        without[:, ((rivals > SAFE_RIVALS) & (drawn > rivals / 2) & (drawn <= rivals)).any(0)] = np.nan
        variance = (count - 1) / count * ((without - without.mean(0)) ** 2).sum(0)
        reach = student.ppf((1 + confidence) / 2, count - 1) * np.sqrt(variance)
        middle = self.accuracy(weighting, cell)
        return np.maximum(middle - reach, 0.0), np.minimum(middle + reach, 1.0)

    @staticmethod
    def _of(sums: np.ndarray, weighting: Weighting, cell: int | None) -> np.ndarray:
        chosen = sums[WEIGHTINGS.index(weighting)]
        return np.asarray(chosen.sum(0) if cell is None else chosen[cell])


def n_way(
    cross: CrossScores,
    n_max: int,
    negatives: Weighting,
    clusters: Int[np.ndarray, " J"],
    cells: Int[np.ndarray, " J"] | None = None,
) -> NWay:
    """Count every N-tuple for N = 2 … n_max in one pass.

    Args:
        cross: scores of all probes with all candidates.
        n_max: largest number of candidates of a trial.
        negatives: identities draws N - 1 distinct people, then one candidate of each, as the papers do; samples draws
            from all other people's candidates alike, without replacement.
        clusters: (J,) which people are one unit of the jackknife, numbered from 0.
        cells: (J,) negatives come from the probe's own cell only; people at -1 are left out. None for everybody.

    Returns:
        Sums for both weightings.
    """
    cells = np.zeros(cross.people, np.int64) if cells is None else cells
    shape = (len(WEIGHTINGS), int(cells.max()) + 1, int(clusters.max()) + 1, n_max - 1)
    sums = _no_sums(shape)
    nodes, node_weights = np.polynomial.legendre.leggauss((n_max + 1) // 2)
    rows = max(1, min(ROWS, TABLE // ((2 * int(cross.candidate_counts.max()) + 1) * cross.people)))
    plan = _Plan(n_max - 1, negatives == "identities", (nodes + 1) / 2, node_weights / 2, clusters, cells)
    for parts in cross.over_probes(lambda probes: _counted(cross, probes, plan, shape), "1:N matching", rows):
        for total, part in zip(sums, parts, strict=True):
            total += part
    sizes = np.bincount(cells[cells >= 0], minlength=shape[1])
    return NWay(*sums, sizes - 1)


@dataclass(frozen=True)
class _Plan:
    most: int
    distinct: bool
    nodes: np.ndarray
    node_weights: np.ndarray
    clusters: np.ndarray
    cells: np.ndarray


def _counted(cross: CrossScores, probes: Int[np.ndarray, " R"], plan: _Plan, shape: tuple[int, int, int, int]) -> Sums:
    """The sums of `NWay` over some probes."""
    own = [np.unique(keys, return_counts=True) for keys in cross.own_keys(probes)]
    keys, repeats = (np.concatenate(parts) for parts in zip(*own, strict=True))
    ends = np.cumsum([len(values) for values, _ in own])
    table = np.zeros((len(probes), 2 * max(len(values) for values, _ in own) + 1, cross.people), np.int32)
    for packed in cross.packed_blocks(probes):
        fill(packed, keys, ends, table)
    sums = _no_sums(shape)
    person = cross.probe_identity[probes]
    order = np.argsort(plan.clusters, kind="stable")
    for row in np.flatnonzero(plan.cells[person] >= 0):
        own_repeats = repeats[ends[row - 1] if row else 0 : ends[row]]
        cell = plan.cells[person[row]]
        rivals = order[(plan.cells[order] == cell) & (order != person[row])]
        row_weights = np.array([1.0, 1.0 / cross.probe_counts[person[row]]])
        known = cross.candidate_counts[rivals], plan.clusters[rivals]
        own_sums = [part[:, cell] for part in sums]
        own_cluster = plan.clusters[person[row]]
        if plan.distinct:
            lower, column_weights = shares(table[row], own_repeats, rivals, known[0], plan.nodes, plan.node_weights)
            add_distinct(lower, column_weights, known[1], own_cluster, row_weights, *own_sums)
        else:
            add_uniform(table[row], own_repeats, rivals, *known, own_cluster, row_weights, *own_sums)
    return sums


def _no_sums(shape: tuple[int, int, int, int]) -> Sums:
    """The sums of `NWay` over nobody, for a shape (W, Z, C, K)."""
    weightings, cells, _, most = shape
    total = weightings, cells, most
    return np.zeros(total), np.zeros(total), np.zeros(shape), np.zeros(shape)


def _ratio(won: np.ndarray, weight: np.ndarray) -> np.ndarray:
    there = weight > 1e-9  # rounding, not zero, is left where everybody was taken away
    return np.where(there, won / np.where(there, weight, 1.0), np.nan)
