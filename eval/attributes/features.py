"""What gender and age class a face shows, by probes on face features, and their agreement with the truth.

The probes are logistic regressions on the checkpoint's own face features, fitted on the rendered faces of the training
people. They are meant for pictures, rendered or decoded, not for predicted features. `eval.attributes.probes` joins
probes of any attribute into a classifier that can be kept on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from eval.metrics.intervals import jeffreys_interval, share_row
from eval.results import Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.faces.features import face_features
from s2f.labels import AGE_CLASSES, is_male_person, labels_of, truth_by_identity
from s2f.reconstruction.pipeline import Speech2FacePipeline


class Faces(NamedTuple):
    """Face features (N, D), with (N,) true for m and (N,) age class ("" where unknown) of whom they belong to."""

    features: torch.Tensor
    is_male: np.ndarray
    age_class: np.ndarray


@dataclass(frozen=True)
class Pictured:
    """Features of N pictures and whom they show; what is known of these people may have gaps.

    Attributes:
        features: (N, D) face features.
        people: row of people.csv for each picture; what truth.csv says of the face comes first.
    """

    features: torch.Tensor
    people: Sequence[Mapping[str, str]]

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """See `labels_of`."""
        return labels_of(self.people)

    @property
    def speakers(self) -> np.ndarray:
        """(N,) speaker of each picture's person: their own where the table names none."""
        return np.array([person.get("speaker") or person["identity"] for person in self.people])

    def faces(self) -> Faces:
        """The same as `Faces`.

        Raises:
            DatasetError: somebody's gender is unknown.
        """
        is_male = np.array([is_male_person(person) for person in self.people])
        return Faces(self.features, is_male, self.labels["age_class"])


class Probes(NamedTuple):
    """Fitted probes; `age` is None where the training faces do not show all age classes."""

    gender: LogisticRegression
    age: LogisticRegression | None


def fit_probe(
    features: Float[torch.Tensor, "N D"], labels: Bool[np.ndarray, " N"] | np.ndarray, balanced: bool
) -> LogisticRegression:
    """Fit a logistic regression on unit-length features.

    Args:
        features: (N, D) face features of any length.
        labels: (N,) of two values or more.
        balanced: whether every label weighs the same, however rare.

    Returns:
        The fitted classifier, see `says`.
    """
    weight = "balanced" if balanced else None
    probe = LogisticRegression(C=10.0, max_iter=2000, class_weight=weight)
    return probe.fit(F.normalize(features, dim=-1).numpy(), labels)


def gender_probe(features: Float[torch.Tensor, "N D"], is_male: Bool[np.ndarray, " N"]) -> LogisticRegression:
    """Fit a logistic regression on unit-length face features.

    Args:
        features: (N, D) face features.
        is_male: (N,) true for m.

    Returns:
        The fitted classifier, for features of any length made unit-length first (see `says`).

    Raises:
        DatasetError: only one gender is present.
    """
    if is_male.all() or not is_male.any():
        raise DatasetError("people of both genders for the probe", "one gender", "use a training split with both")
    return fit_probe(features, is_male, balanced=False)


def age_probe(features: Float[torch.Tensor, "N D"], classes: np.ndarray) -> LogisticRegression:
    """Fit a multinomial logistic regression on unit-length face features, every age class weighing the same.

    Args:
        features: (N, D) face features.
        classes: (N,) age class of each face.

    Returns:
        The fitted classifier, see `says`.

    Raises:
        DatasetError: an age class is absent, or an age unknown.
    """
    if set(classes) != set(AGE_CLASSES):
        got = ", ".join(sorted(repr(str(name)) for name in set(classes)))
        raise DatasetError(
            f"faces of every age class ({', '.join(AGE_CLASSES)})", got, "fill `age` in people.csv or simulate all ages"
        )
    return fit_probe(features, classes, balanced=True)


def says(probe: LogisticRegression, features: Float[torch.Tensor, "N D"]) -> np.ndarray:
    """Apply a probe: (N, D) features of any length to (N,) labels, true for m or age classes."""
    return probe.predict(F.normalize(features, dim=-1).numpy())


def fit_probes(pipeline: Speech2FacePipeline, data: DatasetFolder) -> Probes:
    """Fit both probes on all rendered faces of the training people; a missing age probe is logged with its reason."""
    return probes_of(labelled_faces(pipeline, data, "train", canonical_only=False))


def probes_of(faces: Faces) -> Probes:
    """Fit both probes; a missing age probe is logged with its reason."""
    try:
        age = age_probe(faces.features, faces.age_class)
    except DatasetError as error:
        logging.getLogger(__name__).warning("no figures about age: %s", error)
        age = None
    return Probes(gender_probe(faces.features, faces.is_male), age)


def labelled_faces(pipeline: Speech2FacePipeline, data: DatasetFolder, split: str, canonical_only: bool) -> Faces:
    """Read the faces of a split, see `pictured_faces`; everybody must have a gender."""
    return pictured_faces(pipeline, data, split, canonical_only).faces()


def pictured_faces(pipeline: Speech2FacePipeline, data: DatasetFolder, split: str, canonical_only: bool) -> Pictured:
    """Read the faces of a split and what is known of whom they show.

    Gender and ethnicity are truth.csv's (the face's), where there is one, else people.csv's; the age is people.csv's.
    `canonical_only` leaves the others out where there are canonical faces; real people have none.
    """
    rows = data.faces(split)
    canonical = [row for row in rows if row.get("view") == "canonical"]
    rows = canonical if canonical and canonical_only else rows
    truth = truth_by_identity(data)
    people = [data.people[row["identity"]] | truth.get(row["identity"], {}) for row in rows]
    return Pictured(face_features(pipeline.face_encoder, [data.path(row) for row in rows], pipeline.device), people)


def looked_at(data: DatasetFolder, split: str) -> str:
    """Name of the pictures that `pictured_faces` takes with `canonical_only`: rendered, or photo."""
    return "rendered" if any(row.get("view") == "canonical" for row in data.faces(split)) else "photo"


def recall_rows(direction: str, shown: np.ndarray, true: np.ndarray, params: dict) -> list[Row]:
    """Age class agreement: the mean of the classes' recalls (group U) and each class's recall.

    The mean's interval comes from draws of every recall from its posterior under Jeffreys' prior.

    Args:
        direction: see `Row`.
        shown: (N,) age class the probe says.
        true: (N,) age class.
        params: see `Row`.

    Returns:
        One row for U, one for each class that is present.
    """
    present = [name for name in AGE_CLASSES if (true == name).any()]
    hits = [shown[true == name] == name for name in present]
    balanced = float(np.mean([hit.mean() for hit in hits]))
    low, high = jeffreys_interval(np.array([hit.sum() for hit in hits]), np.array([len(hit) for hit in hits]))
    metric, chance = "age_class_agreement", 1 / len(AGE_CLASSES)
    rows = [Row(metric, direction, "U", balanced, low, high, "jeffreys", chance, len(true), params)]
    return rows + [
        share_row(metric, direction, name, hit, chance, params) for name, hit in zip(present, hits, strict=True)
    ]
