"""The report of `s2f-eval matching`: 1:2 and 1:N accuracy over every tuple, by group and by person, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.embeddings.controls import constant, shuffled
from eval.embeddings.folder import Embeddings
from eval.embeddings.groups import Grouping, clusters, grouping, left_out
from eval.metrics.bootstrap import bootstrap_accuracy, size_curve
from eval.metrics.clusters import Clusters
from eval.metrics.intervals import binomial_interval
from eval.metrics.n_way import n_way
from eval.metrics.two_way import Weighting, WinTable, accuracy, two_way_trials, win_table
from eval.results import DIRECTIONS, Direction, Report, Row
from s2f.errors import UsageError

PROTOCOL = "matching/1"
EVERYBODY = "U"


@dataclass(frozen=True)
class Protocol:
    """How triplets are weighed and how much is reported.

    Attributes:
        weighting: samples gives every probe the same weight, identities every person.
        negatives: identities draws N - 1 distinct people first, samples any candidates of other people.
        n_max: largest number of candidates of a trial.
        sizes: numbers of people whose accuracy is repeated on random subsets (TriNet, Fig. 4b).
        marginal: how many of the best and of the worst people are listed.
        control: also evaluate shuffled voices and constant embeddings.
    """

    weighting: Weighting = "samples"
    negatives: Weighting = "identities"
    n_max: int = 10
    sizes: Sequence[int] = (100, 189, 500, 1000)
    marginal: int = 5
    control: bool = True

    def __post_init__(self) -> None:
        if self.n_max < 2 or self.marginal < 0:
            got = f"{self.n_max} and {self.marginal}"
            raise UsageError("at least 2 candidates, and 0 or more people to be listed", got, "give other numbers")


def evaluate(embeddings: Embeddings, groupings: Sequence[Grouping], protocol: Protocol) -> Report:
    """Match in both directions.

    Args:
        embeddings: of J people.
        groupings: restrictions, usually `U` among them.
        protocol: see there.

    Returns:
        Rows `accuracy` by grouping and cell (1:2), for N up to `n_max`, of the controls, on random subsets of people;
        `marginal_accuracy` of the best and worst.
    """
    who = clusters(embeddings)
    rows = [row for direction in DIRECTIONS for row in _Direction(embeddings, direction, who, protocol).rows(groupings)]
    notes = [*embeddings.notes, *(note for one in groupings for note in left_out(one))]
    for direction in DIRECTIONS if protocol.control else ():
        rows += _controls(embeddings, direction, who, protocol)
    return Report(PROTOCOL, embeddings.split_hash, rows, notes)


def marginal_accuracy(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None = None,
) -> Float[np.ndarray, " J"]:
    """Share of triplets won among those that contain a person, as positive or as negative.

    Exact, over all triplets: a pair (positive's person a, negative's person b) weighs what it weighs in
    `eval.metrics.two_way.accuracy`, the probe weight of a times the share of b among a's rivals.

    Paper: SVHF (Nagrani et al., CVPR 2018), section 5.3, the unnumbered definition of mA(s), there
    over sampled triplets.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.

    Returns:
        (J,) in [0, 1]; NaN for people who are in no triplet.
    """
    usable = np.ones(table.wins.shape, bool) if allowed is None else allowed.copy()
    np.fill_diagonal(usable, False)
    weights = usable * (table.candidates if negatives == "samples" else np.ones(len(usable))).astype(float)
    amount = weights.sum(1)
    probes = table.probes if weighting == "samples" else np.ones(len(usable))
    weights *= (probes / np.where(amount > 0, amount, 1.0))[:, None]
    total = weights.sum(1) + weights.sum(0)
    weights *= table.wins
    return np.where(total > 0, (weights.sum(1) + weights.sum(0)) / np.where(total > 0, total, 1.0), np.nan)


def best_and_worst(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None,
    names: Sequence[str],
    count: int = 5,
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The people with the highest and with the lowest marginal accuracy.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.
        names: of the J people.
        count: length of each list; shorter if fewer people are in a triplet, and then both name the same people.

    Returns:
        Name and marginal accuracy of the best, best first, and of the worst, worst first; equal ones by name.
    """
    values = marginal_accuracy(table, weighting, negatives, allowed).tolist()
    people = [(name, value) for name, value in zip(names, values, strict=True) if value == value]
    best = sorted(people, key=lambda person: (-person[1], person[0]))
    worst = sorted(people, key=lambda person: (person[1], person[0]))
    return best[:count], worst[:count]


