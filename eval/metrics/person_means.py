"""Means over people who have one value each, with intervals over their speakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from eval.metrics.intervals import cluster_draws, percentile_interval
from eval.results import NO_METHOD, Row

NOBODY = "undefined, nobody measured"


@dataclass(frozen=True)
class Units:
    """Which of J people are independent.

    Attributes:
        numbers: (J,) people of one real speaker share a number.
        name: what a unit is, "people" or "speakers".
    """

    numbers: Int[np.ndarray, " J"]
    name: str


def units_of(people: Mapping[str, Mapping[str, str]]) -> Units:
    """The independent units of some people, by the column `speaker`; who has none is their own.

    Args:
        people: row of people.csv by identity.

    Returns:
        Units in the order of the people.
    """
    speakers = [(row.get("speaker") or "").strip() for row in people.values()]
    names = [speaker or identity for speaker, identity in zip(speakers, people, strict=True)]
    numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return Units(numbers, "speakers" if any(speakers) else "people")


def mean_row(
    metric: str,
    direction: str,
    values: Float[np.ndarray, " J"],
    units: Units,
    params: Mapping[str, Any],
) -> Row:
    """Mean over people, with the limits of 95 % of redraws of whole units, and the standard deviation in `std`.

    Args:
        metric: see `Row`.
        direction: see `Row`.
        values: (J,) one for each person, NaN for those who are left out.
        units: of the J people.
        params: see `Row`.

    Returns:
        A row without a chance level; n counts people. Its value is None where nobody is left, its interval where all
        who are left form a single unit; `std` (divisor n - 1) is there for two people or more.
    """
    kept = np.isfinite(values)
    count, found = int(kept.sum()), values[kept]
    if not count:
        return Row(metric, direction, "U", None, None, None, NOBODY, None, 0, dict(params))
    more: dict[str, Any] = dict(params)
    if count > 1:
        more["std"] = float(f"{found.std(ddof=1):.4g}")
    low, high, method = None, None, NO_METHOD
    if len(np.unique(units.numbers[kept])) > 1:
        draws = cluster_draws(units.numbers[kept])
        low, high = percentile_interval(draws @ found / draws.sum(1))
        method = f"bootstrap over {units.name}"
    return Row(metric, direction, "U", float(found.mean()), low, high, method, None, count, more)
