"""What a training voice should be turned into: faces of the same person, or the mean face of similar voices.

With one voice a person, a person's own face says little about what can be heard: most of it is chance. The best
prediction of a face from a voice is the mean over everybody who sounds like that. `voice_neighbours` estimates it
from the simulation's voice-side truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from s2f.datasets import DatasetFolder, Recording, Row, numbers, recording_of
from s2f.errors import DatasetError
from s2f.faces.features import direction_means

LATENTS = ("voice_pitch", "voice_tract", "voice_timbre")
AGE_STEP = 0.2  # in log years: as far apart as one standard deviation of a latent


@dataclass
class Targets:
    """Face features to regress, and which of them belong to a voice.

    Attributes:
        features: (M, D).
        candidates: for each voice row, the rows of `features` it may be paired with.
    """

    features: Tensor
    candidates: list[list[int]]


def pair_targets(voices: list[Row], faces: list[Row], features: Tensor, target: str) -> Targets:
    """Pair every voice with faces of the same person.

    Args:
        voices: rows of voices.csv.
        faces: rows of faces.csv, one per row of `features`.
        features: (N, D) face features.
        target: `face`: any face of the voice's video, or of the person where no face shares the video;
            `recording_mean`: the mean over the faces of everybody whose voice is the same recording.

    Returns:
        The targets.

    Raises:
        DatasetError: a voice whose identity has no face.
    """
    if target == "recording_mean":
        of_identity = _faces_of(faces, {row["identity"] for row in voices})
        members: dict[Recording, list[int]] = {}
        for row in voices:
            members.setdefault(recording_of(row), []).extend(of_identity[row["identity"]])
        position = {recording: [index] for index, recording in enumerate(members)}
        means = direction_means(features, list(members.values()))
        return Targets(means, [position[recording_of(row)] for row in voices])
    return Targets(features, face_candidates(voices, faces))


def face_candidates(voices: list[Row], faces: list[Row]) -> list[list[int]]:
    """For each voice the numbers of the faces of its video, or of all the person's where none shares the video.

    Args:
        voices: rows of voices.csv.
        faces: rows of faces.csv.

    Returns:
        One list per voice, none empty.

    Raises:
        DatasetError: a voice whose identity has no face.
    """
    of_identity = _faces_of(faces, {row["identity"] for row in voices})
    of_video: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(faces):
        of_video.setdefault((row["identity"], row.get("video") or ""), []).append(number)
    same_video = [of_video.get((row["identity"], row.get("video") or " "), []) for row in voices]
    return [found or of_identity[row["identity"]] for row, found in zip(voices, same_video, strict=True)]


def _faces_of(faces: list[Row], needed: set[str]) -> dict[str, list[int]]:
    """Numbers of the face rows of each identity."""
    of_identity: dict[str, list[int]] = {}
    for number, row in enumerate(faces):
        of_identity.setdefault(row["identity"], []).append(number)
    if without := sorted(needed - set(of_identity)):
        raise DatasetError("a face for every voice", f"none for {without[0]}", "remove such identities from people.csv")
    return of_identity


@dataclass
class VoiceLatents:
    """How people sound, from truth.csv.

    Attributes:
        identities: N names.
        groups: (gender, age class) of each.
        position: (N, 4) pitch, tract and timbre latent, and log age over `AGE_STEP`, which is 0 for adults.
    """

    identities: list[str]
    groups: list[tuple[str, str]]
    position: np.ndarray

    @classmethod
    def read(cls, data: DatasetFolder, identities: Sequence[str]) -> VoiceLatents:
        """Read some identities' rows.

        Raises:
            DatasetError: truth.csv, a column, a row or a value is missing.
        """
        rows = data.truth(identities, "voice_gender", "voice_age_class", "voice_age_years", *LATENTS)
        groups = [(row["voice_gender"], row["voice_age_class"]) for row in rows]
        years = numbers(rows, "voice_age_years", positive=True)
        adult = np.array([age_class == "adult" for _, age_class in groups], dtype=bool)
        age = np.where(adult, 0.0, np.log(years) / AGE_STEP)
        return cls(list(identities), groups, np.stack([*(numbers(rows, name) for name in LATENTS), age], axis=1))


def nearest_voices(queries: VoiceLatents, pool: VoiceLatents, count: int) -> list[list[int]]:
    """People of the pool who sound most alike: same gender and age class, then by Euclidean distance.

    Args:
        queries: whose neighbours.
        pool: who may be a neighbour; a query in the pool is its own first neighbour.
        count: how many; all of a group that has fewer.

    Returns:
        For each query, positions in the pool, nearest first.

    Raises:
        DatasetError: nobody in the pool has a query's gender and age class.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for index, group in enumerate(pool.groups):
        members.setdefault(group, []).append(index)
    names = np.array(pool.identities)
    found = []
    for identity, group, position in zip(queries.identities, queries.groups, queries.position, strict=True):
        if group not in members:
            fix = "simulate more people or leave this person out"
            raise DatasetError(f"a training person like {identity}", f"none of {' and '.join(group)}", fix)
        alike = np.array(members[group])
        distance = np.linalg.norm(pool.position[alike] - position, axis=1)
        distance[names[alike] == identity] = -1.0
        found.append(alike[np.argsort(distance, kind="stable")[:count]].tolist())
    return found


def neighbour_targets(
    data: DatasetFolder, voices: list[Row], faces: list[Row], features: Tensor, count: int
) -> Targets:
    """The mean direction over all faces of the people who sound most like each voice.

    Held-out voices get the faces of training people as well: what is asked of the voice encoder is the mean face of
    voices like this one, and a held-out person's own face would add the same noise to every figure.

    Args:
        data: where truth.csv lies.
        voices: rows of voices.csv, of any split.
        faces: rows of faces.csv of the training split, one per row of `features`.
        features: (N, D) face features.
        count: people averaged for each voice.

    Returns:
        The targets, one per person with a voice.

    Raises:
        DatasetError: see `VoiceLatents.read` and `nearest_voices`.
    """
    of_identity = _faces_of(faces, set())
    pool = VoiceLatents.read(data, list(of_identity))
    queries = VoiceLatents.read(data, list(dict.fromkeys(row["identity"] for row in voices)))
    groups = [
        [number for person in people for number in of_identity[pool.identities[person]]]
        for people in nearest_voices(queries, pool, count)
    ]
    position = {identity: [index] for index, identity in enumerate(queries.identities)}
    return Targets(direction_means(features, groups), [position[row["identity"]] for row in voices])
