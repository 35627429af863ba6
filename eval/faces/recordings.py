"""Recordings that `s2f-eval consistency` hears: of a split of a dataset folder, or of held-out readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from s2f import audio
from s2f.datasets import DatasetFolder, by_identity
from s2f.errors import DatasetError
from s2f.faces.features import face_features
from s2f.reconstruction.pipeline import Speech2FacePipeline
from s2f.simulate.voice.recordings import read_voices


@dataclass(frozen=True)
class Recording:
    """A recording to hear.

    Attributes:
        person: whose it is.
        speaker: whose sound it was made from; people who share a speaker are not independent.
        gender: the speaker's, "f", "m", or "" where unknown.
        source: the video that it comes from, where that is known, else the file.
        read: takes a sample rate in Hz to the (S,) float32 waveform.
        face: (D,) feature of the person's picture, None where there is none.
    """

    person: str
    speaker: str
    gender: str
    source: str
    read: Callable[[int], np.ndarray]
    face: np.ndarray | None = None


def split_recordings(
    pipeline: Speech2FacePipeline, data: DatasetFolder, split: str
) -> tuple[list[Recording], list[str]]:
    """Recordings of a split, with the feature of one picture of each person where the folder has pictures.

    The picture is the first canonical one, else the first, as in the reconstructions folder. The source is `video`
    of voices.csv where it is filled: two files of one video are the same occasion.

    Args:
        pipeline: its face encoder looks at the pictures.
        data: dataset folder.
        split: whose recordings.

    Returns:
        The recordings, what several identities share only once, under the first of them; and a sentence on how many
        rows that leaves out, if any.
    """
    rows = data.voices(split)
    faces = _faces(pipeline, data, split)
    parts: dict[tuple[str | None, ...], dict[str, str]] = {}
    for row in rows:
        place = row["path"], row.get("key"), row.get("start_s"), row.get("duration_s")
        parts.setdefault(place, row)
    recordings = []
    for row in parts.values():
        name, person = row["identity"], data.people[row["identity"]]
        gender = person.get("gender", "")
        source = row.get("video") or row.get("key") or row["path"]
        speaker = person.get("speaker") or name
        known = gender if gender in ("f", "m") else ""
        recordings.append(Recording(name, speaker, known, source, partial(data.voice, row), faces.get(name)))
    shared = len(rows) - len(parts)
    return recordings, [f"{shared} rows of voices.csv repeat a recording, which counts once"] if shared else []


def reader_recordings(folder: str | Path) -> list[Recording]:
    """Original recordings of the "dev" speakers of a folder of voices, whom no training heard.

    Args:
        folder: see `s2f.simulate.voice.recordings.read_voices`.

    Raises:
        DatasetError: no such speakers.
    """
    held_out = [one for one in read_voices(folder) if one.split == "dev"]
    if not held_out:
        raise DatasetError("dev speakers, whom no training heard", f"none in {folder}", "mark some in speakers.csv")
    return [
        Recording(one.speaker, one.speaker, one.gender, one.path, partial(_read_file, one.path)) for one in held_out
    ]


def _faces(pipeline: Speech2FacePipeline, data: DatasetFolder, split: str) -> dict[str, np.ndarray]:
    """Feature of one picture of each person of a split who has one."""
    mine = [row for row in data.faces("train", split) if data.people[row["identity"]]["split"] == split]
    if not mine:
        return {}
    chosen = {
        name: next((row for row in rows if row.get("view") == "canonical"), rows[0])
        for name, rows in by_identity(mine).items()
    }
    features = face_features(pipeline.face_encoder, [data.path(row) for row in chosen.values()], pipeline.device)
    return dict(zip(chosen, features.numpy(), strict=True))


def _read_file(path: str, sample_rate_hz: int) -> np.ndarray:
    return audio.load(path, sample_rate_hz).waveform


@dataclass(frozen=True)
class Voice:
    """A recording to hear.

    Attributes:
        name: names its picture and seeds its degradation.
        speaker: whose sound it was made from; voices that share a speaker are not independent.
        gender: the speaker's, "f" or "m".
        age_class: one of `s2f.labels.AGE_CLASSES` if the voice's is known, else "".
        read: takes a sample rate in Hz to the (S,) float32 waveform.
    """

    name: str
    speaker: str
    gender: str
    age_class: str
    read: Callable[[int], np.ndarray]
