"""Face features of a split's pictures, and what is known of whom they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from s2f.datasets import DatasetFolder
from s2f.faces.features import face_features
from s2f.labels import labels_of, truth_by_identity
from s2f.reconstruction.pipeline import Speech2FacePipeline


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
