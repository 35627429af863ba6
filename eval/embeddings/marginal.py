"""Accuracy by person: who is easy to match, and who is mistaken for others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from eval.metrics.two_way import Weighting, WinTable


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
