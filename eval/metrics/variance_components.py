"""How much features of the same thing agree, and how much those of different people: cosines, variances, recognition.

Features are compared as unit vectors in float64. The groups are clips with their segments, or people with their clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from eval.metrics.bootstrap import redrawn_accuracy
from eval.metrics.clusters import Measure
from eval.metrics.permutations import permutations
from eval.metrics.scores import CrossScores, Scores, VectorScores, unit
from eval.metrics.two_way import WinTable, win_table

SHUFFLES = 1000
ROUNDING = 1e-12  # a variance of unit vectors below this is none


@dataclass(frozen=True)
class Groups:
    """Features of J groups, each of one speaker.

    Attributes:
        features: (N, D) float64 of unit length, the rows of a group together.
        counts: (J,) rows of each group.
        speakers: (J,) name of each group's speaker.
        genders: (J,) "f", "m", or "" where unknown.
    """

    features: Float[np.ndarray, "N D"]
    counts: Int[np.ndarray, " J"]
    speakers: Sequence[str]
    genders: Sequence[str]

    @cached_property
    def starts(self) -> Int[np.ndarray, " J"]:
        """First row of each group."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def means(self) -> Float[np.ndarray, "J D"]:
        """Mean of each group's rows."""
        return self.summed(self.features) / self.counts[:, None]

    def summed(self, rows: Float[np.ndarray, "N ..."]) -> Float[np.ndarray, "J ..."]:
        """Sums over each group's rows."""
        return np.add.reduceat(rows, self.starts)


def grouped(
    members: Sequence[Sequence[np.ndarray]], speakers: Sequence[str], genders: Sequence[str] | None = None
) -> Groups:
    """Groups of features (D,) of any length but 0, which are brought to unit length."""
    rows = unit(np.stack([row for group in members for row in group]))
    counts = np.array([len(group) for group in members])
    return Groups(rows, counts, speakers, genders if genders is not None else [""] * len(members))


class Components(NamedTuple):
    """(R,) variance within groups, variance between them, and the intraclass correlation, NaN without any variance."""

    within: Float[np.ndarray, " R"]
    between: Float[np.ndarray, " R"]
    icc: Float[np.ndarray, " R"]


def components(groups: Groups, draws: Float[np.ndarray, "R J"]) -> Components:
    """One-way random effects: variance within and between groups, traces of covariance matrices.

    With MSB and MSW the mean squares between and within, summed over the D dimensions, and
    k0 = (N - sum n²/N) / (J - 1): within = MSW, between = (MSB - MSW) / k0, which may be below 0, and ICC(1) =
    between / (between + within) = (MSB - MSW) / (MSB + (k0 - 1) MSW).

    Source: the analysis-of-variance estimator for groups of unequal size, as reviewed by Donner, "A Review of Inference
    Procedures for the Intraclass Correlation Coefficient in the One-Way Random Effects Model" (International
    Statistical Review, 1986). Deviation: squares are summed over dimensions, so the parts are those of the whole
    vector.

    Args:
        groups: J groups.
        draws: (R, J) how often each group is there; copies count as different groups.

    Returns:
        The parts. If no group has a second row, `within` is 0 and `between` holds all variance; with fewer than two
        groups all are NaN.
    """
    centred = groups.features - groups.features.mean(0)
    means = groups.summed(centred) / groups.counts[:, None]
    spread = groups.summed(((centred - np.repeat(means, groups.counts, axis=0)) ** 2).sum(1))
    number, rows, weights = draws.sum(1), draws @ groups.counts, draws * groups.counts
    grand = weights @ means / rows[:, None]
    between_squares = weights @ (means**2).sum(1) - rows * (grand**2).sum(1)
    return _components(between_squares, draws @ spread, number, rows, draws @ groups.counts.astype(float) ** 2)


