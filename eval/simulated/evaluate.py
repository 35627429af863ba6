"""On people whose truth is known: how much of what a voice tells does the drawn face show?

Every simulated person has a voice of their own and a face with a planted, known dependence on it (truth.csv). Faces are
drawn from the voices alone and compared with the truth: age class, gender, and Speech2Face's craniofacial measures
(CVPR 2019, section 5.1, Fig. 5). Beside every figure stand what was planted and what shuffled voices reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from eval.attributes.agreement import controlled_age_rows, controlled_gender_rows
from eval.attributes.features import AGE_CLASSES, Faces, Probes, fit_probes, labelled_faces, recall_rows, says
from eval.faces.drawing import drawn
from eval.faces.features import picture_features
from eval.faces.recordings import Recording, recording_of
from eval.metrics.correlation import correlation_rows
from eval.metrics.intervals import cluster_draws, share_row
from eval.results import Report, Row
from eval.simulated.variance import variance_rows
from s2f.datasets import SPLITS, DatasetFolder, by_identity, numbers
from s2f.errors import DatasetError
from s2f.faces.craniofacial import MEASURES, craniofacial_measures
from s2f.faces.landmarks import LandmarkDetector
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "simulated/1"
MEASURED = (*MEASURES, "face_height")


@dataclass(frozen=True)
class Population:
    """People with a voice each, and their truth.

    Attributes:
        voices: N recordings with the voice's gender and age class.
        is_male: (N,) of the voice.
        age_class: (N,) of the voice.
        speakers: (N,) the real speaker behind each voice.
        mesh: (N,) by measure, of the person's own face.
        expected: (N,) by measure: expectation of the logarithm of the measure given the voice; some may be absent.
    """

    voices: Sequence[Recording]
    is_male: np.ndarray
    age_class: np.ndarray
    speakers: np.ndarray
    mesh: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


class Reconstruction(NamedTuple):
    """What was drawn for N voices: predicted features (N, D), the probes' answers (N,), landmarks (N, 68, 2) or NaN."""

    features: torch.Tensor
    is_male: np.ndarray
    age_class: np.ndarray | None
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
        if row["voice_gender"] not in ("f", "m") or row["voice_age_class"] not in AGE_CLASSES:
            got = f"{row['voice_gender']!r} and {row['voice_age_class']!r} for {row['identity']}"
            raise DatasetError(f"voices of gender f or m and age class {', '.join(AGE_CLASSES)}", got, "correct them")
    voices = [
        recording_of(data, rows[0], row["voice_gender"], row["voice_age_class"])
        for row, rows in zip(truth, spoken.values(), strict=True)
    ]
    return Population(
        voices,
        np.array([voice.gender == "m" for voice in voices]),
        np.array([voice.age_class for voice in voices]),
        np.array([voice.speaker for voice in voices]),
        {name: numbers(truth, f"mesh_{name}", positive=True) for name in MEASURED},
        {name: numbers(truth, f"expected_{name}") for name in MEASURED if truth[0].get(f"expected_{name}")},
    )


