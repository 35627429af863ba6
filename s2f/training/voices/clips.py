"""Training clips: recordings read, trimmed and cut, each a pure function of (seed, epoch, item), and balanced draws."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from s2f.datasets import DatasetFolder, Recording, Row, name_of, recording_of
from s2f.errors import AudioError, BadFile, DatasetError


class ClipArguments(Protocol):
    """Settings of a recipe that decide its clips: see `s2f.training.speech2face.task.Speech2FaceArguments`."""

    seed: int
    seconds: float
    crop: Literal["start", "random"]
    trim_db: float | None
    cached_clips: int


def balance_groups(data: DatasetFolder, voices: list[Row], columns: list[str]) -> list[list[int]]:
    """Numbers of the voice rows of each group of people that share the values of some columns.

    Args:
        data: whose people.csv, or else truth.csv, has the columns.
        voices: rows of voices.csv.
        columns: names; none makes no group.

    Returns:
        The groups, sorted by their values; an empty value is one as well.

    Raises:
        DatasetError: a column is in neither file.
    """
    simulated = [name for name in columns if name not in data.people[voices[0]["identity"]]]
    truth = data.truth([row["identity"] for row in voices], *simulated) if simulated else [{}] * len(voices)
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, (row, extra) in enumerate(zip(voices, truth, strict=True)):
        values = data.people[row["identity"]] | {name: extra[name] for name in simulated}
        groups.setdefault(tuple(values[name] for name in columns), []).append(number)
    return [groups[values] for values in sorted(groups)] if columns else []


def trimmed(data: DatasetFolder, row: Row, sample_rate_hz: int, trim_db: float | None) -> np.ndarray:
    """Waveform (S,) of a recording without its quiet beginning and end."""
    waveform = data.voice(row, sample_rate_hz)
    if trim_db is None:
        return waveform
    from librosa.effects import trim

    return trim(waveform, top_db=trim_db)[0]


class VoiceClips(Dataset):
    """Training clips: one item per row of voices.csv, or as many items drawn equally from `groups` of rows.

    Attributes:
        runs: for shards, how many neighbouring rows lie in one file; None for a folder of files.
    """

    def __init__(
        self,
        data: DatasetFolder,
        rows: list[Row],
        faces: FaceSide,
        arguments: ClipArguments,
        sample_rate_hz: int,
        side_targets: dict[str, Tensor] | None = None,
        groups: list[list[int]] | None = None,
    ) -> None:
        self.data, self.rows, self.faces, self.arguments = data, rows, faces, arguments
        self.sample_rate_hz = sample_rate_hz
        self.side_targets, self.groups = side_targets or {}, groups or []
        self.cache: dict[Recording, np.ndarray] = {}
        self.runs: list[int] | None = None
        if "audio_offset" in rows[0] and not self.groups:
            self.runs = [len(list(run)) for _, run in groupby(rows, key=lambda row: row["path"])]

    def read(self, row: Row) -> np.ndarray:
        """Decode and trim a recording; the first `cached_clips` are kept in memory.

        Raises:
            BadFile: it cannot be used.
        """
        recording = recording_of(row)
        if recording in self.cache:
            return self.cache[recording]
        try:
            waveform = trimmed(self.data, row, self.sample_rate_hz, self.arguments.trim_db)
        except (AudioError, DatasetError) as error:
            raise BadFile.of(name_of(row), error) from error
        if len(self.cache) < self.arguments.cached_clips:
            self.cache[recording] = waveform
        return waveform

    def row_of(self, epoch: int, item: int) -> int:
        """Row an item stands for: itself, or item // G of a shuffled group item % G, begun anew when it is used up."""
        if not self.groups:
            return item
        place, group = divmod(item, len(self.groups))
        members = self.groups[group]
        order = np.random.default_rng([self.arguments.seed, epoch, len(self.rows) + group]).permutation(len(members))
        return members[order[place % len(members)]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, item = key
        random = np.random.default_rng([self.arguments.seed, epoch, item])
        row = self.row_of(epoch, item)
        waveform = self.read(self.rows[row])
        length = round(self.arguments.seconds * self.sample_rate_hz)
        if len(waveform) < length:
            waveform = np.resize(waveform, length)
        spare = len(waveform) - length if self.arguments.crop == "random" else 0
        first = int(random.integers(0, spare + 1))
        return {
            "waveform": torch.from_numpy(waveform[first : first + length].copy()),
            "side": {name: values[row] for name, values in self.side_targets.items()},
        } | self.faces.item(row, random)


class FaceSide(Protocol):
    """Face side of the training pairs."""

    def item(self, row: int, random: np.random.Generator) -> dict[str, Any]:
        """The part of the item for one row of voices.csv; `face_feature` of the module knows what to do with it."""
