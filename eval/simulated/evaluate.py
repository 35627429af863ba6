"""On people whose truth is known: how much of what a voice tells does the drawn face show?

Every simulated person has a voice of their own and a face with a planted, known dependence on it (truth.csv). Faces are
drawn from the voices alone and compared with the truth: age class, gender, and Speech2Face's craniofacial measures
(CVPR 2019, section 5.1, Fig. 5). Beside every figure stand what was planted and what shuffled voices reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from eval.attributes.fit_probes import fit_classifier, own_error
from eval.attributes.pictured import Pictured, pictured_faces
from eval.attributes.probes import ProbeClassifier
from eval.attributes.rows import controlled_rows, headline_rows, shuffled_rows
from eval.faces.drawing import drawn
from eval.faces.features import picture_features
from eval.faces.recordings import Recording, recording_of
from eval.metrics.classification import Comparison, of_classes
from eval.metrics.correlation import correlation_rows
from eval.metrics.intervals import share_row
from eval.results import Report, Row
from eval.simulated.variance import Faces, variance_rows
from s2f.datasets import SPLITS, DatasetFolder, by_identity, numbers
from s2f.errors import DatasetError
from s2f.faces.craniofacial import MEASURES, craniofacial_measures
from s2f.faces.landmarks import LandmarkDetector
from s2f.labels import AGE_CLASSES, GENDERS, gender_of
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "simulated/2"
MEASURED = (*MEASURES, "face_height")


@dataclass(frozen=True)
class Population:
    """People with a voice each, and their truth.

    Attributes:
        voices: N recordings with the voice's gender and age class.
        gender: (N,) of the voice.
        age_class: (N,) of the voice.
        speakers: (N,) the real speaker behind each voice.
        mesh: (N,) by measure, of the person's own face.
        expected: (N,) by measure: expectation of the logarithm of the measure given the voice; some may be absent.
    """

    voices: Sequence[Recording]
    gender: np.ndarray
    age_class: np.ndarray
    speakers: np.ndarray
    mesh: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


class Reconstruction(NamedTuple):
    """What was drawn for N voices: predicted features (N, D), what is shown, landmarks (N, 68, 2) or NaN.

    What is shown are the probes' answers (N,) by attribute.
    """

    features: torch.Tensor
    shown: Mapping[str, np.ndarray]
    landmarks: np.ndarray


def read_population(data: DatasetFolder, split: str) -> Population:
    """Read the people of a split.

    Raises:
        DatasetError: somebody with several voices, truth that is missing or unknown, or nobody in the split.
    """
    spoken = by_identity(data.voices(split))
    if several := [name for name, rows in spoken.items() if len(rows) > 1]:
        fix = "make the folder again with this version's `s2f simulate`"
        raise DatasetError("one voice of their own per simulated person", f"several for {several[0]}", fix)
    truth = data.truth(spoken, "voice_gender", "voice_age_class", *(f"mesh_{name}" for name in MEASURED))
    for row in truth:
        if row["voice_gender"] not in GENDERS or row["voice_age_class"] not in AGE_CLASSES:
            got = f"{row['voice_gender']!r} and {row['voice_age_class']!r} for {row['identity']}"
            raise DatasetError(f"voices of gender f or m and age class {', '.join(AGE_CLASSES)}", got, "correct them")
    voices = [
        recording_of(data, rows[0], row["voice_gender"], row["voice_age_class"])
        for row, rows in zip(truth, spoken.values(), strict=True)
    ]
    return Population(
        voices,
        np.array([voice.gender for voice in voices]),
        np.array([voice.age_class for voice in voices]),
        np.array([voice.speaker for voice in voices]),
        {name: numbers(truth, f"mesh_{name}", positive=True) for name in MEASURED},
        {name: numbers(truth, f"expected_{name}") for name in MEASURED if truth[0].get(f"expected_{name}")},
    )


def reconstruct(
    pipeline: Speech2FacePipeline,
    voices: Sequence[Recording],
    probes: ProbeClassifier,
    seconds: float,
    detector: LandmarkDetector | None,
) -> Reconstruction:
    """Draw a face from every voice and look at it; the pictures themselves are not kept.

    Args:
        pipeline: the checkpoint.
        voices: N recordings.
        probes: look at the drawn pictures.
        seconds: how much of each recording is heard.
        detector: finds landmarks in the drawn picture; None takes the points to which the decoder warped it.

    Returns:
        The answers, in the order of the voices.
    """
    predicted, seen, points = [], [], []
    for _, output in drawn(pipeline, voices, seconds):
        predicted.append(output.face_features)
        seen.append(picture_features(pipeline, output.images).numpy())
        if detector is None:
            with torch.inference_mode():
                points.append(pipeline.decoder.decode(output.face_features.to(pipeline.device))[1].cpu().numpy())
        else:
            found = [detector.landmarks(np.asarray(image)) for image in output.images]
            points.append(np.stack([np.full((68, 2), np.nan) if one is None else one for one in found]))
    return Reconstruction(torch.cat(predicted), probes.answers(np.concatenate(seen)), np.concatenate(points))


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    split: str,
    seconds: float,
    detector: LandmarkDetector | None,
    probes_data: DatasetFolder | None = None,
) -> Report:
    """Draw the face of every simulated person of a split and compare it with the truth.

    In `params`, `by_speaker` is the 95 % interval when whole speakers are drawn anew; the row's own interval takes
    people for independent. Of correlations, `shuffled` is low, mean and high of the middle 95 % of shuffled voices;
    groups with fewer than four people have none.

    Args:
        pipeline: the checkpoint.
        data: simulated dataset folder; faces are not needed for its people.
        split: split to evaluate, of speakers not heard in training.
        seconds: how much of each recording is heard.
        detector: see `reconstruct`.
        probes_data: dataset folder with faces, for the probes and for the variance of real features; None for `data`.

    Returns:
        Agreement of gender and age class, correlations of the measures, variance of the predicted features, and the
        probes' own figures on rendered faces.

    Raises:
        DatasetError: truth, voices or faces are missing.
    """
    population = read_population(data, split)
    pictured = probes_data or data
    faces, pictured_split = rendered_faces(pipeline, pictured)
    training = pictured_faces(pipeline, pictured, "train", canonical_only=False)
    asked, needed = ("gender", "age_class"), ("gender",)
    probes, notes = fit_classifier(pipeline.face_encoder, pipeline.device, training, attributes=asked, required=needed)
    answer = reconstruct(pipeline, population.voices, probes, seconds, detector)
    rows = agreement(population, answer.shown, probes.classes)
    rows += correlations(population, answer.landmarks)
    real = Faces(faces.features, np.array([gender_of(person) for person in faces.people]), faces.labels["age_class"])
    rows += variance_rows(Faces(answer.features, population.gender, population.age_class), real)
    shared = {"seconds": seconds, "split": split}
    rows = [replace(row, params={**row.params, **shared}) for row in rows]
    own, left_out = own_error(probes, faces, "rendered", pictured_split)
    return Report(PROTOCOL, data.split_hash, rows + own, [*notes, *left_out])


def rendered_faces(pipeline: Speech2FacePipeline, data: DatasetFolder) -> tuple[Pictured, str]:
    """Canonical faces of the test people, or of the validation people where the test people have none; and the split.

    Raises:
        DatasetError: neither has.
    """
    fix = "give the folder of the training people with --probes"
    try:
        rows = data.faces(*SPLITS)
    except DatasetError as error:
        raise DatasetError(error.expected, error.got, f"{error.fix}, or {fix}") from error
    pictured = {data.people[row["identity"]]["split"] for row in rows if row.get("view") == "canonical"}
    for split in ("test", "val"):
        if split in pictured:
            return pictured_faces(pipeline, data, split, canonical_only=True), split
    raise DatasetError("canonical faces of test or validation people", f"none in {data.root}", fix)


def agreement(
    population: Population, shown: Mapping[str, np.ndarray], classes: Mapping[str, Sequence[str]]
) -> list[Row]:
    """Gender and age class that drawn faces show against those of the voices.

    Args:
        population: who was heard.
        shown: (N,) answers of the probes by attribute: gender and, if it could be fitted, age_class.
        classes: that the probes know, by attribute.

    Returns:
        Rows of `controlled_rows` of each attribute; and of the gender, headline figures with their control in each age
        class of the voice.
    """
    known = {"gender": population.gender, "age_class": population.age_class}
    compared = {
        name: Comparison(name, classes[name], of_classes(known[name], classes[name]), answers, population.speakers)
        for name, answers in shown.items()
    }
    rows = [row for one in compared.values() for row in controlled_rows(one, "v2f", {})]
    for name in AGE_CLASSES:
        some = compared["gender"].among(population.age_class == name)
        rows += headline_rows(some, "v2f", {}, name) + shuffled_rows(some, "v2f", {}, name)
    return rows


def correlations(population: Population, landmarks: Float[np.ndarray, "N 68 2"]) -> list[Row]:
    """Rows of correlations (see `correlation_rows`) after the share of drawn faces with landmarks."""
    found = np.isfinite(landmarks).all((1, 2))
    measured = {name: np.full(len(found), np.nan) for name in MEASURED}
    values = craniofacial_measures(landmarks[found])
    for name in MEASURED:
        measured[name][found] = values[name]
    members = {"U": np.ones_like(found), **{name: population.gender == name for name in GENDERS}}
    cells = np.char.add(np.char.add(population.gender, " "), population.age_class)
    rows = [share_row("landmarks_found", "v2f", "U", found, None, {})]
    return rows + correlation_rows(measured, population.mesh, population.expected, members, cells, population.speakers)
