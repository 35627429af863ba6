"""What gender and age class a face shows, by probes on face features, and their agreement with the truth.

The probes are logistic regressions on the checkpoint's own face features, fitted on the rendered faces of the training
people. They are meant for pictures, rendered or decoded, not for predicted features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from eval.intervals import share_interval
from eval.results import Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.features import face_features
from s2f.images import to_tensor
from s2f.pipeline import Speech2FacePipeline

AGE_CLASSES = ("child", "adult", "elder")


class Faces(NamedTuple):
    """Face features (N, D), with (N,) true for m and (N,) age class ("" where unknown) of whom they belong to."""

    features: torch.Tensor
    is_male: np.ndarray
    age_class: np.ndarray


class Probes(NamedTuple):
    """Fitted probes; `age` is None where the training faces do not show all age classes."""

    gender: LogisticRegression
    age: LogisticRegression | None


def age_class(age_years: float) -> str:
    """One of `AGE_CLASSES`: child below 14 years, elder from 60, adult between.

    Meant for faces, whose age (`age` of people.csv) is anything from 5 to 85 years where they are simulated. Simulated
    voices have their class from `s2f.simulate.population.AGE_CLASSES` (child 5 to 13 years, adult 18 to 59, elder 62 to
    85). Each of these ranges lies within the class of the same name here, so a voice and a face of the same age are of
    one class. No voice is of 14 to 17 years; a face may be, since its age scatters around the voice's, and then it
    counts as adult.

    Args:
        age_years: age, at least 0.

    Returns:
        Name of the class.
    """
    return AGE_CLASSES[int(age_years >= 14) + int(age_years >= 60)]


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
    return LogisticRegression(C=10.0, max_iter=2000).fit(F.normalize(features, dim=-1).numpy(), is_male)


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
    probe = LogisticRegression(C=10.0, max_iter=2000, class_weight="balanced")
    return probe.fit(F.normalize(features, dim=-1).numpy(), classes)


def says(probe: LogisticRegression, features: Float[torch.Tensor, "N D"]) -> np.ndarray:
    """Apply a probe: (N, D) features of any length to (N,) labels, true for m or age classes."""
    return probe.predict(F.normalize(features, dim=-1).numpy())


def fit_probes(pipeline: Speech2FacePipeline, data: DatasetFolder) -> Probes:
    """Fit both probes on all rendered faces of the training people; a missing age probe is logged with its reason."""
    faces = labelled_faces(pipeline, data, "train", canonical_only=False)
    try:
        age = age_probe(faces.features, faces.age_class)
    except DatasetError as error:
        logging.getLogger(__name__).warning("no figures about age: %s", error)
        age = None
    return Probes(gender_probe(faces.features, faces.is_male), age)


def labelled_faces(pipeline: Speech2FacePipeline, data: DatasetFolder, split: str, canonical_only: bool) -> Faces:
    """Read the faces of a split, with the face's gender (truth.csv's, else the person's) and age (people.csv's).

    `canonical_only` leaves the others out where there are canonical faces; real people have none.
    """
    rows = data.faces(split)
    canonical = [row for row in rows if row.get("view") == "canonical"]
    rows = canonical if canonical and canonical_only else rows
    truth = truth_by_identity(data)
    people = [data.people[row["identity"]] | truth.get(row["identity"], {}) for row in rows]
    ages = [age_class(float(person["age"])) if person.get("age") else "" for person in people]
    features = face_features(pipeline.face_encoder, [data.path(row) for row in rows], pipeline.device)
    return Faces(features, np.array([is_male_person(person) for person in people]), np.array(ages))


def truth_by_identity(data: DatasetFolder) -> dict[str, dict[str, str]]:
    """Row of truth.csv by identity; empty where the folder has none."""
    known = data.truth(data.people) if (data.root / "truth.csv").is_file() else []
    return {row["identity"]: row for row in known}


def is_male_person(person: dict[str, str]) -> bool:
    """Whether a row of people.csv or truth.csv has gender m.

    Raises:
        DatasetError: the gender is neither f nor m.
    """
    gender = person.get("gender")
    if gender not in ("f", "m"):
        got = f"{gender!r} for {person['identity']}"
        raise DatasetError("gender f or m for every person", got, "fill it in people.csv")
    return gender == "m"


@torch.inference_mode()
def picture_features(pipeline: Speech2FacePipeline, images: Sequence[Image.Image]) -> Float[torch.Tensor, "N D"]:
    """Features (N, D) of N drawn pictures, on the CPU."""
    encoder = pipeline.face_encoder
    tensors = [encoder.prepare(to_tensor(image)[None].to(pipeline.device)) for image in images]
    return torch.cat([encoder.features(tensor) for tensor in tensors]).cpu()


def share_row(
    metric: str, direction: str, group: str, hits: Bool[np.ndarray, " N"], chance: float | None, params: dict
) -> Row:
    """One share with its Wilson interval."""
    low, high = share_interval(int(hits.sum()), len(hits))
    return Row(metric, direction, group, float(hits.mean()), low, high, "wilson", chance, len(hits), params)


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
    balanced, random = float(np.mean([hit.mean() for hit in hits])), np.random.default_rng(0)
    draws = np.mean([random.beta(hit.sum() + 0.5, (~hit).sum() + 0.5, 10_000) for hit in hits], axis=0)
    low, high = min(np.quantile(draws, 0.025), balanced), max(np.quantile(draws, 0.975), balanced)
    metric, chance = "age_class_agreement", 1 / len(AGE_CLASSES)
    rows = [Row(metric, direction, "U", balanced, float(low), float(high), "jeffreys", chance, len(true), params)]
    return rows + [
        share_row(metric, direction, name, hit, chance, params) for name, hit in zip(present, hits, strict=True)
    ]
