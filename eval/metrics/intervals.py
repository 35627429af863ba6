"""Confidence intervals of shares, of repeated tests, and of whatever is drawn again at random."""

from __future__ import annotations

from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest, t

from eval.results import Row
from s2f.errors import UsageError


def share_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share.

    Args:
        successes: number of hits.
        trials: number of independent trials, at least 1.
        confidence: level in (0, 1).

    Returns:
        Lower and upper limit in [0, 1].
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def binomial_interval(share: float, n: int, u: float = 2.576) -> tuple[float, float]:
    """The interval of the papers, p ± u √(p (1 - p) / n), which takes triplets as independent.

    They are not: they share people. `eval.metrics.bootstrap.bootstrap_accuracy` allows for that; this one is for
    comparison.

    Paper: TriNet (ICLR 2021 submission), section 3.2, the unnumbered formula. It does not give u; its 81.00 ± 1.01 % at
    10,000 triplets (Table 2) means 2.576, a level of 99 %. Deviation: clipped to [0, 1].

    Args:
        share: p in [0, 1].
        n: number of triplets, at least 1.
        u: two-sided normal quantile; 1.96 is 95 %.

    Returns:
        Lower and upper limit in [0, 1].
    """
    half = u * sqrt(share * (1 - share) / n)
    return max(share - half, 0.0), min(share + half, 1.0)


def t_interval(values: Float[np.ndarray, " R"], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of repeated tests, with Student's interval of that mean.

    Paper: TriNet, sections 3.2 and 5.4, which tests on several sets of people and takes the results as normal. Sets
    drawn from the same people overlap, so the interval says where the mean over sets lies, not how the figure would
    change with new people.

    Args:
        values: (R,) finite results, at least two.
        confidence: level in (0, 1).

    Returns:
        Mean, lower and upper limit; not clipped.

    Raises:
        UsageError: fewer than two values.
    """
    if len(values) < 2:
        raise UsageError("two or more results", str(len(values)), "repeat the test more often")
    mean = float(np.mean(values))
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / sqrt(len(values))
    return mean, mean - half, mean + half


def cluster_draws(clusters: np.ndarray, draws: int = 1000, seed: int = 0) -> Float[np.ndarray, "R N"]:
    """How often each person is there when as many clusters as there are, are drawn with replacement.

    People simulated from one real speaker are not independent; intervals from these draws allow for it, those that
    count people do not.

    Args:
        clusters: (N,) name or number of each person's cluster; a cluster drawn twice counts its people twice.
        draws: number R of draws.
        seed: of the draws.

    Returns:
        (R, N) counts.
    """
    names, index = np.unique(clusters, return_inverse=True)
    random = np.random.default_rng(seed)
    return random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)[:, index].astype(float)


def share_row(
    metric: str, direction: str, group: str, hits: Bool[np.ndarray, " N"], chance: float | None, params: dict
) -> Row:
    """One share with its Wilson interval."""
    low, high = share_interval(int(hits.sum()), len(hits))
    return Row(metric, direction, group, float(hits.mean()), low, high, "wilson", chance, len(hits), params)


def jeffreys_interval(hits: Int[np.ndarray, " K"], counts: Int[np.ndarray, " K"]) -> tuple[float, float]:
    """95 % interval of the mean of K recalls, each drawn from its posterior under Jeffreys' prior.

    Args:
        hits: (K,) how many of each class are answered as such.
        counts: (K,) how many there are, at least one of each.

    Returns:
        Lower and upper limit in [0, 1], with the mean recall between them.
    """
    random, value = np.random.default_rng(0), float((hits / counts).mean())
    counted = zip(hits, counts, strict=True)
    draws = np.mean([random.beta(hit + 0.5, count - hit + 0.5, 10_000) for hit, count in counted], axis=0)
    low, high = percentile_interval(draws)
    return min(low, value), max(high, value)


def percentile_interval(draws: Float[np.ndarray, " R"]) -> tuple[float, float]:
    """Limits of the middle 95 % of random draws, those that are not finite dropped; NaN if none is left."""
    finite = draws[np.isfinite(draws)]
    low, high = np.quantile(finite, (0.025, 0.975)) if len(finite) else (np.nan, np.nan)
    return float(low), float(high)


def interval(draws: Float[np.ndarray, " R"]) -> list[float]:
    """`percentile_interval`, rounded for printing."""
    return [round(limit, 3) + 0.0 for limit in percentile_interval(draws)]


def spread(control: Float[np.ndarray, " R"]) -> list[float]:
    """Limit, mean and limit of the middle 95 % of a shuffled control, rounded for printing."""
    low, high = interval(control)
    return [low, round(float(control.mean()), 3) + 0.0, high]
