"""Do predicted face features vary as much as those of real faces, in all and within gender and age class?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from eval.metrics.correlation import without_cell_means
from eval.results import Row
from s2f.errors import DatasetError


class Faces(NamedTuple):
    """Face features (N, D), with (N,) gender, f or m, and (N,) age class ("" where unknown) of whom they belong to."""

    features: torch.Tensor
    gender: np.ndarray
    age_class: np.ndarray


def within_variance(features: Float[torch.Tensor, "N D"], cells: np.ndarray) -> tuple[float, float]:
    """Trace of the covariance of unit-length features within cells, and its standard error.

    Args:
        features: (N, D) of any length.
        cells: (N,) names, fewer than people.

    Returns:
        Squared distance from the cell's mean, on average, and the standard error of that average.

    Raises:
        DatasetError: nobody shares a cell.
    """
    left = len(cells) - len(set(cells))
    if left <= 0:
        raise DatasetError("several people of one gender and age class", f"{len(cells)} alone", "take more people")
    squares = (without_cell_means(F.normalize(features.double(), dim=-1).numpy(), cells) ** 2).sum(1)
    return float(squares.sum() / left), float(squares.std() * np.sqrt(len(cells)) / left)


def variance_rows(predicted: Faces, real: Faces) -> list[Row]:
    """How much predicted features vary, against features of real rendered faces: in all, and within classes.

    1 is as much as real faces; a voice cannot tell everything, so the best answer stays below. Near 0 within gender and
    age class, the answer is the mean of the class. The interval takes both averages' errors on the logarithmic scale.

    Args:
        predicted: face features predicted from voices, with gender and age class of the voices, all known.
        real: features of rendered faces, with gender and age class of the faces.

    Returns:
        `variance`, `variance_within_gender` and, if the real faces' ages are known, `variance_within_gender_and_age`.
    """
    sides = []
    for features, gender, age in (predicted, real):
        cells = {"variance": np.full(len(gender), ""), "variance_within_gender": gender}
        if "" not in real.age_class:
            cells["variance_within_gender_and_age"] = np.char.add(np.char.add(gender, " "), age)
        sides.append({metric: within_variance(features, names) for metric, names in cells.items()})
    rows = []
    for metric, (ours, error) in sides[0].items():
        theirs, their_error = sides[1][metric]
        ratio = ours / theirs
        half = 1.96 * np.hypot(error / ours, their_error / theirs) if ours > 0 else 0.0
        low, high = ratio * np.exp(-half), ratio * np.exp(half)
        count, params = len(predicted.gender), {"faces": len(real.gender)}
        rows.append(Row(metric, "v2f", "U", ratio, float(low), float(high), "delta", None, count, params))
    return rows
