"""Other people: intervals of the exact accuracy by redrawing whole clusters of people, and its spread over subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.metrics.intervals import cluster_draws, percentile_interval, t_interval
from eval.metrics.two_way import Weighting, WinTable, accuracy
from s2f.errors import UsageError

BLOCK = 2**22  # numbers of a block of draws


def redrawn_accuracy(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None,
    draws: Float[np.ndarray, "R J"],
) -> Float[np.ndarray, " R"]:
    """`eval.metrics.two_way.accuracy` under many draws, in blocks, without the people who are compared with nobody.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.
        draws: (R, J) how often each person is there, as probe and as negative; copies of a person never meet.

    Returns:
        (R,) in [0, 1]; NaN where nobody has a negative.
    """
    if allowed is not None and not (compared := allowed.any(0) | allowed.any(1)).all():
        table = WinTable(table.wins[np.ix_(compared, compared)], table.probes[compared], table.candidates[compared])
        allowed, draws = allowed[np.ix_(compared, compared)], draws[:, compared]
    step = max(1, BLOCK // max(len(table.wins), 1))
    blocks = (draws[first : first + step] for first in range(0, len(draws), step))
    return np.concatenate([accuracy(table, weighting, negatives, allowed, block) for block in blocks])


def bootstrap_accuracy(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None,
    clusters: Int[np.ndarray, " J"],
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval (95 %) of the accuracy for other people of the same kind: percentiles over redrawn clusters.

    A redrawn person is there with all their samples, as probe and as negative of others.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.
        clusters: (J,) see `eval.embeddings.groups.clusters`.
        draws: number of redraws.
        seed: of the redraws.

    Returns:
        Lower and upper limit; NaN if in no draw anybody has a negative. Draws without any are dropped.
    """
    values = redrawn_accuracy(table, weighting, negatives, allowed, cluster_draws(clusters, draws, seed))
    return percentile_interval(values)


def subset_accuracies(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None,
    size: int,
    repeats: int = 30,
    seed: int = 0,
) -> Float[np.ndarray, " R"]:
    """Exact accuracy among random subsets of the people.

    Paper: TriNet, section 5.4 and Fig. 4b (30 sets of 100, 189, 500 and 1,000 people); there triplets are sampled.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.
        size: people of a subset, 2 to J, drawn without replacement.
        repeats: number R of subsets.
        seed: of the subsets; each size has its own.

    Returns:
        (R,) in [0, 1]; NaN where nobody has a negative.

    Raises:
        UsageError: a size that cannot be drawn.
    """
    people = len(table.wins)
    if not 2 <= size <= people:
        raise UsageError(f"a subset of 2 to {people} people", str(size), "give another size")
    random = np.random.default_rng([seed, size])
    draws = np.zeros((repeats, people))
    for draw in draws:
        draw[random.choice(people, size, replace=False)] = 1.0
    return redrawn_accuracy(table, weighting, negatives, allowed, draws)


@dataclass(frozen=True)
class SizePoint:
    """Accuracy among subsets of one size.

    Attributes:
        size: people of a subset.
        mean: of the values.
        low: lower limit of Student's interval of the mean.
        high: upper limit.
        values: (R,) accuracy of each subset that has one.
        dropped: number of subsets in which nobody has a negative.
    """

    size: int
    mean: float
    low: float
    high: float
    values: Float[np.ndarray, " R"]
    dropped: int


def size_curve(
    table: WinTable,
    weighting: Weighting,
    negatives: Weighting,
    allowed: Bool[np.ndarray, "J J"] | None = None,
    sizes: Sequence[int] = (100, 189, 500, 1000),
    repeats: int = 30,
    seed: int = 0,
) -> list[SizePoint]:
    """How much the accuracy depends on who is tested, by the number of people; see `subset_accuracies`.

    Subsets of the same J people overlap, the more the closer their size is to J; there the spread is too small for
    what new people would give.

    Args:
        table: of J people.
        weighting: see `eval.metrics.two_way.accuracy`.
        negatives: likewise.
        allowed: likewise.
        sizes: of the subsets.
        repeats: subsets of each size.
        seed: of the subsets.

    Returns:
        A point for every size below J at which at least two subsets have somebody to compare.
    """
    points = []
    for size in sizes:
        if size >= len(table.wins):
            continue
        values = subset_accuracies(table, weighting, negatives, allowed, size, repeats, seed)
        finite = values[np.isfinite(values)]
        if len(finite) >= 2:
            points.append(SizePoint(size, *t_interval(finite), finite, len(values) - len(finite)))
    return points
