"""Confidence intervals of shares."""

from __future__ import annotations

from scipy.stats import binomtest


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
