"""Agreement of what faces show with the truth: shuffled voices, speakers drawn anew, and the confusion of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eval.attributes.features import recall_rows
from eval.metrics.intervals import interval, share_row, spread
from eval.results import Row
from s2f.labels import AGE_CLASSES

SHUFFLES = 1000


def agreement_rows(
    direction: str, predicted: Bool[np.ndarray, " N"], true: Bool[np.ndarray, " N"], params: dict
) -> list[Row]:
    """Agreement for everybody and for each gender, with Wilson intervals."""
    groups = (("U", np.ones_like(true)), ("f", ~true), ("m", true))
    hits = predicted == true
    return [
        share_row("gender_agreement", direction, group, hits[members], 0.5, params)
        for group, members in groups
        if members.any()
    ]


def shuffled_agreement(predicted: np.ndarray, true: np.ndarray, shuffles: int = SHUFFLES, seed: int = 0) -> np.ndarray:
    """Agreement after dealing the voices to other people at random: the control.

    Args:
        predicted: (N,) what the probe says of each voice's face.
        true: (N,) what each speaker is.
        shuffles: number R of random permutations.
        seed: of the permutations.

    Returns:
        (R,) share of agreement under each permutation.
    """
    random = np.random.default_rng(seed)
    return np.array([(predicted[random.permutation(len(predicted))] == true).mean() for _ in range(shuffles)])


def controlled_gender_rows(
    shown: Bool[np.ndarray, " N"],
    true: Bool[np.ndarray, " N"],
    members: Mapping[str, Bool[np.ndarray, " N"]],
    weights: Float[np.ndarray, "R N"],
) -> list[Row]:
    """Gender agreement of every group, with its shuffled control and its interval over speakers.

    Args:
        shown: (N,) true where the face shows m.
        true: (N,) true for m.
        members: who belongs to each group, none of them empty.
        weights: how often each person is drawn, see `cluster_draws`.

    Returns:
        One row per group.
    """
    rows = []
    for group, who in members.items():
        if group in ("f", "m"):  # within one gender shuffling changes nothing
            control = shuffled_recalls(shown, true, [group == "m"])[:, 0]
        else:
            control = shuffled_agreement(shown[who], true[who])
        hits = (shown == true)[who]
        params = {"shuffled": spread(control), "by_speaker": interval(_shares(weights[:, who], hits))}
        rows.append(share_row("gender_agreement", "v2f", group, hits, 0.5, params))
    return rows


def controlled_age_rows(shown: np.ndarray, true: np.ndarray, weights: Float[np.ndarray, "R N"]) -> list[Row]:
    """Age class agreement with its shuffled control and its interval over speakers, and the confusion of the classes.

    Args:
        shown: (N,) age class that the face shows.
        true: (N,) age class.
        weights: how often each person is drawn, see `cluster_draws`.

    Returns:
        The rows of `recall_rows`, and the share of every class shown as each class.
    """
    names = [name for name in AGE_CLASSES if (true == name).any()]
    control = shuffled_recalls(shown, true, names)
    redrawn = np.stack([_shares(weights[:, true == name], shown[true == name] == name) for name in names], axis=1)
    pairs = [(control.mean(1), redrawn.mean(1)), *zip(control.T, redrawn.T, strict=True)]
    rows = [
        replace(row, params={"shuffled": spread(shuffled), "by_speaker": interval(draws)})
        for row, (shuffled, draws) in zip(recall_rows("v2f", shown, true, {}), pairs, strict=True)
    ]
    counts = confusion(shown, true, AGE_CLASSES)
    for name, row in zip(AGE_CLASSES, counts, strict=True):
        for other, count in zip(AGE_CLASSES, row if row.sum() else (), strict=False):
            hits = np.arange(row.sum()) < count
            rows.append(
                share_row("age_class_confusion", "v2f", name, hits, float((shown == other).mean()), {"shown": other})
            )
    return rows


def confusion(shown: np.ndarray, true: np.ndarray, names: Sequence[Any]) -> Float[np.ndarray, "K K"]:
    """Count answers: row k the people who are `names[k]`, column l those of them shown as `names[l]`."""
    return np.array([[((true == a) & (shown == b)).sum() for b in names] for a in names])


def shuffled_recalls(
    shown: np.ndarray, true: np.ndarray, names: Sequence[Any], shuffles: int = SHUFFLES, seed: int = 0
) -> Float[np.ndarray, "R K"]:
    """Recall of every class after dealing the answers to other people at random.

    Args:
        shown: (N,) answers.
        true: (N,) classes.
        names: K classes, all present.
        shuffles: number R of random permutations.
        seed: of the permutations.

    Returns:
        (R, K) recalls.
    """
    random = np.random.default_rng(seed)
    members = [true == name for name in names]
    answers = (shown[random.permutation(len(shown))] for _ in range(shuffles))
    return np.array(
        [[(answer[who] == name).mean() for who, name in zip(members, names, strict=True)] for answer in answers]
    )


def _shares(weights: Float[np.ndarray, "R N"], hits: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " R"]:
    """Share of hits under each weighting; NaN where nobody has weight."""
    total = weights.sum(1)
    return np.where(total > 0, weights @ hits / np.maximum(total, 1), np.nan)
