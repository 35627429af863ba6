"""Rows of `s2f-eval consistency` about the length that is heard: the first L seconds of the same recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from eval.attributes.probes import ProbeClassifier
from eval.attributes.rows import headline_rows, shuffled_rows
from eval.consistency.group_rows import paired_rows
from eval.faces.features import picture_features
from eval.metrics.classification import Comparison
from eval.metrics.clusters import Clusters, measured_row
from eval.metrics.scores import unit
from eval.metrics.variance_components import mean_of
from eval.results import Row
from s2f.faces.images import to_pil
from s2f.labels import GENDERS
from s2f.reconstruction.pipeline import Speech2FacePipeline

BATCH = 8  # faces of one forward pass, as in the pipeline


@dataclass(frozen=True)
class Sweep:
    """The same N recordings heard for several lengths.

    Attributes:
        features: (N, D) predicted features, as the encoder gives them, by length in seconds, increasing.
        speakers: (N,) name of each one's speaker; at least two different ones.
        genders: (N,) "f", "m", or "" where unknown.
        faces: N features of the person's picture, None where there is none.
    """

    features: Mapping[float, Float[np.ndarray, "N D"]]
    speakers: Sequence[str]
    genders: Sequence[str]
    faces: Sequence[np.ndarray | None]


def sweep_rows(
    sweep: Sweep,
    pipeline: Speech2FacePipeline,
    probe: ProbeClassifier | None,
    mean_face: Float[np.ndarray, " D"],
    params: Mapping[str, Any],
) -> list[Row]:
    """Agreement with the longest length, with the own face and with the own gender, by length.

    Paper: Speech2Face (CVPR 2019), section 5.2, Fig. 6 and Table 2, which compare 3 s with 6 s. `cosine_to_longest` is
    1 for the longest length, which therefore has no row; a shorter part is the beginning of the longest one, so the
    two share sound, the more the longer it is. Differences, `…_difference`, are of the longest minus the shortest
    length, on the same recordings.

    Args:
        sweep: what was predicted.
        pipeline: draws the faces on which the probe looks.
        probe: says which gender a face shows; None leaves gender out.
        mean_face: control: the feature that everybody gets.
        params: of every row; `seconds` is added.

    Returns:
        The rows; those about faces and gender where they are known of people of at least two speakers.
    """
    who = Clusters(sweep.speakers)
    predicted = {length: unit(features) for length, features in sweep.features.items()}
    *shorter, longest = predicted
    rows = []
    for length in shorter:
        similar = predicted[length] @ predicted[longest].T
        about = {**params, "seconds": length, "longest": longest}
        rows += paired_rows("cosine_to_longest", similar.diagonal(), similar, who, about)
    known = _known([face is not None for face in sweep.faces], sweep.speakers)
    if len(known):
        true = unit(np.stack([face for face in sweep.faces if face is not None]))
        rows += _face_rows(
            {length: one[known] for length, one in predicted.items()}, true, mean_face, who, known, params
        )
    known = _known([bool(gender) for gender in sweep.genders], sweep.speakers)
    if probe is not None and len(known):
        shown = {}
        for length, features in sweep.features.items():
            shown[length] = shown_genders(pipeline, probe, features[known], f"faces at {length:g} s")
        genders = np.asarray(sweep.genders)[known]
        rows += _gender_rows(shown, genders, who.of(known), params)
    return rows


def _known(known: Sequence[bool], speakers: Sequence[str]) -> np.ndarray:
    """Places of those of whom something is known; none if they are of one speaker only."""
    places = np.flatnonzero(known)
    return places if len({speakers[int(place)] for place in places}) > 1 else places[:0]


def _face_rows(
    predicted: Mapping[float, np.ndarray],
    true: np.ndarray,
    mean_face: np.ndarray,
    everybody: Clusters,
    known: np.ndarray,
    params: Mapping[str, Any],
) -> list[Row]:
    who, metric = everybody.of(known), "cosine_to_own_face"
    own, rows = {}, []
    for length, features in predicted.items():
        similar = features @ true.T
        own[length] = similar.diagonal()
        rows += paired_rows(metric, own[length], similar, who, {**params, "seconds": length})
    constant = true @ unit(mean_face)
    rows.append(measured_row(who, metric, mean_of(constant), {**params, "control": "mean"}))
    return [*rows, _difference(metric, own, who, params)]


def _difference(metric: str, values: Mapping[float, np.ndarray], who: Clusters, params: Mapping[str, Any]) -> Row:
    """The longest minus the shortest length, pair by pair."""
    shortest, longest = min(values), max(values)
    gain = values[longest].astype(float) - values[shortest]
    about = {**params, "seconds": longest, "minus": shortest}
    return measured_row(who, f"{metric}_difference", mean_of(gain), about)


def _gender_rows(
    shown: Mapping[float, np.ndarray], genders: np.ndarray, who: Clusters, params: Mapping[str, Any]
) -> list[Row]:
    """Gender of the drawn faces against the speakers', with the control: headline figures of each length."""
    hits, rows, shared = {}, [], {"speakers": who.count} if who.shared else {}
    for length, seen in shown.items():
        hits[length] = seen == genders
        about = {**params, "seconds": length}
        compared = Comparison("gender", GENDERS, genders, seen, np.asarray(who.names))
        rows += headline_rows(compared, "v2f", about | shared) + shuffled_rows(compared, "v2f", about | shared)
    return [*rows, _difference("gender_agreement", hits, who, params)]


@torch.inference_mode()
def shown_genders(
    pipeline: Speech2FacePipeline, probe: ProbeClassifier, features: Float[np.ndarray, "N D"], says_what: str
) -> np.ndarray:
    """Draw faces and ask the gender probe about the pictures.

    Args:
        pipeline: its decoder draws, its face encoder looks.
        probe: of gender, on features of that face encoder.
        features: (N, D) as the voice encoder gives them.
        says_what: label of the progress bar.

    Returns:
        (N,) f or m, the gender that each picture shows.
    """
    seen = []
    with tqdm(total=len(features), desc=says_what, unit="face", leave=False) as progress:
        for part in torch.from_numpy(features).split(BATCH):
            images = [to_pil(image) for image in pipeline.decoder(part.to(pipeline.device)).image]
            seen.append(probe.answers(picture_features(pipeline, images).numpy())["gender"])
            progress.update(len(part))
    return np.concatenate(seen)
