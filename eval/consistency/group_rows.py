"""Rows of `s2f-eval consistency` about segments of a clip or clips of a person: agreement, variance, averaging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.metrics.clusters import Clusters, measured_row
from eval.metrics.intervals import percentile_interval
from eval.metrics.scores import unit
from eval.metrics.variance_components import (
    Groups,
    components,
    mean_of,
    mean_over,
    recognition_table,
    shuffled,
    shuffled_components,
    within_cosines,
    won,
)
from eval.results import Row

ORDERS = 20  # random orders of a group's rows in `averaging_rows`


@dataclass(frozen=True)
class Level:
    """What is grouped.

    Attributes:
        within: metric of the agreement within a group.
        recognition: metric of telling a group's rows from other people's.
        count: name of the number of averaged rows.
    """

    within: str
    recognition: str
    count: str


SEGMENTS = Level("cosine_within_clip", "segment_recognition", "segments")
CLIPS = Level("cosine_within_person", "clip_recognition", "clips")


def group_rows(groups: Groups, level: Level, faces_variance: float, params: Mapping[str, Any]) -> list[Row]:
    """Agreement within groups and between people, recognition, and variance within against between.

    Every group counts the same, whatever its number of rows, but in the variances, where rows count. Pairs of people
    are of different speakers; group G are pairs of one gender, where there are any. `variance_between_over_faces` is
    the variance between groups over that of real faces, taken as fixed: near 0, a prediction agrees with itself because
    it says the same for everybody.

    Args:
        groups: J groups of at least two rows, of at least two speakers.
        level: names the figures.
        faces_variance: variance between the faces of people, above 0.
        params: of every row.

    Returns:
        The rows.
    """
    who = Clusters(groups.speakers)
    cosines, similar = within_cosines(groups), groups.means @ groups.means.T
    table = recognition_table(groups)
    pairs = compared(groups, who)
    rows = [measured_row(who, level.within, mean_of(cosines), params)]
    rows += [
        measured_row(who, "cosine_between_people", mean_over(similar, allowed), params, name)
        for name, allowed in pairs.items()
    ]
    rows += [
        measured_row(who, level.recognition, won(table, allowed), params, name, 0.5) for name, allowed in pairs.items()
    ]
    rows.append(measured_row(who, "variance_within", lambda draws: components(groups, draws).within, params))
    rows.append(measured_row(who, "variance_between", lambda draws: components(groups, draws).between, params))
    rows.append(measured_row(who, "intraclass_correlation", lambda draws: components(groups, draws).icc, params))
    over = "variance_between_over_faces"
    rows.append(measured_row(who, over, lambda draws: components(groups, draws).between / faces_variance, params))
    return rows


def compared(groups: Groups, who: Clusters) -> dict[str, Bool[np.ndarray, "J J"]]:
    """Pairs of groups: U of different speakers, and G of one known gender too, where there are such pairs."""
    genders = np.asarray(groups.genders)
    alike = (genders[:, None] == genders) & (genders != "") & who.different
    return {"U": who.different, **({"G": alike} if alike.any() else {})}


def control_rows(
    groups: Groups,
    level: Level,
    mean_face: Float[np.ndarray, " D"],
    faces_variance: float,
    params: Mapping[str, Any],
) -> list[Row]:
    """The same figures when rows are in groups at random, and when everybody gets one mean face.

    Shuffled: mean and middle 95 % over `SHUFFLES` permutations; recognition and the cosine between people come from
    the first one and have intervals over speakers.

    Args:
        groups: see `group_rows`.
        level: likewise.
        mean_face: what the control predicts for everybody.
        faces_variance: see `group_rows`.
        params: of every row.

    Returns:
        The rows, with `control` in their parameters.
    """
    about = {**params, "control": "shuffled"}
    cosines, parts = shuffled_components(groups)
    spreads = {
        level.within: cosines,
        "variance_within": parts.within,
        "variance_between": parts.between,
        "intraclass_correlation": parts.icc,
    }
    once = {row.metric: row for row in group_rows(shuffled(groups), level, faces_variance, about) if row.group == "U"}
    rows = [once["cosine_between_people"], once[level.recognition]]
    n = len(groups.counts)
    for metric, values in spreads.items():
        row = Row(metric, "v2f", "U", float(values.mean()), *percentile_interval(values), "permutation", None, n, about)
        rows.append(replace(row, params=once[metric].params))
    constant = replace(groups, features=np.tile(unit(mean_face), (len(groups.features), 1)))
    everybody = group_rows(constant, level, faces_variance, {**params, "control": "mean"})
    return rows + [row for row in everybody if row.group == "U"]


def averaging_rows(
    groups: Groups, faces: Sequence[np.ndarray | None], level: Level, params: Mapping[str, Any]
) -> list[Row]:
    """Does it help to average m rows of a group?

    `split_half_cosine`: between the mean of m rows and the mean of m other rows of the same group, of unit vectors,
    over `ORDERS` random orders of the rows. Its control sets the mean against other people's: averaging takes noise
    away there as well. m goes up to M, half the rows of the median group, and the groups are those with at least 2 M
    rows: the same ones for every m, so the figures of one curve can be compared. `cosine_to_own_face`: between the
    mean of m rows and the feature of the person's picture, for the same groups as far as they have one, m up to 2 M.

    Args:
        groups: J groups of at least two rows.
        faces: J features of any length, None where there is no picture.
        level: names the number m.
        params: of every row; m is added.

    Returns:
        The rows; empty if fewer than two speakers are left.
    """
    most = int(np.median(groups.counts)) // 2
    chosen = np.flatnonzero(groups.counts >= 2 * most)
    who, pictures = Clusters(groups.speakers).of(chosen), [faces[int(group)] for group in chosen]
    known = np.flatnonzero([picture is not None for picture in pictures])
    if who.count < 2:
        return []
    orders = _orders(groups, chosen, 2 * most)
    rows: list[Row] = []
    for count in range(1, most + 1):
        left, right = _mean_rows(groups, orders[..., :count]), _mean_rows(groups, orders[..., count : 2 * count])
        own = (left * right).sum(-1).mean(0)
        about = {**params, level.count: count}
        rows += paired_rows("split_half_cosine", own, left.mean(0) @ right.mean(0).T, who, about)
    if (pictured := who.of(known)).count < 2:
        return rows
    true = unit(np.stack([picture for picture in pictures if picture is not None]))
    for count in range(1, 2 * most + 1):
        similar = _mean_rows(groups, orders[:, known, :count]).mean(0) @ true.T
        rows += paired_rows("cosine_to_own_face", similar.diagonal(), similar, pictured, {**params, level.count: count})
    return rows


def paired_rows(
    metric: str,
    own: Float[np.ndarray, " J"],
    table: Float[np.ndarray, "J J"],
    who: Clusters,
    params: Mapping[str, Any],
) -> list[Row]:
    """Mean of what belongs together, and as control the mean over everything of different speakers.

    Args:
        metric: see `Row`.
        own: (J,) values of pairs that belong together.
        table: (J, J) values of everybody's left side with everybody's right side.
        who: the J people or clips, of at least two speakers.
        params: see `Row`.

    Returns:
        The row and its control, "shuffled".
    """
    control = {**params, "control": "shuffled"}
    return [
        measured_row(who, metric, mean_of(own), params),
        measured_row(who, metric, mean_over(table, who.different), control),
    ]


def _orders(groups: Groups, chosen: np.ndarray, count: int) -> np.ndarray:
    """(ORDERS, K, count) rows of K groups, each time in another order."""
    random = np.random.default_rng(0)
    sizes = zip(groups.starts[chosen], groups.counts[chosen], strict=True)
    places = [[start + random.permutation(size)[:count] for _ in range(ORDERS)] for start, size in sizes]
    return np.array(places).transpose(1, 0, 2)


def _mean_rows(groups: Groups, places: np.ndarray) -> np.ndarray:
    """Unit vectors (..., D) along the means of rows (..., m)."""
    summed = sum(groups.features[places[..., place]] for place in range(places.shape[-1]))
    return unit(np.asarray(summed))
