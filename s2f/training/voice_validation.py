"""Held-out people during voice training: what the encoder is compared with, and the pictures people look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from decoder.normalized import NormalizedFaceDecoder
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f.audio import load
from s2f.datasets import DatasetFolder, Row
from s2f.images import grid, load_image, resize
from s2f.training.voice_pairs import ShardFaces
from s2f.training.voice_targets import neighbour_targets, pair_targets, recording_of

SHOWN = 8
VALIDATED = 64
SECONDS = 6.0


@dataclass
class HeldOut:
    """Up to 64 held-out voices with the features they are compared with.

    Attributes:
        rows: V rows of voices.csv.
        own: (V, D) mean face feature of the person (and of whoever shares the recording).
        targets: (V, D) what the recipe would train this voice towards.
        pictures: V picture files, or none where only features are known.
    """

    rows: list[Row]
    own: Tensor
    targets: Tensor
    pictures: list[Path]

    @classmethod
    def of_shards(cls, data: DatasetFolder, faces: ShardFaces) -> HeldOut:
        """From a folder of shards, which has no pictures."""
        rows = spread(data.voices("val"), VALIDATED)
        own = faces.features(rows)
        return cls(rows, own, own, [])

    @classmethod
    def of_folder(cls, data: DatasetFolder, features: Callable[[list[Row]], Tensor]) -> HeldOut:
        """From a folder of pictures.

        Args:
            data: the folder.
            features: rows of faces.csv to (N, D).
        """
        voices = data.voices("val")
        rows = spread(voices, VALIDATED)
        recordings = {recording_of(row) for row in rows}
        sharing = [row for row in voices if recording_of(row) in recordings]
        people = {row["identity"] for row in sharing}
        faces = [row for row in data.faces("val") if row["identity"] in people]
        shared = pair_targets(sharing, faces, features(faces), "recording_mean")
        of_recording = {recording_of(row): found[0] for row, found in zip(sharing, shared.candidates, strict=True)}
        own = shared.features[[of_recording[recording_of(row)] for row in rows]]
        first = {row["identity"]: data.path(row) for row in reversed(faces)}
        return cls(rows, own, own, [first[row["identity"]] for row in rows])

    def towards_neighbours(self, data: DatasetFolder, faces: list[Row], features: Tensor, count: int) -> None:
        """Set the targets to the mean faces of training people who sound alike: see `neighbour_targets`."""
        found = neighbour_targets(data, self.rows, faces, features, count)
        self.targets = found.features[[rows[0] for rows in found.candidates]]

    def hidden(self, data: DatasetFolder, encoder: Speech2FaceVoiceEncoder, device: torch.device) -> Tensor:
        """(V, H) hidden units of the first 6 s of each voice."""
        rate, found = encoder.sample_rate_hz, []
        for row in self.rows:
            clip = load((data.voice(row, rate), rate), rate, SECONDS)
            found.append(encoder.hidden(encoder.front_end(torch.from_numpy(clip.waveform)[None].to(device))))
        return torch.cat(found)

    def draw(self, folder: Path, decoder: NormalizedFaceDecoder, target: Tensor, voice: Tensor) -> None:
        """Write a grid: the true face where there is one, the decoded target, the decoded voice.

        Args:
            folder: where `true_f2f_s2f.png`, or `f2f_s2f.png`, goes.
            decoder: on the device of the features.
            target: (V, D) features.
            voice: (V, D) features.
        """
        shown = spread(range(len(self.rows)), SHOWN)
        columns = [list(decoder(features[list(shown)]).image.cpu()) for features in (target, voice)]
        if self.pictures:
            size = decoder.image_size_px
            true = [resize(load_image(self.pictures[index])[None], size)[0] for index in shown]
            columns.insert(0, true)
        name = "true_f2f_s2f.png" if self.pictures else "f2f_s2f.png"
        grid([list(images) for images in zip(*columns, strict=True)]).save(folder / name)

    def cosines(self, voice: Tensor, mean: Tensor | None) -> dict[str, float]:
        """Mean cosines of predictions; with targets that are not the person's own, three more that frame it.

        Args:
            voice: (V, D) predicted features.
            mean: (D,) mean training target, for targets that are not the person's own.

        Returns:
            `val_cosine` to the target; `val_cosine_mean`, what the mean training target would get; `val_cosine_own`,
            to the person's own mean face; `val_cosine_own_target`, what a voice encoder that hit every target would
            get there.
        """
        target, own = self.targets.to(voice.device), self.own.to(voice.device)
        compared = {"val_cosine": (voice, target)}
        if mean is not None:
            compared |= {"val_cosine_mean": (mean[None], target)}
            compared |= {"val_cosine_own": (voice, own), "val_cosine_own_target": (target, own)}
        return {name: F.cosine_similarity(*pair).mean().item() for name, pair in compared.items()}


def spread(items: Sequence, count: int) -> list:
    """Up to `count` items, evenly spread over a sequence."""
    return list(items[:: max(1, len(items) // count)][:count])
