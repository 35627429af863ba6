"""Who is independent of whom, and figures with intervals over redrawn clusters of people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.metrics.intervals import cluster_draws, percentile_interval
from eval.results import NO_METHOD, UNDEFINED, Row

NOBODY = "undefined, nobody measured"

Measure = Callable[[Float[np.ndarray, "R J"]], Float[np.ndarray, " R"]]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which of J people (or clips) are independent: those of different clusters.

    Attributes:
        names: (J,) name or number of each one's cluster, such as the real speaker behind a voice.
        called: what a cluster is called; None: "speakers" where some of the J share one, else "people".
    """

    names: Sequence[str] | Sequence[int] | np.ndarray
    called: str | None = None

    @cached_property
    def numbers(self) -> Int[np.ndarray, " J"]:
        """Number of each one's cluster, from 0 in the order of the names."""
        return np.unique(np.asarray(self.names), return_inverse=True)[1].astype(np.int64)

    @cached_property
    def count(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.names))

    @property
    def shared(self) -> bool:
        """Whether some of the J share a cluster."""
        return self.count < len(self.names)

    @property
    def name(self) -> str:
        """What is redrawn, "people" or "speakers"."""
        return self.called or ("speakers" if self.shared else "people")

    @cached_property
    def different(self) -> Bool[np.ndarray, "J J"]:
        """Which pairs are of two clusters."""
        return self.numbers[:, None] != self.numbers

    @cached_property
    def draws(self) -> Float[np.ndarray, "R J"]:
        """How often each one is there when whole clusters are drawn anew, see `cluster_draws`."""
        return cluster_draws(self.numbers)

    def of(self, kept: Bool[np.ndarray, " J"] | Int[np.ndarray, " K"]) -> Clusters:
        """The clusters of some of the J, given as a mask or by their places."""
        return replace(self, names=np.asarray(self.names)[kept])


def clusters_of(identities: Iterable[str], speakers: Iterable[str]) -> Clusters:
    """Clusters of people made from the voice of one real speaker.

    Args:
        identities: J names of people.
        speakers: J names of their speakers; who has none ("") is their own.

    Returns:
        Clusters called "speakers" where anybody has one, shared or not, else "people".
    """
    speakers = list(speakers)
    names = [speaker or identity for speaker, identity in zip(speakers, identities, strict=True)]
    return Clusters(names, "speakers" if any(speakers) else "people")


def people_clusters(people: Mapping[str, Mapping[str, str]]) -> Clusters:
    """Clusters of people by the column `speaker`, see `clusters_of`.

    Args:
        people: row of people.csv by identity.

    Returns:
        Clusters in the order of the people.
    """
    return clusters_of(people, [(row.get("speaker") or "").strip() for row in people.values()])


def measured_row(
    who: Clusters,
    metric: str,
    measure: Measure,
    params: Mapping[str, Any],
    group: str = "U",
    chance: float | None = None,
    direction: str = "v2f",
) -> Row:
    """One figure of J people or clips with the limits of 95 % of redraws of whole clusters.

    Args:
        who: the clusters of the J.
        metric: see `Row`.
        measure: takes (R, J) numbers of times that each is there to (R,) values, NaN where undefined.
        params: see `Row`; the number of speakers is added where they are fewer than J.
        group: see `Row`.
        chance: see `Row`.
        direction: see `Row`.

    Returns:
        The row; its value is None where the figure is undefined.
    """
    about = {**params, **({"speakers": who.count} if who.shared else {})}
    n = len(who.names)
    value = float(measure(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return Row(metric, direction, group, None, None, None, UNDEFINED, chance, n, about)
    low, high = percentile_interval(measure(who.draws))
    return Row(metric, direction, group, value, low, high, f"bootstrap over {who.name}", chance, n, about)


def mean_row(
    metric: str,
    direction: str,
    values: Float[np.ndarray, " J"],
    who: Clusters,
    params: Mapping[str, Any],
) -> Row:
    """Mean over people, with the limits of 95 % of redraws of whole clusters, and the standard deviation in `std`.

    Args:
        metric: see `Row`.
        direction: see `Row`.
        values: (J,) one for each person, NaN for those who are left out.
        who: the clusters of the J people.
        params: see `Row`.

    Returns:
        A row without a chance level; n counts people. Its value is None where nobody is left, its interval where all
        who are left form a single cluster; `std` (divisor n - 1) is there for two people or more.
    """
    kept = np.isfinite(values)
    count, found, who = int(kept.sum()), values[kept], who.of(kept)
    if not count:
        return Row(metric, direction, "U", None, None, None, NOBODY, None, 0, dict(params))
    more: dict[str, Any] = dict(params)
    if count > 1:
        more["std"] = float(f"{found.std(ddof=1):.4g}")
    low, high, method = None, None, NO_METHOD
    if who.count > 1:
        low, high = percentile_interval(who.draws @ found / who.draws.sum(1))
        method = f"bootstrap over {who.name}"
    return Row(metric, direction, "U", float(found.mean()), low, high, method, None, count, more)
