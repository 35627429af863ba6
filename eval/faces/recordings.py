"""Recordings that evaluations hear: of a split of a dataset folder, or of held-out readers."""

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
        name: names its picture and seeds its degradation.
        person: whose it is.
        speaker: whose sound it was made from; people who share a speaker are not independent.
        gender: the speaker's, "f", "m", or "" where unknown.
        source: the video that it comes from, where that is known, else the file.
        read: takes a sample rate in Hz to the (S,) float32 waveform.
        age_class: one of `s2f.labels.AGE_CLASSES` if the voice's is known, else "".
        face: (D,) feature of the person's picture, None where there is none.
    """

    name: str
    person: str
    speaker: str
    gender: str
    source: str
    read: Callable[[int], np.ndarray]
    age_class: str = ""
    face: np.ndarray | None = None


def recording_of(
    data: DatasetFolder, row: dict[str, str], gender: str, age_class: str = "", face: np.ndarray | None = None
) -> Recording:
    """The recording of a row of voices.csv.

    The source is `video` where it is filled: two files of one video are the same occasion.

    Args:
        data: dataset folder.
        row: of its voices.csv.
        gender: see `Recording`.
        age_class: see `Recording`.
        face: see `Recording`.

    Returns:
        The recording, named after its file and, where it does not start with the file, its start in seconds.
    """
    person = row["identity"]
    start = f"_{row['start_s']}" if float(row.get("start_s") or 0) else ""
    return Recording(
        Path(row["path"]).stem + start,
        person,
        data.people[person].get("speaker") or person,
        gender,
        row.get("video") or row.get("key") or row["path"],
        partial(data.voice, row),
        age_class,
        face,
    )


def split_recordings(
    pipeline: Speech2FacePipeline, data: DatasetFolder, split: str
) -> tuple[list[Recording], list[str]]:
    """Recordings of a split, with the feature of one picture of each person where the folder has pictures.

    The picture is the first canonical one, else the first, as in the reconstructions folder.

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
        gender = data.people[row["identity"]].get("gender", "")
        known = gender if gender in ("f", "m") else ""
        recordings.append(recording_of(data, row, known, face=faces.get(row["identity"])))
    shared = len(rows) - len(parts)
    return recordings, [f"{shared} rows of voices.csv repeat a recording, which counts once"] if shared else []


def reader_recordings(folder: str | Path) -> list[Recording]:
    """Original recordings of the "dev" speakers of a folder of voices, whom no training heard; taken to be adults.

    Args:
        folder: see `s2f.simulate.voice.recordings.read_voices`.

    Raises:
        DatasetError: no such speakers.
    """
    held_out = [one for one in read_voices(folder) if one.split == "dev"]
    if not held_out:
        raise DatasetError("dev speakers, whom no training heard", f"none in {folder}", "mark some in speakers.csv")
    return [
        Recording(
            Path(one.path).stem, one.speaker, one.speaker, one.gender, one.path, partial(_read_file, one.path), "adult"
        )
        for one in held_out
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
