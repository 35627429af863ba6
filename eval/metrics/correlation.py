"""Pearson correlation with its interval, its p-value, its shuffled control, and a bootstrap over speakers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import pearsonr

from eval.metrics.intervals import cluster_draws, interval, spread
from eval.metrics.permutations import permutations
from eval.results import Row

MIN_PEOPLE = 4  # Fisher's interval needs more than three


class Correlation(NamedTuple):
    """`r`, Fisher's interval from `low` to `high`, and the two-sided `p`."""

    r: float
    low: float
    high: float
    p: float


def correlation(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"], confidence: float = 0.95) -> Correlation:
    """Pearson's r; where one side is constant it is 0 by convention, with p = 1 and the interval -1..1.

    Args:
        a: (N,) values, N at least `MIN_PEOPLE`.
        b: (N,) values of the same items.
        confidence: level of Fisher's interval.

    Returns:
        The correlation.

    Raises:
        ValueError: fewer items.
    """
    if len(a) != len(b) or len(a) < MIN_PEOPLE:
        got = f"{len(a)} and {len(b)}"
        raise ValueError(f"expected two sides of one length, at least {MIN_PEOPLE}, got {got}; add people")
    if is_constant(a) or is_constant(b):
        return Correlation(0.0, -1.0, 1.0, 1.0)
    found = pearsonr(a, b)
    interval = found.confidence_interval(confidence)
    return Correlation(float(found.statistic), float(interval.low), float(interval.high), float(found.pvalue))


def is_constant(values: Float[np.ndarray, " N"]) -> bool:
    """Whether all values are the same, up to rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(np.abs(values).max(), 1e-12))


def standardised(values: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    """Every column at mean 0 and variance 1; constant columns at 0."""
    constant = np.array([is_constant(column) for column in values.T])
    centred = values - values.mean(0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, centred.std(0)))


def shuffled_correlations(
    a: Float[np.ndarray, "N K"], b: Float[np.ndarray, "N K"], shuffles: int = 1000, seed: int = 0
) -> Float[np.ndarray, "R K"]:
    """Correlate K pairs of columns with the rows of `a` in random order: the control.

    Args:
        a: (N, K) values, permuted anew by every shuffle, all columns alike.
        b: (N, K) values that stay.
        shuffles: number R of random permutations.
        seed: of the permutations.

    Returns:
        (R, K) correlations.
    """
    a, b = standardised(a), standardised(b)
    return np.stack([(a[order] * b).mean(0) for order in permutations(len(a), shuffles, seed)])


def without_cell_means(values: Float[np.ndarray, "N K"], cells: np.ndarray) -> Float[np.ndarray, "N K"]:
    """Subtract from every row the mean of its cell.

    Args:
        values: (N, K).
        cells: (N,) names of the cells.

    Returns:
        (N, K), with mean 0 in every cell.
    """
    _, index = np.unique(cells, return_inverse=True)
    sums = np.zeros((index.max() + 1, values.shape[1]))
    np.add.at(sums, index, values)
    return values - (sums / np.bincount(index)[:, None])[index]


def weighted_correlations(
    a: Float[np.ndarray, "N K"], b: Float[np.ndarray, "N K"], weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, "R K"]:
    """Correlate K pairs of columns under R weightings of the people; 0 where a side is constant.

    Args:
        a: (N, K) values.
        b: (N, K) values of the same people.
        weights: (R, N), not negative, no row all zero.

    Returns:
        (R, K) correlations.
    """
    a, b = standardised(a), standardised(b)
    share = weights / weights.sum(1, keepdims=True)
    mean_a, mean_b = share @ a, share @ b
    spread = (share @ a**2 - mean_a**2) * (share @ b**2 - mean_b**2)
    constant = spread < 1e-12
    return np.where(constant, 0.0, (share @ (a * b) - mean_a * mean_b) / np.sqrt(np.where(constant, 1.0, spread)))


def correlation_rows(
    drawn: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    members: Mapping[str, Bool[np.ndarray, " N"]],
    cells: np.ndarray,
    speakers: np.ndarray,
) -> list[Row]:
    """Correlate measures of drawn faces with the people's own and with what their voices let expect.

    Metric `pearson_r` has beside it `planted`, the correlation of the logarithm of the true measure with its
    expectation for the same people: about what the best answer reaches. `pearson_r_expected` correlates the logarithm
    of the drawn measure with that expectation: 1 if the drawing follows it.

    Args:
        drawn: (N,) by measure, of the drawn faces, NaN where nothing was found.
        true: (N,) by measure, of the people.
        expected: (N,) by measure, expectation of the logarithm; measures without one have no `planted`.
        members: who belongs to each group; groups of fewer than `MIN_PEOPLE` are left out.
        cells: (N,) names; the further group "within" is everybody after subtracting the mean of each cell.
        speakers: (N,) real speaker of each person, see `cluster_draws`.

    Returns:
        By metric, measure and group.
    """
    names = list(true)
    hoped = np.stack([expected.get(name, np.zeros(len(cells))) for name in names], axis=1)
    plain = [np.stack([side[name] for name in names], axis=1) for side in (drawn, true)]
    columns = [*plain, *(np.log(np.maximum(values, 1e-6)) for values in plain), hoped]
    found = np.isfinite(plain[0]).all(1)
    rows: dict[tuple[str, str], list[Row]] = {}
    for group, chosen in {**members, "within": np.ones(len(cells), dtype=bool)}.items():
        who = chosen & found
        if who.sum() < MIN_PEOPLE:
            continue
        weights = cluster_draws(speakers[who])
        part = [values[who] for values in columns]
        if group == "within":
            part = [without_cell_means(values, cells[who]) for values in part]
        plain_drawn, plain_true, log_drawn, log_true, hope = part
        sides = {"pearson_r": (plain_drawn, plain_true), "pearson_r_expected": (log_drawn, hope)}
        for metric, (a, b) in sides.items():
            control, speaker_draws = shuffled_correlations(a, b), weighted_correlations(a, b, weights)
            for k, name in enumerate(names):
                if metric == "pearson_r_expected" and name not in expected:
                    continue
                r = correlation(a[:, k], b[:, k])
                params: dict[str, Any] = {"measure": name, "p": float(f"{r.p:.2g}")}
                if metric == "pearson_r" and name in expected:
                    params["planted"] = round(correlation(log_true[:, k], hope[:, k]).r, 3)
                params |= {"shuffled": spread(control[:, k]), "by_speaker": interval(speaker_draws[:, k])}
                row = Row(metric, "v2f", group, r.r, r.low, r.high, "fisher", 0.0, int(who.sum()), params)
                rows.setdefault((metric, name), []).append(row)
    return [
        row for metric in ("pearson_r", "pearson_r_expected") for name in names for row in rows.get((metric, name), ())
    ]
