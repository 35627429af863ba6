"""Does the face drawn from a voice show the speaker's gender, and does an adult's show an adult?

Probes on face features answer, with their own error beside them. Speech2Face (CVPR 2019, section 5.1, Fig. 4) asks a
commercial classifier; here logistic regressions on the checkpoint's own face features, fitted on the rendered faces of
the training people, are applied to decoded pictures (not to predicted features).
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from tqdm import tqdm

from eval.intervals import share_interval
from eval.results import Report, Row
from s2f import audio
from s2f.augment import CONDITIONS, degrade_voice
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError
from s2f.features import face_features
from s2f.images import to_tensor
from s2f.pipeline import Speech2FaceOutput, Speech2FacePipeline
from s2f.simulate.voices import read_voices

PROTOCOL = "demographics/gender-probe-1"
SHUFFLES = 1000
AGE_CLASSES = ("child", "adult", "elder")
CHUNK = 32  # faces drawn between two steps of the progress bar


class Detector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, image: np.ndarray) -> Sequence[object]:
        """Boxes found in an (H, W, 3) RGB byte image."""


@dataclass(frozen=True)
class Voice:
    """A recording to hear.

    Attributes:
        name: names its picture and seeds its degradation.
        is_male: whether the speaker is a man or boy.
        age_class: one of `AGE_CLASSES` if the voice's is known, else "".
        read: takes a sample rate in Hz to the (S,) float32 waveform.
    """

    name: str
    is_male: bool
    age_class: str
    read: Callable[[int], np.ndarray]


class Faces(NamedTuple):
    """Features (N, D) of rendered faces, with (N,) true for m and (N,) age class ("" where unknown) of the faces."""

    features: torch.Tensor
    is_male: np.ndarray
    age_class: np.ndarray


class Probes(NamedTuple):
    """Fitted probes; `age` is None where the training faces do not show all age classes."""

    gender: LogisticRegression
    age: LogisticRegression | None


def age_class(age_years: float) -> str:
    """One of `AGE_CLASSES`: child below 14 years, elder from 60, adult between."""
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
    """Read the faces of a split, with the face's gender (truth.csv's, else the person's) and age (people.csv's)."""
    rows = [row for row in data.faces(split) if row.get("view") == "canonical" or not canonical_only]
    if not rows:
        raise DatasetError(f"canonical faces of {split} people", "none", "make them with `s2f simulate`")
    truth = _truth(data)
    people = [data.people[row["identity"]] | truth.get(row["identity"], {}) for row in rows]
    ages = [age_class(float(person["age"])) if person.get("age") else "" for person in people]
    features = face_features(pipeline.face_encoder, [data.path(row) for row in rows], pipeline.device)
    return Faces(features, np.array([_is_male(person) for person in people]), np.array(ages))


def shuffled_agreement(predicted: np.ndarray, true: np.ndarray, shuffles: int = SHUFFLES, seed: int = 0) -> np.ndarray:
    """Agreement after dealing the voices to other people at random: the control.

    Args:
        predicted: (N,) what the probe says of each voice's face.
        true: (N,) what each speaker is.
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
    groups = (("U", np.ones_like(true)), ("f", ~true), ("m", true))
    hits = predicted == true
    return [
        share_row("gender_agreement", direction, group, hits[members], 0.5, params)
        for group, members in groups
        if members.any()
    ]


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


def dataset_voices(data: DatasetFolder, split: str) -> list[Voice]:
    """Recordings of a split; what several identities share comes once. The age class is truth.csv's, where it is."""
    truth = _truth(data)
    voices = []
    parts = {(row["path"], row.get("start_s"), row.get("duration_s")): row for row in data.voices(split)}
    for row in parts.values():
        start = f"_{row['start_s']}" if float(row.get("start_s") or 0) else ""
        is_male = _is_male(data.people[row["identity"]])
        known = truth.get(row["identity"], {}).get("voice_age_class", "")
        voices.append(Voice(Path(row["path"]).stem + start, is_male, known, partial(data.voice, row)))
    return voices


def reader_voices(folder: str | Path) -> list[Voice]:
    """Original recordings of the "dev" speakers of a folder of voices; readers are taken to be adults."""
    held_out = [recording for recording in read_voices(folder) if recording.split == "dev"]
    if not held_out:
        raise DatasetError("dev speakers, whom no training heard", f"none in {folder}", "mark some in speakers.csv")
    return [
        Voice(Path(one.path).stem, one.gender == "m", "adult", partial(_read_recording, one.path)) for one in held_out
    ]


