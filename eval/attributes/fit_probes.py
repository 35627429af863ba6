"""Fit a `ProbeClassifier` on a checkpoint's face features, and measure its own error on people it has not seen.

A figure about drawn faces is worth no more than the classifier behind it: so its error goes with it, by class and by
gender and ethnicity, in the folder itself. Deviation from Speech2Face (CVPR 2019, section 5.1), which asks a commercial
service whose errors are not known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from encoders.face.base import FaceEncoder
from eval.attributes.pictured import Pictured, looked_at, pictured_faces
from eval.attributes.probes import Probe, ProbeClassifier
from eval.attributes.rows import attribute_rows, error_rows
from eval.metrics.classification import Comparison, of_classes
from eval.results import Report, Row
from s2f.checkpoints import loading
from s2f.checkpoints.provenance import weights_sha256
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.labels import ATTRIBUTES
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "probes/1"


def fit_classifier(
    encoder: FaceEncoder,
    device: torch.device,
    training: Pictured,
    abstain_below: float = 0.0,
    attributes: Sequence[str] = tuple(ATTRIBUTES),
    required: Sequence[str] = (),
) -> tuple[ProbeClassifier, list[str]]:
    """Fit a probe for every attribute whose labels are known; every class of age and ethnicity weighs the same.

    A probe is a logistic regression (C = 10) on unit-length features.

    Args:
        encoder: that made the features, on `device`.
        device: where it is.
        training: features and labels.
        abstain_below: see `ProbeClassifier`.
        attributes: to fit, as far as their labels are known.
        required: those of them without which the classifier is of no use.

    Returns:
        The classifier, and a sentence about each attribute that is left out and about pictures without its label.

    Raises:
        DatasetError: a required attribute, or every attribute, lacks labels of two classes.
    """
    probes, notes, unit = {}, [], F.normalize(training.features, dim=-1).numpy()
    for attribute in attributes:
        labels = training.labels[attribute]
        names = sorted(set(labels.tolist()) - {""})
        if len(names) < 2:
            notes.append(f"{attribute} left out: the training faces are of {names[0] if names else 'no known class'}")
            continue
        there = labels != ""
        weight = None if attribute == "gender" else "balanced"
        regression = LogisticRegression(C=10.0, max_iter=2000, class_weight=weight)
        probes[attribute] = Probe.of(regression.fit(unit[there], labels[there]), ATTRIBUTES[attribute] or names)
        if not there.all():
            notes.append(f"{(~there).sum()} of {len(there)} training faces without {attribute} left out of its probe")
    if not probes or not set(required) <= set(probes):
        fix = "fill gender, age or ethnicity in people.csv"
        needed = " and ".join(required) or "an attribute"
        raise DatasetError(f"training faces of two classes of {needed}", "; ".join(notes), fix)
    return ProbeClassifier(encoder, probes, abstain_below, device=device), notes


def own_error(classifier: ProbeClassifier, faces: Pictured, direction: str, split: str) -> tuple[list[Row], list[str]]:
    """How well a classifier knows the faces of people that it was not fitted on.

    Args:
        classifier: to measure.
        faces: of held-out people, features of its own face encoder.
        direction: see `Row`.
        split: of these people, for the rows' parameters.

    Returns:
        For every attribute the rows of `attribute_rows` and, by gender and ethnicity as far as they are known
        ("f african"), of `error_rows`, both in `eval.attributes.rows`; and a sentence about faces without a label that
        the classifier knows.
    """
    rows, notes, answers = [], [], classifier.answers(faces.features.numpy())
    both = (faces.labels["gender"], faces.labels["ethnicity"])
    groups = np.array([f"{gender} {ethnicity}".strip() for gender, ethnicity in zip(*both, strict=True)])
    for attribute, names in classifier.classes.items():
        reference = of_classes(faces.labels[attribute], names)
        if unknown := int((reference == "").sum()):
            notes.append(
                f"{unknown} of {len(reference)} {split} faces without {attribute} of {', '.join(names)} left out"
            )
        compared = Comparison(attribute, names, reference, answers[attribute], faces.speakers)
        rows += attribute_rows(compared, direction, {"split": split})
        rows += error_rows(compared, groups, direction, {"split": split})
    return rows, notes


def train_probes(
    pipeline: Speech2FacePipeline, checkpoint: str | Path, data: DatasetFolder, split: str, abstain_below: float
) -> tuple[ProbeClassifier, Report]:
    """Fit probes on the training people's faces and measure them on other people's.

    Labels are the face's own: gender and ethnicity of truth.csv where there is one, else of people.csv, and the age of
    people.csv (see `eval.attributes.pictured.pictured_faces`). All faces of the training people are used; of the
    others canonical ones only, where there are any.

    Args:
        pipeline: the checkpoint.
        checkpoint: "starter" or the folder it came from.
        data: dataset folder.
        split: val or test, whose faces the error is measured on.
        abstain_below: see `ProbeClassifier`.

    Returns:
        The classifier, whose `about` says what it was fitted on and holds the report; and the report.

    Raises:
        DatasetError: no faces, or no attribute with labels of two classes.
        UsageError: `abstain_below` is no share.
    """
    training = pictured_faces(pipeline, data, "train", canonical_only=False)
    classifier, notes = fit_classifier(pipeline.face_encoder, pipeline.device, training, abstain_below)
    held_out = pictured_faces(pipeline, data, split, canonical_only=True)
    rows, left_out = own_error(classifier, held_out, looked_at(data, split), split)
    report = Report(PROTOCOL, data.split_hash, rows, [*notes, *left_out])
    about = {
        "checkpoint": str(checkpoint),
        "face_encoder_sha256": weights_sha256(loading.resolve(checkpoint) / "face_encoder"),
        "data_hash": data.data_hash,
        "training_faces": {name: int((training.labels[name] != "").sum()) for name in classifier.classes},
        "report": json.loads(report.json()),
    }
    return replace(classifier, about=about), report