def reconstruct(
    pipeline: Speech2FacePipeline,
    voices: Sequence[Recording],
    probes: Probes,
    seconds: float,
    detector: LandmarkDetector | None,
) -> Reconstruction:
    """Draw a face from every voice and look at it; the pictures themselves are not kept.

    Args:
        pipeline: the checkpoint.
        voices: N recordings.
        probes: see `fit_probes`.
        seconds: how much of each recording is heard.
        detector: finds landmarks in the drawn picture; None takes the points to which the decoder warped it.

    Returns:
        The answers, in the order of the voices.
    """
    predicted, seen, points = [], [], []
    for _, output in drawn(pipeline, voices, seconds):
        predicted.append(output.face_features)
        seen.append(picture_features(pipeline, output.images))
        if detector is None:
            with torch.inference_mode():
                points.append(pipeline.decoder.decode(output.face_features.to(pipeline.device))[1].cpu().numpy())
        else:
            found = [detector.landmarks(np.asarray(image)) for image in output.images]
            points.append(np.stack([np.full((68, 2), np.nan) if one is None else one for one in found]))
    features = torch.cat(seen)
    age = None if probes.age is None else says(probes.age, features)
    return Reconstruction(torch.cat(predicted), says(probes.gender, features), age, np.concatenate(points))


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    split: str,
    seconds: float,
    detector: LandmarkDetector | None,
    probes_data: DatasetFolder | None = None,
) -> Report:
    """Draw the face of every simulated person of a split and compare it with the truth.

    In `params`, `shuffled` is low, mean and high of the middle 95 % of shuffled voices, and `by_speaker` the 95 %
    interval when whole speakers are drawn anew; the row's own interval takes people for independent. Groups with fewer
    than four people have no correlations.

    Args:
        pipeline: the checkpoint.
        data: simulated dataset folder; faces are not needed for its people.
        split: split to evaluate, of speakers not heard in training.
        seconds: how much of each recording is heard.
        detector: see `reconstruct`.
        probes_data: dataset folder with faces, for the probes and for the variance of real features; None for `data`.

    Returns:
        Agreement of age class and gender, correlations of the measures, variance of the predicted features.

    Raises:
        DatasetError: truth, voices or faces are missing.
    """
    population = read_population(data, split)
    pictured = probes_data or data
    faces, probes = rendered_faces(pipeline, pictured), fit_probes(pipeline, pictured)
    answer = reconstruct(pipeline, population.voices, probes, seconds, detector)
    rows = agreement(population, answer)
    rows += correlations(population, answer.landmarks)
    rows += variance_rows(Faces(answer.features, population.is_male, population.age_class), faces)
    shared = {"seconds": seconds, "split": split}
    rows = [replace(row, params={**row.params, **shared}) for row in rows]
    return Report(PROTOCOL, data.split_hash, rows + probe_rows(probes, faces))


def rendered_faces(pipeline: Speech2FacePipeline, data: DatasetFolder) -> Faces:
    """Canonical faces of the test people, or of the validation people where the test people have none.

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
            return labelled_faces(pipeline, data, split, canonical_only=True)
    raise DatasetError("canonical faces of test or validation people", f"none in {data.root}", fix)


def probe_rows(probes: Probes, faces: Faces) -> list[Row]:
    """The probes' own agreement on rendered faces."""
    rows = [
        share_row("gender_agreement", "rendered", "U", says(probes.gender, faces.features) == faces.is_male, 0.5, {})
    ]
    if probes.age is not None and "" not in faces.age_class:
        rows += recall_rows("rendered", says(probes.age, faces.features), faces.age_class, {})
    return rows


def agreement(population: Population, answer: Reconstruction) -> list[Row]:
    """Rows of age class agreement and confusion, and of gender agreement by gender and by age class."""
    weights = cluster_draws(population.speakers)
    rows = [] if answer.age_class is None else controlled_age_rows(answer.age_class, population.age_class, weights)
    return rows + controlled_gender_rows(answer.is_male, population.is_male, groups(population), weights)


def groups(population: Population) -> dict[str, Bool[np.ndarray, " N"]]:
    """Who is in U (everybody), f, m and each age class, by the voice; empty groups are left out."""
    found = {"U": np.ones_like(population.is_male), "f": ~population.is_male, "m": population.is_male}
    found |= {name: population.age_class == name for name in AGE_CLASSES}
    return {name: members for name, members in found.items() if members.any()}


def correlations(population: Population, landmarks: Float[np.ndarray, "N 68 2"]) -> list[Row]:
    """Rows of correlations (see `correlation_rows`) after the share of drawn faces with landmarks."""
    found = np.isfinite(landmarks).all((1, 2))
    measured = {name: np.full(len(found), np.nan) for name in MEASURED}
    values = craniofacial_measures(landmarks[found])
    for name in MEASURED:
        measured[name][found] = values[name]
    members = {name: who for name, who in groups(population).items() if name in ("U", "f", "m")}
    cells = np.char.add(np.where(population.is_male, "m ", "f "), population.age_class)
    rows = [share_row("landmarks_found", "v2f", "U", found, None, {})]
    return rows + correlation_rows(measured, population.mesh, population.expected, members, cells, population.speakers)
