"""Exact 1:2 matching: every probe, every candidate of its own person, every candidate of everybody else.

Whether a probe prefers its own person's candidate depends on two people, so one table of J x J shares answers for all
triplets at once, under any weights of the people, any restriction of who may be compared, and any redraw of the people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from eval.metrics.scores import CrossScores

Weighting = Literal["samples", "identities"]
WEIGHTINGS: tuple[Weighting, Weighting] = ("samples", "identities")


@dataclass(frozen=True)
class WinTable:
    """How often people win against each other; J people.

    Attributes:
        wins: (J, J); at (a, b) the mean, over the probes of person a and a's own candidates, of the share of b's
            candidates that score lower, equal ones counting half. The diagonal is 0 and never used.
        probes: (J,) number of probes of each person.
        candidates: (J,) number of candidates of each person.
    """

    wins: Float[np.ndarray, "J J"]
    probes: Int[np.ndarray, " J"]
    candidates: Int[np.ndarray, " J"]


def win_table(cross: CrossScores) -> WinTable:
    """Count every triplet.

    Args:
        cross: scores of all probes with all candidates.

    Returns:
        The table: whole counts, divided once.
    """
    counts = np.zeros((cross.people, cross.people), np.int64)
    for people, part in cross.over_probes(lambda probes: _counted(cross, probes), "1:2 matching"):
        counts[people] += part
    triplets = cross.probe_counts[:, None] * cross.candidate_counts[:, None] * cross.candidate_counts
    wins = counts / (2.0 * triplets)
    np.fill_diagonal(wins, 0.0)
    return WinTable(wins, cross.probe_counts, cross.candidate_counts)


def _counted(cross: CrossScores, probes: Int[np.ndarray, " R"]) -> tuple[np.ndarray, Int[np.ndarray, "K J"]]:
    """People of some probes, and twice the triplets that they win against everybody."""
    people, place = np.unique(cross.probe_identity[probes], return_inverse=True)
    counts = np.zeros((len(people), cross.people), np.int64)
    own = cross.own_keys(probes)
    ends = np.cumsum([len(keys) for keys in own])
    for packed in cross.packed_blocks(probes):
        _sweep(packed, np.concatenate(own), ends, place, counts)
    return people, counts


@njit(nogil=True, cache=True)
def _sweep(packed, own, ends, place, counts):
    """Add to `counts`, for every candidate of a sorted row, twice the own candidates above it plus those equal."""
    for row in range(packed.shape[0]):
        first, end = (ends[row - 1] if row else 0), ends[row]
        lower = equal = first  # own[first:lower] score lower than the candidate, own[lower:equal] the same
        for column in range(packed.shape[1]):
            key = packed[row, column] >> 32
            while lower < end and own[lower] < key:
                lower += 1
            equal = max(equal, lower)
            while equal < end and own[equal] == key:
                equal += 1
            counts[place[row], packed[row, column] & 0xFFFFFFFF] += 2 * (end - equal) + (equal - lower)


def accuracy(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None = None,
    draws: Float[np.ndarray, "R J"] | None = None,
) -> Float[np.ndarray, " R"]:
    """Share of triplets won, under R weightings of the people.

    Args:
        table: see `win_table`.
        weighting: samples gives every probe the same weight, identities every person.
        negatives: samples draws the negative from all other people's candidates alike, identities draws a person first.
        allowed: whose candidates (column) may be the negative of whose probes (row); None for everybody's. The person
            itself never is.
        draws: (R, J) how often each person is there; None for once each (R = 1).

    Returns:
        (R,) in [0, 1]; NaN where nobody has a negative. Probes without one do not count.
    """
    draws = np.ones((1, len(table.wins))) if draws is None else draws
    usable = ~np.eye(len(table.wins), dtype=bool) if allowed is None else allowed & ~np.eye(len(allowed), dtype=bool)
    rivals = draws * (table.candidates if negatives == "samples" else 1.0)
    amount = rivals @ usable.T.astype(float)
    won = rivals @ (table.wins * usable).T / np.where(amount > 0, amount, 1.0)
    probes = draws * (table.probes if weighting == "samples" else 1.0) * (amount > 0)
    total = probes.sum(1)
    return np.where(total > 0, (probes * won).sum(1) / np.where(total > 0, total, 1.0), np.nan)


def two_way_trials(table: WinTable, allowed: Bool[np.ndarray, "J J"]) -> int:
    """Number of triplets: probe, own candidate, candidate of another person in reach."""
    others = allowed & ~np.eye(len(allowed), dtype=bool)
    return int((table.probes * table.candidates * (others @ table.candidates)).sum())