def _components(between_squares, within_squares, number, rows, squared_counts) -> Components:
    free = rows - number
    within = np.where(free > 0, within_squares / np.where(free > 0, free, 1.0), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = (rows - squared_counts / rows) / (number - 1)
        between = (between_squares / (number - 1) - within) / size
        whole = between + within
        return Components(within, between, np.where(whole > ROUNDING, between / whole, np.nan))


def within_cosines(groups: Groups) -> Float[np.ndarray, " J"]:
    """Mean cosine over the pairs of each group's rows; every group has at least two."""
    squares = (groups.summed(groups.features) ** 2).sum(1)
    return _pair_cosines(squares, groups.counts)


def _pair_cosines(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """From the squared lengths of sums of unit vectors."""
    return (squares - counts) / (counts * (counts - 1))


def mean_of(values: Float[np.ndarray, " J"]) -> Measure:
    """Measure: the mean of values."""
    return lambda draws: draws @ values / draws.sum(1)


def mean_over(table: Float[np.ndarray, "J J"], allowed: Bool[np.ndarray, "J J"]) -> Measure:
    """Measure: the mean of a table over the allowed pairs; NaN where there is no such pair."""

    def measure(draws: Float[np.ndarray, "R J"]) -> Float[np.ndarray, " R"]:
        total = ((draws @ allowed.astype(float)) * draws).sum(1)
        summed = ((draws @ np.where(allowed, table, 0.0)) * draws).sum(1)
        return np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)

    return measure


def won(table: WinTable, allowed: Bool[np.ndarray, "J J"]) -> Measure:
    """Measure: share of the triples of allowed pairs that are won, see `recognition_table`; every group the same."""
    return lambda draws: redrawn_accuracy(table, "identities", "identities", allowed, draws)


class OthersOnly:
    """Scores of features among themselves, in which a feature as its own candidate is above everything.

    Args:
        scores: of N features with the same N.
    """

    def __init__(self, scores: Scores) -> None:
        self._scores, self.shape, self.limit = scores, scores.shape, scores.limit + 1

    def keys(self, probes: Any, candidates: Any) -> Int[np.ndarray, "R C"]:
        """See `Scores.keys`."""
        places = np.arange(self.shape[0])
        keys = self._scores.keys(probes, candidates)
        keys[places[probes][:, None] == places[candidates]] = self.limit
        return keys

    def value(self, key: float) -> float:
        """See `Scores.value`."""
        return self._scores.value(key)


def recognition_table(groups: Groups) -> WinTable:
    """How often a row is nearer, by cosine, to another row of its group than to a row of another group; ties half.

    All triples are counted by `eval.metrics.two_way.win_table`. That counts a row as a candidate for itself too; here
    it wins every time, 1/n of a group's triples, which is then taken off.

    Args:
        groups: J groups of at least two rows.

    Returns:
        The table of groups by groups.
    """
    owner = np.repeat(np.arange(len(groups.counts)), groups.counts)
    scores = OthersOnly(VectorScores(groups.features, groups.features, "cosine"))
    table = win_table(CrossScores(scores, owner, owner, len(groups.counts)))
    counts = groups.counts[:, None]
    wins = (table.wins * counts - 1) / (counts - 1)
    np.fill_diagonal(wins, 0.0)
    return replace(table, wins=wins)


def shuffled_components(groups: Groups, seed: int = 0) -> tuple[Float[np.ndarray, " R"], Components]:
    """Put the rows into groups of the same sizes at random.

    Args:
        groups: J groups of at least two rows.
        seed: of the `SHUFFLES` permutations of the rows.

    Returns:
        Mean cosine within the random groups, and their parts of variance.
    """
    counts, rows = groups.counts, len(groups.features)
    orders = tqdm(permutations(rows, SHUFFLES, seed), "shuffled", SHUFFLES, leave=False, delay=2)
    squares = np.array([(groups.summed(groups.features[order]) ** 2).sum(1) for order in orders])
    cosines = _pair_cosines(squares, counts).mean(1)
    explained = (squares / counts).sum(1)
    total = (groups.features.sum(0) ** 2).sum() / rows
    about = len(counts), float(rows), (counts.astype(float) ** 2).sum()
    return cosines, _components(explained - total, rows - explained, *about)


def shuffled(groups: Groups, seed: int = 0) -> Groups:
    """The same groups with their rows in random order, the first of `shuffled_components`."""
    (order,) = permutations(len(groups.features), 1, seed)
    return replace(groups, features=groups.features[order])