class _Direction:
    """One direction of an evaluation; the scores are passed over once for 1:2 and once a grouping for 1:N."""

    def __init__(self, embeddings: Embeddings, direction: Direction, who: Clusters, protocol: Protocol) -> None:
        self.names, self.direction, self.who, self.protocol = embeddings.identities, direction, who, protocol
        self.cross = embeddings.cross(direction)
        self.table = win_table(self.cross)

    def rows(self, groupings: Iterable[Grouping]) -> Iterator[Row]:
        for one in groupings:
            yield from self._two_way(one)
            yield from self._n_way(one)
            if one.name == EVERYBODY:
                yield from self._whole(one.allowed)

    def _row(self, group: str, value: float, limits: tuple[float, float], method: str, n: int, **params: Any) -> Row:
        base = {"n_way": 2, "weighting": self.protocol.weighting, "negatives": self.protocol.negatives} | params
        low, high = (None if np.isnan(limit) else float(limit) for limit in limits)
        chance = 1 / base["n_way"]
        return Row("accuracy", self.direction, group, float(value), low, high, method, chance, n, base)

    def _two_way(self, one: Grouping) -> Iterator[Row]:
        """The whole grouping, then each of its cells."""
        parts = [(one.name, one.allowed)]
        if len(one.labels) > 1:
            cells = ((label, one.cells == cell) for cell, label in enumerate(one.labels))
            parts += [(f"{one.name}: {label}", inside[:, None] & inside) for label, inside in cells]
        scheme = self.protocol.weighting, self.protocol.negatives
        for name, allowed in parts:
            value = accuracy(self.table, *scheme, allowed)[0]
            if np.isnan(value):
                continue  # everybody in it is alone; `left_out` says so
            limits = bootstrap_accuracy(self.table, *scheme, allowed, self.who.numbers)
            n = int((allowed & ~np.eye(len(allowed), dtype=bool)).any(1).sum())
            trials = two_way_trials(self.table, allowed)
            yield self._row(name, value, limits, f"bootstrap over {self.who.name}", n, trials=trials)

    def _n_way(self, one: Grouping) -> Iterator[Row]:
        """N from 3 on, as far as somebody has enough rivals."""
        sizes = np.bincount(one.compared[one.compared >= 0], minlength=1)
        most = min(self.protocol.n_max, int(sizes.max()))
        if most < 3:
            return
        found = n_way(self.cross, most, self.protocol.negatives, self.who.numbers, one.cells)
        values = found.accuracy(self.protocol.weighting)
        low, high = found.interval(self.protocol.weighting)
        for place in range(1, most - 1):
            n = int(sizes[sizes >= place + 2].sum())
            method = f"jackknife over {self.who.name}"
            yield self._row(one.name, values[place], (low[place], high[place]), method, n, n_way=place + 2)

    def _whole(self, allowed: Bool[np.ndarray, "J J"]) -> Iterator[Row]:
        """What is said of everybody together only: TriNet's two intervals, and the best and worst people."""
        scheme = self.protocol.weighting, self.protocol.negatives
        value, trials = accuracy(self.table, *scheme)[0], two_way_trials(self.table, allowed)
        limits = binomial_interval(float(value), trials)
        method = "binomial over triplets, u=2.576"
        yield self._row(EVERYBODY, value, limits, method, len(self.names), trials=trials)
        for point in size_curve(self.table, *scheme, sizes=self.protocol.sizes):
            method = f"t over {len(point.values)} subsets of people"
            spread = round(float(point.values.std(ddof=1)), 4)
            yield self._row(
                EVERYBODY, point.mean, (point.low, point.high), method, point.size, subset=point.size, std=spread
            )
        listed = best_and_worst(self.table, *scheme, None, self.names, self.protocol.marginal)
        for rank, people in zip(("best", "worst"), listed, strict=True):
            for name, own in people:
                row = self._row(EVERYBODY, own, (np.nan, np.nan), "none: one person", 1, person=name, listed=rank)
                yield replace(row, metric="marginal_accuracy")


def _controls(embeddings: Embeddings, direction: Direction, who: Clusters, protocol: Protocol) -> Iterator[Row]:
    """1:2 among everybody with voices dealt to other people, and with one vector for everything."""
    for name, altered in (("shuffled", shuffled(embeddings)), ("constant", constant(embeddings))):
        one = _Direction(altered, direction, who, protocol)
        row = next(one.rows([grouping(embeddings, EVERYBODY)]))
        yield replace(row, params={**row.params, "control": name})
