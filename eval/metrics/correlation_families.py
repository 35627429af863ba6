"""Correlations of several measures that are tested together, with their false discovery rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import false_discovery_control, norm, rankdata

from eval.metrics.clusters import Clusters
from eval.metrics.correlation import Correlation, correlation, shuffled_correlations, weighted_correlations
from eval.metrics.intervals import cluster_draws, interval, spread
from eval.results import UNDEFINED, Row

LEVEL = 0.05  # of the false discovery rate
SAME = 1e-4  # relative differences below it are rounding in networks that compute in float32, not variance
Columns = Mapping[Any, Float[np.ndarray, " N"]]


def family_rows(
    a: Columns, b: Columns, params: Mapping[str, Any], speakers: np.ndarray | None, seed: int = 0, adjust: bool = True
) -> list[Row]:
    """Correlate measures that are tested together.

    Args:
        a: (N,) by measure, or by measure and reading.
        b: the same of the same people.
        params: what else defines the figures.
        speakers: (N,) real speaker of each person; None leaves them out of account.
        seed: of random pairs and draws.
        adjust: give q, over those of the measures that have variance on both sides.

    Returns:
        A row a measure, see `eval.craniofacial.evaluate.craniofacial_rows`; without variance on a side its value is
        None.

    Paper:
        Benjamini and Hochberg, "Controlling the false discovery rate" (1995): q is their adjusted p-value.
    """
    x, y = (np.stack(list(side.values()), axis=1) for side in (a, b))
    found = [None if undefined(*sides) else correlation(*sides) for sides in zip(x.T, y.T, strict=True)]
    tested = [one.p for one in found if one is not None]
    adjusted = iter(false_discovery_control(tested) if tested and adjust else ())
    random = shuffled_correlations(x, y, seed=seed)
    drawn = None
    if speakers is not None and Clusters(speakers).shared:
        drawn = weighted_correlations(x, y, cluster_draws(speakers, seed=seed))
    rows = []
    for k, (key, one) in enumerate(zip(a, found, strict=True)):
        label = {"measure": key} if isinstance(key, str) else {"measure": key[0], "alternative": key[1]}
        if one is None:
            rows.append(Row("pearson_r", "f2s", "U", None, None, None, UNDEFINED, 0.0, len(x), {**label, **params}))
            continue
        figures = _figures(one, float(next(adjusted)) if adjust else None) | {"shuffled": spread(random[:, k])}
        if drawn is not None:
            figures["by_speaker"] = interval(drawn[:, k])
        said = {**label, **params, **figures}
        rows.append(Row("pearson_r", "f2s", "U", one.r, one.low, one.high, "fisher", 0.0, len(x), said))
    return rows


def rank_rows(
    a: Columns, b: Columns, params: Mapping[str, Any], speakers: np.ndarray | None, seed: int = 0
) -> list[Row]:
    """Correlate the ranks of measures: `spearman_r`, not adjusted.

    Args:
        a: (N,) by measure.
        b: the same of the same people.
        params: what else defines the figures.
        speakers: (N,) real speaker of each person; None leaves them out of account.
        seed: of random pairs and draws.

    Returns:
        A row a measure. Ranks, also in the draws of speakers, are those among all people.

    Paper:
        The interval is that of Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and
        Spearman correlations" (2000): Fisher's, with the variance multiplied by 1 + r² / 2.
    """
    ranks = [
        {name: values if undefined(values, values) else rankdata(values) for name, values in side.items()}
        for side in (a, b)
    ]
    return [_of_ranks(row) for row in family_rows(ranks[0], ranks[1], params, speakers, seed, adjust=False)]


def undefined(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"]) -> bool:
    """Whether a side has no variance, so that nothing can correlate with it."""
    return any(bool(np.ptp(side) <= SAME * np.abs(side).max()) for side in (a, b))


def _figures(found: Correlation, q: float | None) -> dict[str, Any]:
    tested = {} if q is None else {"q": float(f"{q:.2g}"), "significant": q <= LEVEL}
    return {"p": float(f"{found.p:.2g}")} | tested


def _of_ranks(row: Row) -> Row:
    """A row of Pearson's r of ranks as what it is, Spearman's, with its interval."""
    if row.value is None:
        return replace(row, metric="spearman_r")
    half = norm.ppf(0.975) * np.sqrt((1 + row.value**2 / 2) / (row.n - 3))
    with np.errstate(divide="ignore"):
        low, high = (float(np.tanh(np.arctanh(row.value) + side * half)) for side in (-1, 1))
    return replace(row, metric="spearman_r", ci_low=low, ci_high=high, ci_method="fisher, bonett-wright")
