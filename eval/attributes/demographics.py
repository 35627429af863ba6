"""Does the face drawn from a voice show the speaker's gender, and does an adult's show an adult?

Probes on face features (`eval.attributes.features`) answer, with their own error beside them. Speech2Face (CVPR 2019,
section 5.1, Fig. 4) asks a commercial classifier; here the probes look at decoded pictures (not at predicted
features). With a reconstructions folder, `eval.attributes.picture_rows` adds the paper's comparison of true and drawn
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from eval.attributes.agreement import agreement_rows, shuffled_agreement
from eval.attributes.classifier import AttributeClassifier
from eval.attributes.features import Pictured, labelled_faces, looked_at, pictured_faces, probes_of, recall_rows, says
from eval.attributes.fit_probes import fit_classifier
from eval.attributes.picture_rows import picture_rows
from eval.faces.conditions import CONDITIONS
from eval.faces.drawing import drawn
from eval.faces.features import picture_features
from eval.faces.recordings import Recording, reader_recordings, recording_of
from eval.metrics.intervals import share_row
from eval.reconstructions.folder import Reconstructions
from eval.results import Report, Row
from s2f.datasets import DatasetFolder
from s2f.labels import is_male_person, truth_by_identity
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "demographics/2"


class Detector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, image: np.ndarray) -> Sequence[object]:
        """Boxes found in an (H, W, 3) RGB byte image."""


class Drawn(NamedTuple):
    """Pictures that were drawn before, and who is asked about them; None is a classifier fitted on the data."""

    folder: Reconstructions
    classifier: AttributeClassifier | None


def dataset_voices(data: DatasetFolder, split: str) -> list[Recording]:
    """Recordings of a split; what several identities share comes once. The age class is truth.csv's, where it is."""
    truth = truth_by_identity(data)
    voices = []
    parts = {(row["path"], row.get("start_s"), row.get("duration_s")): row for row in data.voices(split)}
    for row in parts.values():
        gender = "m" if is_male_person(data.people[row["identity"]]) else "f"
        known = truth.get(row["identity"], {}).get("voice_age_class", "")
        voices.append(recording_of(data, row, gender, known))
    return voices


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    split: str,
    seconds: float,
    detector: Detector | None,
    pictures: Path | None = None,
    conditions: bool = False,
    voices: str | Path | None = None,
    reconstructions: Drawn | None = None,
) -> Report:
    """Draw the face of every recording of a split and compare the probes' answers with the speakers.

    Recordings shared by several identities of the folder count once.

    Args:
        pipeline: the checkpoint.
        data: dataset folder with the genders of its people; the probes are fitted on its training split.
        split: split to evaluate, of people not seen in training.
        seconds: how much of each recording is heard.
        detector: counts faces in the drawn pictures; None leaves those rows out.
        pictures: folder for the drawn pictures; None keeps them in memory only.
        conditions: repeat the gender agreement with degraded recordings, one fixed degradation per recording.
        voices: hear the "dev" speakers of this folder of voices instead of the split's recordings.
        reconstructions: the same checkpoint's pictures of the same people; adds the rows of `picture_rows`.

    Returns:
        Gender agreement (v2f and the probe's own: `rendered` on canonical faces, `photo` where there are none), the
        shuffled control, adults shown as children, the age probe's own agreement (in its group U the mean of the
        recalls), the share of pictures with one face, and agreement under each condition. Rows about pictures of a
        reconstructions folder follow; they have a `reference` among their parameters, and there `age_class_agreement`
        is the share that agrees.

    Raises:
        DatasetError: a person without gender, or nothing in the split.
    """
    training = pictured_faces(pipeline, data, "train", canonical_only=False)
    probes = probes_of(training.faces())
    faces = labelled_faces(pipeline, data, split, canonical_only=True)
    speakers = dataset_voices(data, split) if voices is None else reader_recordings(voices)
    params: dict[str, Any] = {"seconds": seconds, "split": split}
    if voices is not None:
        params = {"seconds": seconds, "split": "dev", "voices": Path(voices).name}
    true = np.array([voice.gender == "m" for voice in speakers])
    shown, found = _look(pipeline, speakers, seconds, detector, pictures)
    predicted = says(probes.gender, shown)
    rows = agreement_rows("v2f", predicted, true, params)
    shuffled = shuffled_agreement(predicted, true)
    low, high = np.quantile(shuffled, [0.025, 0.975])
    rows.append(
        Row("gender_agreement", "v2f", "shuffled", shuffled.mean(), low, high, "permutation", 0.5, len(true), params)
    )
    own = looked_at(data, split)
    rows += agreement_rows(own, says(probes.gender, faces.features), faces.is_male, {"split": split})
    adult = np.array([voice.age_class == "adult" for voice in speakers])
    if probes.age is not None:
        if adult.any():
            is_child = says(probes.age, shown)[adult] == "child"
            rows.append(share_row("shown_as_child", "v2f", "adult", is_child, None, params))
        rows += recall_rows(own, says(probes.age, faces.features), faces.age_class, {"split": split})
    if detector is not None:
        rows.append(share_row("one_face", "v2f", "U", found, None, params))
    for condition in CONDITIONS if conditions else ():
        heard = _look(pipeline, speakers, seconds, condition=condition)[0]
        rows += agreement_rows("v2f", says(probes.gender, heard), true, params | {"condition": condition})[:1]
    added, notes = _about_pictures(pipeline, training, reconstructions)
    return Report(PROTOCOL, data.split_hash, [*rows, *added], notes)


def _about_pictures(
    pipeline: Speech2FacePipeline, training: Pictured, given: Drawn | None
) -> tuple[list[Row], list[str]]:
    """Rows of a reconstructions folder and notes on them, none without one."""
    if given is None:
        return [], []
    if given.classifier is not None:
        return picture_rows(given.classifier, given.folder)
    classifier, left_out = fit_classifier(pipeline.face_encoder, pipeline.device, training)
    rows, notes = picture_rows(classifier, given.folder)
    return rows, [*left_out, *notes]


def _look(
    pipeline: Speech2FacePipeline,
    voices: Sequence[Recording],
    seconds: float,
    detector: Detector | None = None,
    pictures: Path | None = None,
    condition: str | None = None,
) -> tuple[torch.Tensor, np.ndarray]:
    """Features of the drawn pictures, and for each whether the detector finds one face."""
    features, found = [], []
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    for some, output in drawn(pipeline, voices, seconds, condition):
        features.append(picture_features(pipeline, output.images))
        for voice, image in zip(some, output.images, strict=True):
            if detector is not None:
                found.append(len(detector.detect(np.asarray(image))) == 1)
            if pictures is not None:
                image.save(pictures / f"{voice.name}.png")
    return torch.cat(features), np.array(found, dtype=bool)
