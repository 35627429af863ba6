"""Does the face drawn from a voice show the speaker's gender, and does an adult's show an adult?

Probes on face features (`eval.attributes.fit_probes`) answer, with their own error beside them. Speech2Face (CVPR 2019,
section 5.1, Fig. 4) asks a commercial classifier; here the probes look at decoded pictures (not at predicted
features). With a reconstructions folder, `eval.attributes.picture_rows` adds the paper's comparison of true and drawn
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool

from eval.attributes.classifier import AttributeClassifier
from eval.attributes.fit_probes import fit_classifier, own_error
from eval.attributes.picture_rows import picture_rows
from eval.attributes.pictured import looked_at, pictured_faces
from eval.attributes.probes import ProbeClassifier
from eval.attributes.rows import controlled_rows, headline_rows
from eval.faces.conditions import CONDITIONS
from eval.faces.drawing import drawn
from eval.faces.features import picture_features
from eval.faces.recordings import Recording, reader_recordings, recording_of
from eval.metrics.classification import Comparison
from eval.metrics.intervals import share_row
from eval.reconstructions.folder import Reconstructions
from eval.results import Report
from s2f.datasets import DatasetFolder
from s2f.labels import ATTRIBUTES, GENDERS, gender_of, truth_by_identity
from s2f.reconstruction.pipeline import Speech2FacePipeline

PROTOCOL = "demographics/3"


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
        gender = gender_of(data.people[row["identity"]])
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
        data: dataset folder with the genders of the people heard; the probes are fitted on its training split.
        split: split to evaluate, of people not seen in training.
        seconds: how much of each recording is heard.
        detector: counts faces in the drawn pictures; None leaves those rows out.
        pictures: folder for the drawn pictures; None keeps them in memory only.
        conditions: repeat the gender agreement with degraded recordings, one fixed degradation per recording.
        voices: hear the "dev" speakers of this folder of voices instead of the split's recordings.
        reconstructions: the same checkpoint's pictures of the same people; adds the rows of `picture_rows`.

    Returns:
        Gender of the drawn faces against the speakers' (v2f; see `controlled_rows`), adults shown as children, the
        probes' own figures (`rendered` on canonical faces, `photo` where there are none; see `own_error`), the share
        of pictures with one face, and the headline figures of gender under each condition. Rows about pictures of a
        reconstructions folder follow; they have a `reference` among their parameters.

    Raises:
        DatasetError: a speaker without gender, training faces of one gender, or nothing in the split.
    """
    training = pictured_faces(pipeline, data, "train", canonical_only=False)
    asked = tuple(ATTRIBUTES) if reconstructions and reconstructions.classifier is None else ("gender", "age_class")
    probes, notes = fit_classifier(
        pipeline.face_encoder, pipeline.device, training, attributes=asked, required=["gender"]
    )
    faces = pictured_faces(pipeline, data, split, canonical_only=True)
    speakers = dataset_voices(data, split) if voices is None else reader_recordings(voices)
    params: dict[str, Any] = {"seconds": seconds, "split": split}
    if voices is not None:
        params = {"seconds": seconds, "split": "dev", "voices": Path(voices).name}
    shown, found = _look(pipeline, probes, speakers, seconds, detector, pictures)
    rows = controlled_rows(_gender(shown, speakers), "v2f", params)
    own, left_out = own_error(probes, faces, looked_at(data, split), split)
    adult = np.array([voice.age_class == "adult" for voice in speakers])
    if "age_class" in shown and adult.any():
        rows.append(share_row("shown_as_child", "v2f", "adult", shown["age_class"][adult] == "child", None, params))
    rows += own
    if detector is not None:
        rows.append(share_row("one_face", "v2f", "U", found, None, params))
    for condition in CONDITIONS if conditions else ():
        heard = _look(pipeline, probes, speakers, seconds, condition=condition)[0]
        rows += headline_rows(_gender(heard, speakers), "v2f", params | {"condition": condition})
    notes = [*notes, *left_out]
    if reconstructions is not None:
        added, said = picture_rows(reconstructions.classifier or probes, reconstructions.folder)
        rows, notes = rows + added, notes + said
    return Report(PROTOCOL, data.split_hash, rows, notes)


def _gender(shown: Mapping[str, np.ndarray], voices: Sequence[Recording]) -> Comparison:
    """Gender that the drawn faces show against the speakers'."""
    said, speakers = (np.array([getattr(voice, name) for voice in voices]) for name in ("gender", "speaker"))
    return Comparison("gender", GENDERS, said, shown["gender"], speakers)


def _look(
    pipeline: Speech2FacePipeline,
    probes: ProbeClassifier,
    voices: Sequence[Recording],
    seconds: float,
    detector: Detector | None = None,
    pictures: Path | None = None,
    condition: str | None = None,
) -> tuple[dict[str, np.ndarray], Bool[np.ndarray, " N"]]:
    """What the probes say of the drawn pictures by attribute, and whether the detector finds one face in each."""
    features, found = [], []
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    for some, output in drawn(pipeline, voices, seconds, condition):
        features.append(picture_features(pipeline, output.images).numpy())
        for voice, image in zip(some, output.images, strict=True):
            if detector is not None:
                found.append(len(detector.detect(np.asarray(image))) == 1)
            if pictures is not None:
                image.save(pictures / f"{voice.name}.png")
    return probes.answers(np.concatenate(features)), np.array(found, dtype=bool)
