"""Two systems on the same people and samples: which one matches better, and is the difference more than chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest

from eval.embeddings.folder import Embeddings, KeptRows, Samples
from eval.embeddings.groups import Grouping, left_out, of_people, with_rows
from eval.embeddings.sampled_matching import one_of
from eval.metrics.bootstrap import redrawn_accuracy
from eval.metrics.clusters import Clusters
from eval.metrics.intervals import cluster_draws, percentile_interval
from eval.metrics.scores import CrossScores
from eval.metrics.two_way import Weighting, WinTable, accuracy, two_way_trials, win_table
from eval.results import DIRECTIONS, Direction, Report, Row
from s2f.datasets import PEOPLE_COLUMNS
from s2f.errors import DatasetError

PAIRS = 64  # triplets scored at a time
MCNEMAR_METHOD = "none: triplets share people, p is too small"


@dataclass(frozen=True)
class _Task:
    """What two systems are compared in."""

    direction: Direction
    group: str
    weighting: Weighting
    negatives: Weighting
    allowed: Bool[np.ndarray, "J J"]  # without the diagonal

    def row(
        self,
        metric: str,
        value: float,
        interval: tuple[float, float] | None,
        how: str,
        chance: float | None,
        **more: Any,
    ) -> Row:
        low, high = interval or (None, None)
        params = {"n_way": 2, "weighting": self.weighting, "negatives": self.negatives, **more}
        people = int(self.allowed.any(1).sum())
        return Row(metric, self.direction, self.group, value, low, high, how, chance, people, params)


def compare(
    a: Embeddings,
    b: Embeddings,
    groupings: Sequence[Grouping],
    clusters: Clusters,
    weighting: Weighting,
    negatives: Weighting,
    draws: int = 1000,
    seed: int = 0,
    triplets: int = 10_000,
) -> Report:
    """Exact 1:2 accuracy of two systems, its difference with a paired bootstrap, and McNemar's test.

    Both are evaluated on the samples that both folders hold, see `same_samples`. The bootstrap redraws whole clusters
    of people, the same ones for both systems: what is hard for both does not widen the interval of the difference.

    Args:
        a: system A, of J people.
        b: system B.
        groupings: of the people of A.
        clusters: of A's people, see `eval.embeddings.groups.clusters`.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        draws: of the bootstrap.
        seed: of the bootstrap and of the triplets.
        triplets: that both systems answer for McNemar's test.

    Returns:
        Report "compare/1". By direction and grouping: `accuracy` of A and of B; `accuracy_difference`, B - A, with p as
        in `bootstrap_p`; `mcnemar`, the p of `mcnemar`, too small as it takes triplets that share people as
        independent. Groupings in which nobody has a negative have no rows, and a note.

    Raises:
        DatasetError: the folders hold too few samples in common, or samples cannot be told apart.
    """
    a, b, kept, notes = same_samples(a, b)
    groupings = [replace(grouping, cells=grouping.cells[kept]) for grouping in groupings]
    clusters = clusters.of(kept)
    weights = cluster_draws(clusters.numbers, draws, seed)
    unit = "clusters of people" if clusters.shared else "people"
    rows: list[Row] = []
    for direction in DIRECTIONS:
        crosses = (a.cross(direction), b.cross(direction))
        tables = (win_table(crosses[0]), win_table(crosses[1]))
        for grouping in groupings:
            allowed = grouping.allowed & ~np.eye(kept.sum(), dtype=bool)
            if allowed.any():
                task = _Task(direction, grouping.name, weighting, negatives, allowed)
                rows += _accuracy_rows(task, tables, weights, f"paired bootstrap over {unit}")
                rows.append(_mcnemar_row(task, crosses, triplets, seed))
    for grouping in groupings:
        notes += left_out(grouping)
    return Report("compare/1", a.split_hash, rows, notes)


def _accuracy_rows(
    task: _Task, tables: tuple[WinTable, WinTable], weights: Float[np.ndarray, "R J"], how: str
) -> list[Row]:
    choice = (task.weighting, task.negatives, task.allowed)
    exact = [float(accuracy(table, *choice)[0]) for table in tables]
    redrawn = [redrawn_accuracy(table, *choice, weights) for table in tables]
    trials = two_way_trials(tables[0], task.allowed)
    rows = [
        task.row("accuracy", value, percentile_interval(values), how, 0.5, system=system, trials=trials)
        for system, value, values in zip("AB", exact, redrawn, strict=True)
    ]
    change = redrawn[1] - redrawn[0]
    p = bootstrap_p(change)
    interval = percentile_interval(change)
    rows.append(
        task.row("accuracy_difference", exact[1] - exact[0], interval, how, 0.0, system="B - A", p=p, trials=trials)
    )
    return rows


def _mcnemar_row(task: _Task, crosses: tuple[CrossScores, CrossScores], count: int, seed: int) -> Row:
    drawn = drawn_triplets(crosses[0], task.weighting, task.negatives, task.allowed, count, seed)
    found = mcnemar(outcomes(crosses[0], drawn), outcomes(crosses[1], drawn))
    counts = {"b": found.b, "c": found.c, "ties": found.ties, "trials": count}
    return task.row("mcnemar", found.p, None, MCNEMAR_METHOD, None, **counts)


def bootstrap_p(differences: Float[np.ndarray, " R"]) -> float:
    """Two-sided p of no difference: min(1, 2 (1 + min(#{d ≤ 0}, #{d ≥ 0})) / (1 + R)), over R bootstrap differences d.

    Args:
        differences: (R,); NaN are dropped.

    Returns:
        p in (0, 1]; the smallest is 2 / (1 + R).
    """
    found = differences[np.isfinite(differences)]
    return float(min(1.0, 2 * (1 + min((found <= 0).sum(), (found >= 0).sum())) / (1 + len(found))))


class McNemar(NamedTuple):
    """`p`; `b` triplets that only A answers rightly, `c` that only B does, `ties` left out as a system tied."""

    p: float
    b: int
    c: int
    ties: int


def mcnemar(a: Int[np.ndarray, " T"], b: Int[np.ndarray, " T"]) -> McNemar:
    """Exact McNemar test: are the triplets that only one system answers rightly shared out evenly?

    The test takes triplets as independent. They share people, so its p is too small; it is here because papers use it.
    The paired bootstrap over people (`compare`) is the one to trust.

    Args:
        a: (T,) outcomes of system A, see `outcomes`; a triplet that is tied in either system is left out and counted.
        b: (T,) outcomes of system B.

    Returns:
        Two-sided exact binomial p of b against c, 1 if both are 0.
    """
    decided = (a != 0) & (b != 0)
    only_a, only_b = (int((decided & (x > y)).sum()) for x, y in ((a, b), (b, a)))
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(float(p), only_a, only_b, int((~decided).sum()))


def outcomes(cross: CrossScores, triplets: Int[np.ndarray, "T 3"]) -> Int[np.ndarray, " T"]:
    """Answers to some triplets: 1 right, 0 a tie, -1 wrong.

    Args:
        cross: scores.
        triplets: (T, 3) rows of probe, positive and negative.

    Returns:
        (T,) int64.
    """
    found = []
    for first in range(0, len(triplets), PAIRS):
        probe, positive, negative = triplets[first : first + PAIRS].T
        keys = cross.scores.keys(probe, np.concatenate([positive, negative])).astype(np.int64)
        row = np.arange(len(probe))
        found.append(np.sign(keys[row, row] - keys[row, len(row) + row]))
    return np.concatenate(found)


def drawn_triplets(
    cross: CrossScores,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"],
    count: int,
    seed: int = 0,
) -> Int[np.ndarray, "T 3"]:
    """Random triplets as the papers draw them, with replacement; `two_way.accuracy` is the mean over all draws.

    Args:
        cross: who is who.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise; somebody must have a negative.
        count: number T of triplets.
        seed: of the draw.

    Returns:
        (T, 3) rows of probe, positive and negative.
    """
    random = np.random.default_rng(seed)
    usable = allowed & ~np.eye(cross.people, dtype=bool)
    rivals = cross.candidate_counts if negatives == "samples" else np.ones(cross.people)
    weights = (cross.probe_counts if weighting == "samples" else 1.0) * usable.any(1)
    people = random.choice(cross.people, count, p=weights / weights.sum())
    others = np.empty_like(people)
    for person in np.unique(people):
        places, share = np.flatnonzero(people == person), rivals * usable[person]
        others[places] = random.choice(cross.people, len(places), p=share / share.sum())
    probe = one_of(random, cross.probe_identity, people)
    sides = [one_of(random, cross.candidate_identity, who) for who in (people, others)]
    return np.stack([probe, *sides], axis=1)


def same_samples(a: Embeddings, b: Embeddings) -> tuple[Embeddings, Embeddings, Bool[np.ndarray, " J"], list[str]]:
    """Both folders without what the other one lacks, row for row the same samples.

    A sample is known by its cells in all columns that both tables have, save those of people (gender, age, ...). If
    they share no column path, rows are taken by their order: they must then agree in these cells and in number.

    Args:
        a: system A, of J people.
        b: system B.

    Returns:
        A and B with the same rows; (J,) which people of A are left; a sentence for everything that is not, and one if
        the split hashes differ, which is no error: the samples are the same, whoever the models were trained on.

    Raises:
        DatasetError: rows cannot be told apart, or samples of fewer than two people are in both.
    """
    notes = [f"{system}: {note}" for system, side in (("A", a), ("B", b)) for note in side.notes]
    hashes = [str(side.about.get("split_hash") or "")[:12] for side in (a, b)]
    if all(hashes) and hashes[0] != hashes[1]:
        notes.append(
            f"split hashes differ ({' and '.join(hashes)}): the same samples, perhaps other people in training"
        )
    people = set(a.identities) & set(b.identities)
    rows = {side.name: _shared_rows(side, other, people) for side, other in ((a.voice, b.voice), (a.face, b.face))}
    matched = []
    for number, (system, embeddings) in enumerate((("A", a), ("B", b))):
        for side in (embeddings.voice, embeddings.face):
            if alone := len(side.identity) - len(rows[side.name][number]):
                notes.append(f"{alone} {side.name} rows that only {system} has left out")
        sides = [with_rows(side, rows[side.name][number]) for side in (embeddings.voice, embeddings.face)]
        matched.append(replace(embeddings, voice=sides[0], face=sides[1]))
    voiced, faced = (set(side.columns["identity"]) for side in (matched[0].voice, matched[0].face))
    kept = [np.array([name in voiced & faced for name in side.identities]) for side in matched]
    for system, chosen in zip("AB", kept, strict=True):
        if not chosen.all():
            notes.append(f"{(~chosen).sum()} people of {system} without a voice and a face in both left out")
    return of_people(matched[0], kept[0]), of_people(matched[1], kept[1]), kept[0], notes


def _shared_rows(a: Samples, b: Samples, people: set[str]) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"]]:
    """Rows of the samples that both tables hold, in the order of A."""
    shared = [column for column in a.columns if column in b.columns and column not in PEOPLE_COLUMNS]
    keys = [list(zip(*(side.columns[column] for column in shared), strict=True)) for side in (a, b)]
    if "path" not in shared:
        return _rows_in_order(a, b, keys, people)
    place = {key: row for row, key in enumerate(keys[1])}
    if len(place) < len(keys[1]) or len(set(keys[0])) < len(keys[0]):
        got = f"several with the same {', '.join(shared)}"
        raise DatasetError(f"different samples in both {a.name}.csv", got, "give both tables the same columns")
    rows = [row for row, key in enumerate(keys[0]) if key in place]
    return np.array(rows, np.int64), np.array([place[keys[0][row]] for row in rows], np.int64)


def _rows_in_order(
    a: Samples, b: Samples, keys: list[list[tuple[str, ...]]], people: set[str]
) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"]]:
    """Rows of the people of both, in tables without a path."""
    fix = f"add a column path to both {a.name}.csv"
    if isinstance(a.vectors, KeptRows) or isinstance(b.vectors, KeptRows):
        got = "tables without a path, of which rows were left out"
        raise DatasetError("samples that can be told apart", got, fix)
    names = [side.columns["identity"] for side in (a, b)]
    rows = [[row for row, name in enumerate(side) if name in people] for side in names]
    found = [[side[row] for row in chosen] for side, chosen in zip(keys, rows, strict=True)]
    if found[0] != found[1]:
        got = f"{len(found[0])} and {len(found[1])} rows without a path that do not agree line by line"
        raise DatasetError(f"the same samples in the same order in both {a.name}.csv", got, fix)
    return np.array(rows[0], np.int64), np.array(rows[1], np.int64)
