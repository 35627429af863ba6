"""Exact cross-modal retrieval: average precision and R@K of every probe, with intervals over people and with chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eval.embeddings.controls import shuffled
from eval.embeddings.folder import Embeddings
from eval.metrics.clusters import Clusters
from eval.metrics.intervals import percentile_interval
from eval.metrics.random_galleries import NAMED_GALLERIES, RandomGallery, chance_in, expected_in, fits
from eval.metrics.ranks import all_tied, precision_and_recall, probes_at_a_time, rank_profiles
from eval.metrics.scores import CrossScores
from eval.metrics.two_way import Weighting
from eval.results import DIRECTIONS, NO_METHOD, Report, Row
from s2f.errors import UsageError

PROTOCOL = "retrieval/1"
KS = (1, 5, 10, 50, 100)
METHOD = "bootstrap over people, gallery fixed"
UNIFORM = "random galleries draw other people's candidates uniformly, not the same number of each person"


class Figure(NamedTuple):
    """What a column holds: metric `map` or `recall`, gallery `all` or the name of a random one, K of `recall`."""

    metric: str
    gallery: str
    k: int | None = None


@dataclass(frozen=True)
class Retrieved:
    """Figures of every probe; P probes, J people, F figures.

    Attributes:
        figures: what the columns hold.
        values: (P, F) in [0, 1], expected over random orders of equal scores; NaN where a person has too few
            candidates for a random gallery.
        chance: (J, F) what guessing reaches with the candidates of each person, NaN likewise.
    """

    figures: tuple[Figure, ...]
    values: Float[np.ndarray, "P F"]
    chance: Float[np.ndarray, "J F"]


def retrieve(cross: CrossScores, ks: Sequence[int], galleries: Sequence[RandomGallery] = ()) -> Retrieved:
    """Rank all candidates for every probe, once for all figures.

    Args:
        cross: scores of all probes with all candidates.
        ks: places K of R@K in the full gallery, from 1.
        galleries: random galleries to evaluate as well.

    Returns:
        The full gallery's average precision and R@K, then those of the random galleries.

    Raises:
        UsageError: a place below 1.
    """
    if min(ks, default=1) < 1:
        raise UsageError("places K from 1", f"{min(ks)}", "correct the places")
    figures = [Figure("map", "all"), *(Figure("recall", "all", k) for k in ks)]
    for gallery in galleries:
        figures += [Figure("recall", gallery.name, k) for k in gallery.ks]
        figures += [Figure("map", gallery.name)] if gallery.precision else []

    def measured(probes: Int[np.ndarray, " R"]) -> tuple[np.ndarray, np.ndarray]:
        profiles = rank_profiles(cross, probes)
        parts = [expected_in(profiles, gallery) for gallery in galleries]
        return probes, np.hstack([precision_and_recall(profiles, ks), *parts])

    values = np.empty((cross.scores.shape[0], len(figures)))
    for probes, part in cross.over_probes(measured, "retrieval", probes_at_a_time(cross)):
        values[probes] = part
    owned, candidates = cross.candidate_counts, cross.scores.shape[1]
    levels = [np.where(fits(g, owned, candidates)[:, None], chance_in(g), np.nan) for g in galleries]
    chance = np.hstack([precision_and_recall(all_tied(owned, candidates), ks), *levels])
    return Retrieved(tuple(figures), values, chance)


def over_people(
    means: Float[np.ndarray, " J"], weights: Float[np.ndarray, " J"], clusters: Clusters
) -> tuple[float, float | None, float | None, str]:
    """Weighted mean over people, with the limits of 95 % of redraws of whole clusters, the gallery as it is.

    Args:
        means: (J,) mean over each person's probes, NaN for people who are left out.
        weights: (J,) what each person counts for.
        clusters: of the J people.

    Returns:
        Mean, lower and upper limit (None if the people form a single cluster), and the method in words.
    """
    kept = np.isfinite(means)
    means, weights, clusters = means[kept], weights[kept], clusters.of(kept)
    value = float(weights @ means / weights.sum())
    if clusters.count < 2:
        return value, None, None, NO_METHOD
    drawn = clusters.draws * weights
    low, high = percentile_interval(drawn @ means / drawn.sum(1))
    return value, low, high, METHOD.replace("people", "speakers") if clusters.shared else METHOD


def evaluate(
    embeddings: Embeddings,
    clusters: Clusters,
    weighting: Weighting = "samples",
    ks: Sequence[int] = KS,
    galleries: Sequence[RandomGallery] = NAMED_GALLERIES,
    control: bool = True,
) -> Report:
    """Retrieval in both directions.

    Args:
        embeddings: voices and faces of J people.
        clusters: of the J people.
        weighting: samples gives every probe the same weight, identities every person.
        ks: places K of R@K in the full gallery, from 1.
        galleries: random galleries, see `expected_in`.
        control: also evaluate the full gallery with every person's voices dealt to another.

    Returns:
        Rows `map` and `recall`; n counts people, `trials` probes. A random gallery that nobody can be in has no rows.

    Raises:
        DatasetError: features of a joint scorer.
        UsageError: a place below 1.
    """
    rows: list[Row] = []
    notes = [*embeddings.notes, *([UNIFORM] if galleries else [])]
    for direction in DIRECTIONS:
        cross = embeddings.cross(direction)
        for gallery in galleries:
            if left_out := int((~fits(gallery, cross.candidate_counts, cross.scores.shape[1])).sum()):
                needs = f"{gallery.own} own candidates and {gallery.size - gallery.own} others"
                notes.append(f"{left_out} people left out of gallery {gallery.name} ({direction}): it needs {needs}")
        rows += figure_rows(cross, retrieve(cross, ks, galleries), direction, clusters, weighting, {})
    for direction in DIRECTIONS if control else ():
        cross = shuffled(embeddings).cross(direction)
        rows += figure_rows(cross, retrieve(cross, ks), direction, clusters, weighting, {"control": "shuffled"})
    return Report(PROTOCOL, embeddings.split_hash, rows, notes)


def figure_rows(
    cross: CrossScores,
    retrieved: Retrieved,
    direction: str,
    clusters: Clusters,
    weighting: Weighting,
    more: Mapping[str, str],
) -> Iterator[Row]:
    """A row for every figure that somebody's probes count for.

    Args:
        cross: what was retrieved from.
        retrieved: see `retrieve`.
        direction: for the rows.
        clusters: likewise.
        weighting: see `evaluate`.
        more: further params of the rows.

    Returns:
        The rows.
    """
    probes = cross.probe_counts
    weights = probes if weighting == "samples" else np.ones(cross.people)
    for figure, values, chance in zip(retrieved.figures, retrieved.values.T, retrieved.chance.T, strict=True):
        kept = np.isfinite(chance)
        if not kept.any():
            continue
        means = np.bincount(cross.probe_identity, values, cross.people) / probes
        value, low, high, method = over_people(means, weights, clusters)
        params: dict[str, Any] = {"k": figure.k} if figure.k else {}
        params |= {"gallery": figure.gallery, "weighting": weighting, **more, "trials": int(probes[kept].sum())}
        level = float(weights[kept] @ chance[kept] / weights[kept].sum())
        yield Row(figure.metric, direction, "U", value, low, high, method, level, int(kept.sum()), params)
