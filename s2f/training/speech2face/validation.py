"""Held-out people during voice training: what the encoder is compared with, and the pictures people look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from decoder.normalized import NormalizedFaceDecoder
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f.audio import load
from s2f.datasets import DatasetFolder, Row, name_of, recording_of
from s2f.errors import AudioError, BadFile, DatasetError
from s2f.faces.images import grid, load_image, resize, spread
from s2f.training.loop.bad_items import Reason
from s2f.training.speech2face.pairs import ShardFaces
from s2f.training.speech2face.targets import neighbour_targets, pair_targets

VALIDATED = 64
SECONDS = 6.0


class HeldOutVoices(NamedTuple):
    """Held-out voices, read when training starts, so that a bad one is not met hours later.

    Attributes:
        rows: V rows of voices.csv.
        waveforms: (V, S) first 6 s of each.
        skipped: path and reason of those that could not be used.
    """

    rows: list[Row]
    waveforms: Tensor
    skipped: list[Reason]

    @classmethod
    def read(cls, data: DatasetFolder, sample_rate_hz: int, skip_bad: bool) -> HeldOutVoices:
        """Read up to 64 of them, evenly spread.

        Args:
            data: dataset folder.
            sample_rate_hz: the voice encoder's.
            skip_bad: leave out what cannot be used.

        Raises:
            BadFile: a voice cannot be used, and `skip_bad` is off.
            DatasetError: none can be used.
        """
        found = cls([], torch.empty(0), [])
        waveforms = []
        for row in spread(data.voices("val"), VALIDATED):
            try:
                clip = load((data.voice(row, sample_rate_hz), sample_rate_hz), sample_rate_hz, SECONDS)
            except (AudioError, DatasetError) as error:
                bad = BadFile.of(name_of(row), error)
                if not skip_bad:
                    raise bad from error
                found.skipped.append((bad.path, str(bad)))
                continue
            found.rows.append(row)
            waveforms.append(torch.from_numpy(clip.waveform))
        if not waveforms:
            raise DatasetError("held-out voices that can be used", found.skipped[-1][1], "repair the data")
        return found._replace(waveforms=torch.stack(waveforms))


@dataclass
class HeldOut:
    """Held-out voices with the features they are compared with.

    Attributes:
        voices: V of them.
        own: (V, D) mean face feature of the person (and of whoever shares the recording).
        targets: (V, D) what the recipe would train this voice towards.
        pictures: V picture files, or none where only features are known.
    """

    voices: HeldOutVoices
    own: Tensor
    targets: Tensor
    pictures: list[Path]

    @classmethod
    def of_shards(cls, voices: HeldOutVoices, faces: ShardFaces) -> HeldOut:
        """From a folder of shards, which has no pictures."""
        own = faces.features(voices.rows)
        return cls(voices, own, own, [])

    @classmethod
    def of_folder(cls, voices: HeldOutVoices, data: DatasetFolder, features: Callable[[list[Row]], Tensor]) -> HeldOut:
        """From a folder of pictures.

        Args:
            voices: V of them.
            data: the folder.
            features: rows of faces.csv to (N, D).
        """
        recordings = [recording_of(row) for row in voices.rows]
        wanted = set(recordings)
        sharing = [row for row in data.voices("val") if recording_of(row) in wanted]
        people = {row["identity"] for row in sharing}
        faces = [row for row in data.faces("val") if row["identity"] in people]
        shared = pair_targets(sharing, faces, features(faces), "recording_mean")
        of_recording = {recording_of(row): found[0] for row, found in zip(sharing, shared.candidates, strict=True)}
        own = shared.features[[of_recording[recording] for recording in recordings]]
        first = {row["identity"]: data.path(row) for row in reversed(faces)}
        return cls(voices, own, own, [first[row["identity"]] for row in voices.rows])

    def towards_neighbours(self, data: DatasetFolder, faces: list[Row], features: Tensor, count: int) -> None:
        """Set the targets to the mean faces of training people who sound alike: see `neighbour_targets`."""
        found = neighbour_targets(data, self.voices.rows, faces, features, count)
        self.targets = found.features[[rows[0] for rows in found.candidates]]

    def hidden(self, encoder: Speech2FaceVoiceEncoder, device: torch.device) -> Tensor:
        """(V, H) hidden units of the voices, one by one."""
        return torch.cat(
            [encoder.hidden(encoder.front_end(clip.to(device))) for clip in self.voices.waveforms.split(1)]
        )

    def draw(self, folder: Path, decoder: NormalizedFaceDecoder, target: Tensor, voice: Tensor) -> None:
        """Write a grid: the true face where there is one, the decoded target, the decoded voice.

        Args:
            folder: where `true_f2f_s2f.png`, or `f2f_s2f.png`, goes.
            decoder: on the device of the features.
            target: (V, D) features.
            voice: (V, D) features.
        """
        shown = spread(range(len(self.own)))
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
