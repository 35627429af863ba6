"""Does the face drawn from a voice show the speaker's gender?

A probe on face features answers, with its own error beside it. Speech2Face (CVPR 2019, section 5.1, Fig. 4) asks a
commercial classifier; here a logistic regression on the checkpoint's own face features, fitted on the rendered faces of
the training people, is applied to decoded pictures (not to predicted features).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from eval.intervals import share_interval
from eval.results import Report, Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.features import face_features
from s2f.images import to_tensor
from s2f.pipeline import Speech2FacePipeline

PROTOCOL = "demographics/gender-probe-1"
SHUFFLES = 1000


class Detector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, image: np.ndarray) -> Sequence[object]:
        """Boxes found in an (H, W, 3) RGB byte image."""


def gender_probe(features: Float[torch.Tensor, "N D"], is_male: Bool[np.ndarray, " N"]) -> LogisticRegression:
    """Fit a logistic regression on unit-length face features.

    Args:
        features: (N, D) face features.
        is_male: (N,) true for m.

    Returns:
        The fitted classifier, for features of any length made unit-length first (see `says_male`).

    Raises:
        DatasetError: only one gender is present.
    """
    if is_male.all() or not is_male.any():
        raise DatasetError("people of both genders for the probe", "one gender", "use a training split with both")
    return LogisticRegression(C=10.0, max_iter=2000).fit(F.normalize(features, dim=-1).numpy(), is_male)


def says_male(probe: LogisticRegression, features: Float[torch.Tensor, "N D"]) -> Bool[np.ndarray, " N"]:
    """Apply a probe: (N, D) features to (N,) true for m."""
    return probe.predict(F.normalize(features, dim=-1).numpy())


def shuffled_agreement(
    predicted: Bool[np.ndarray, " N"], true: Bool[np.ndarray, " N"], shuffles: int = SHUFFLES, seed: int = 0
) -> Float[np.ndarray, " R"]:
    """Agreement after dealing the voices to other people at random: the control.

    Args:
        predicted: (N,) what the probe says of each voice's face.
        true: (N,) each speaker's gender.
        shuffles: number R of random permutations.
        seed: of the permutations.

    Returns:
        (R,) share of agreement under each permutation.
    """
    random = np.random.default_rng(seed)
    return np.array([(predicted[random.permutation(len(predicted))] == true).mean() for _ in range(shuffles)])


def agreement_rows(
    direction: str, predicted: Bool[np.ndarray, " N"], true: Bool[np.ndarray, " N"], params: dict
) -> list[Row]:
    """Agreement for everybody and for each gender, with Wilson intervals."""
    rows = []
    for group, members in (("U", np.ones_like(true)), ("f", ~true), ("m", true)):
        hits, count = int((predicted == true)[members].sum()), int(members.sum())
        if count:
            low, high = share_interval(hits, count)
            share = hits / count
            rows.append(Row("gender_agreement", direction, group, share, low, high, "wilson", 0.5, count, params))
    return rows


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    split: str,
    seconds: float,
    detector: Detector | None,
    pictures: Path | None = None,
) -> Report:
    """Draw the face of every recording of a split and compare the probe's gender with the speaker's.

    Recordings shared by several identities of the folder count once.

    Args:
        pipeline: the checkpoint.
        data: simulated dataset folder; the probe is fitted on its training split.
        split: split to evaluate, of people not seen in training.
        seconds: how much of each recording is heard.
        detector: counts faces in the drawn pictures; None leaves those rows out.
        pictures: folder for the drawn pictures; None keeps them in memory only.

    Returns:
        Agreement (v2f and the probe's own on rendered faces), the shuffled control, and the share of pictures with
        one face.

    Raises:
        DatasetError: a person without gender, or nothing in the split.
    """
    probe = gender_probe(*_labelled_faces(pipeline, data, "train", canonical_only=False))
    face_features_, face_labels = _labelled_faces(pipeline, data, split, canonical_only=True)
    parts = {(row["path"], row.get("start_s"), row.get("duration_s")): row for row in data.voices(split)}
    true = np.array([_is_male(data, row["identity"]) for row in parts.values()])
    rate = pipeline.voice_encoder.sample_rate_hz
    images = pipeline([(data.voice(row, rate), rate) for row in parts.values()], seconds=seconds).images
    predicted = says_male(probe, _features(pipeline, images))
    params = {"seconds": seconds, "split": split}
    rows = agreement_rows("v2f", predicted, true, params)
    shuffled = shuffled_agreement(predicted, true)
    low, high = np.quantile(shuffled, [0.025, 0.975])
    rows.append(
        Row("gender_agreement", "v2f", "shuffled", shuffled.mean(), low, high, "permutation", 0.5, len(true), params)
    )
    rows += agreement_rows("rendered", says_male(probe, face_features_), face_labels, {"split": split})
    if detector is not None:
        found = sum(len(detector.detect(np.asarray(image))) == 1 for image in images)
        low, high = share_interval(found, len(images))
        rows.append(Row("one_face", "v2f", "U", found / len(images), low, high, "wilson", None, len(images), params))
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for (path, start_s, _), image in zip(parts, images, strict=True):
            name = Path(path).stem + (f"_{start_s}" if float(start_s or 0) else "")
            image.save(pictures / f"{name}.png")
    return Report(PROTOCOL, data.split_hash, rows)


def _is_male(data: DatasetFolder, identity: str) -> bool:
    gender = data.people[identity].get("gender")
    if gender not in ("f", "m"):
        raise DatasetError("gender f or m for every person", f"{gender!r} for {identity}", "fill it in people.csv")
    return gender == "m"


def _labelled_faces(
    pipeline: Speech2FacePipeline, data: DatasetFolder, split: str, canonical_only: bool
) -> tuple[torch.Tensor, np.ndarray]:
    rows = [row for row in data.faces(split) if row.get("view") == "canonical" or not canonical_only]
    features = face_features(pipeline.face_encoder, [data.path(row) for row in rows], pipeline.device)
    return features, np.array([_is_male(data, row["identity"]) for row in rows])


@torch.inference_mode()
def _features(pipeline: Speech2FacePipeline, images: Sequence[Image.Image]) -> torch.Tensor:
    encoder = pipeline.face_encoder
    tensors = [encoder.prepare(to_tensor(image)[None].to(pipeline.device)) for image in images]
    return torch.cat([encoder.features(tensor) for tensor in tensors]).cpu()