def drawn(
    pipeline: Speech2FacePipeline, voices: Sequence[Voice], seconds: float, condition: str | None = None
) -> Iterator[tuple[Sequence[Voice], Speech2FaceOutput]]:
    """Draw faces in chunks, with a progress bar.

    Args:
        pipeline: the checkpoint.
        voices: whom to hear.
        seconds: how much of each recording is heard.
        condition: one of `CONDITIONS`: the heard part is degraded by it, seeded by the voice's name.

    Yields:
        Some of the voices, in order, and what the pipeline made of them.
    """
    rate = pipeline.voice_encoder.sample_rate_hz

    def hear(voice: Voice) -> tuple[np.ndarray, int]:
        waveform = voice.read(rate)
        if condition is not None:
            heard = waveform[: round(seconds * rate)]
            waveform = degrade_voice(heard, rate, condition, zlib.crc32(voice.name.encode()))
        return waveform, rate

    with tqdm(total=len(voices), desc=condition or "voices", unit="voice") as progress:
        for first in range(0, len(voices), CHUNK):
            chunk = voices[first : first + CHUNK]
            yield chunk, pipeline([hear(voice) for voice in chunk], seconds=seconds)
            progress.update(len(chunk))


def evaluate(
    pipeline: Speech2FacePipeline,
    data: DatasetFolder,
    split: str,
    seconds: float,
    detector: Detector | None,
    pictures: Path | None = None,
    conditions: bool = False,
    voices: str | Path | None = None,
) -> Report:
    """Draw the face of every recording of a split and compare the probes' answers with the speakers.

    Recordings shared by several identities of the folder count once.

    Args:
        pipeline: the checkpoint.
        data: simulated dataset folder; the probes are fitted on its training split.
        split: split to evaluate, of people not seen in training.
        seconds: how much of each recording is heard.
        detector: counts faces in the drawn pictures; None leaves those rows out.
        pictures: folder for the drawn pictures; None keeps them in memory only.
        conditions: repeat the gender agreement with degraded recordings, one fixed degradation per recording.
        voices: hear the "dev" speakers of this folder of voices instead of the split's recordings.

    Returns:
        Gender agreement (v2f and the probe's own on rendered faces), the shuffled control, adults shown as children,
        the age probe's own agreement, the share of pictures with one face, and agreement under each condition.

    Raises:
        DatasetError: a person without gender, or nothing in the split.
    """
    probes = fit_probes(pipeline, data)
    faces = labelled_faces(pipeline, data, split, canonical_only=True)
    speakers = dataset_voices(data, split) if voices is None else reader_voices(voices)
    params: dict[str, Any] = {"seconds": seconds, "split": split}
    if voices is not None:
        params = {"seconds": seconds, "split": "dev", "voices": Path(voices).name}
    true = np.array([voice.is_male for voice in speakers])
    shown, found = _look(pipeline, speakers, seconds, detector, pictures)
    predicted = says(probes.gender, shown)
    rows = agreement_rows("v2f", predicted, true, params)
    shuffled = shuffled_agreement(predicted, true)
    low, high = np.quantile(shuffled, [0.025, 0.975])
    rows.append(
        Row("gender_agreement", "v2f", "shuffled", shuffled.mean(), low, high, "permutation", 0.5, len(true), params)
    )
    rows += agreement_rows("rendered", says(probes.gender, faces.features), faces.is_male, {"split": split})
    adult = np.array([voice.age_class == "adult" for voice in speakers])
    if probes.age is not None:
        if adult.any():
            is_child = says(probes.age, shown)[adult] == "child"
            rows.append(share_row("shown_as_child", "v2f", "adult", is_child, None, params))
        rows += recall_rows("rendered", says(probes.age, faces.features), faces.age_class, {"split": split})
    if detector is not None:
        rows.append(share_row("one_face", "v2f", "U", found, None, params))
    for condition in CONDITIONS if conditions else ():
        heard = _look(pipeline, speakers, seconds, condition=condition)[0]
        rows += agreement_rows("v2f", says(probes.gender, heard), true, params | {"condition": condition})[:1]
    return Report(PROTOCOL, data.split_hash, rows)


def _look(
    pipeline: Speech2FacePipeline,
    voices: Sequence[Voice],
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


def _read_recording(path: str, sample_rate_hz: int) -> np.ndarray:
    return audio.load(path, sample_rate_hz).waveform


def _truth(data: DatasetFolder) -> dict[str, dict[str, str]]:
    """Row of truth.csv by identity; empty where the folder has none."""
    known = data.truth(data.people) if (data.root / "truth.csv").is_file() else []
    return {row["identity"]: row for row in known}


def _is_male(person: dict[str, str]) -> bool:
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
