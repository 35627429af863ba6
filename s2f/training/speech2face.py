"""Training the voice encoder: Speech2Face (Oh et al., CVPR 2019, section 4).

Face encoder and decoder are frozen; the voice encoder regresses the face feature of the speaker with Eq. 1.
Deviations that a recipe may turn on: random instead of leading clips, silence trimmed, augmentation, targets averaged
over a person's views.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.base import FaceEncoder
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f.audio import load
from s2f.augment import augment_voice
from s2f.checkpoints import load_network
from s2f.datasets import DatasetFolder, Row
from s2f.errors import DatasetError, RecipeError
from s2f.features import direction_means, face_features, load_face_encoder
from s2f.files import whole_folder
from s2f.images import grid, load_image, resize
from s2f.losses import speech2face_terms
from s2f.training.arguments import TrainingArguments, build_network
from s2f.training.loop import start, train

SHOWN = 8
VALIDATED = 64
VALIDATED_SECONDS = 6.0


@dataclass(kw_only=True)
class Speech2FaceArguments(TrainingArguments):
    """Flags of train_s2f.py, besides those every recipe shares.

    Args:
        face_encoder: folder of the frozen face encoder.
        decoder: folder of the frozen decoder, trained with that encoder.
        network: constructor arguments of the voice encoder; `feature_size` follows from the face encoder.
        seconds: length of training clips.
        crop: use the first `seconds` of a recording or a random part of it.
        trim_db: cut leading and trailing sound this far below the peak.
        augment: vary room, channel, noise and level.
        target: feature of one face (of the same video where that is known), or the mean over the faces of everybody
            with this recording: one person in real data, several in simulated data.
        temperature: of the distillation term.
        mean_bias: start the last layer's bias at the mean target, so that training starts from the mean face.
        cached_clips: decoded recordings kept in memory by each loading process.
    """

    face_encoder: str
    decoder: str
    network: dict[str, Any] = field(default_factory=dict)
    seconds: float = 6.0
    crop: Literal["start", "random"] = "start"
    trim_db: float | None = None
    augment: bool = False
    target: Literal["face", "recording_mean"] = "face"
    temperature: float = 2.0
    mean_bias: bool = False
    cached_clips: int = 0


Recording = tuple[str, str, str]


def recording_of(row: Row) -> Recording:
    """What makes rows of voices.csv the same sound: path, start and duration."""
    return row["path"], row.get("start_s", ""), row.get("duration_s", "")


@dataclass
class Targets:
    """Face features to regress, and which of them belong to a voice.

    Attributes:
        features: (M, D).
        candidates: for each voice row, the rows of `features` it may be paired with.
    """

    features: Tensor
    candidates: list[list[int]]


def pair_targets(voices: list[Row], faces: list[Row], features: Tensor, target: str) -> Targets:
    """Pair every voice with faces of the same person.

    Args:
        voices: rows of voices.csv.
        faces: rows of faces.csv, one per row of `features`.
        features: (N, D) face features.
        target: `face`: any face of the voice's video, or of the person where no face shares the video;
            `recording_mean`: the mean over the faces of everybody whose voice is the same recording.

    Returns:
        The targets.

    Raises:
        DatasetError: a voice whose identity has no face.
    """
    of_identity: dict[str, list[int]] = {}
    of_video: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(faces):
        of_identity.setdefault(row["identity"], []).append(number)
        of_video.setdefault((row["identity"], row.get("video") or ""), []).append(number)
    without = sorted({row["identity"] for row in voices} - set(of_identity))
    if without:
        raise DatasetError("a face for every voice", f"none for {without[0]}", "remove such identities from people.csv")
    if target == "recording_mean":
        members: dict[Recording, list[int]] = {}
        for row in voices:
            members.setdefault(recording_of(row), []).extend(of_identity[row["identity"]])
        position = {recording: [index] for index, recording in enumerate(members)}
        means = direction_means(features, list(members.values()))
        return Targets(means, [position[recording_of(row)] for row in voices])
    same_video = [of_video.get((row["identity"], row.get("video") or " "), []) for row in voices]
    either = [found or of_identity[row["identity"]] for row, found in zip(voices, same_video, strict=True)]
    return Targets(features, either)


class VoiceClips(Dataset):
    """Training clips: one item per row of voices.csv."""

    def __init__(
        self,
        data: DatasetFolder,
        rows: list[Row],
        candidates: list[list[int]],
        arguments: Speech2FaceArguments,
        sample_rate_hz: int,
    ) -> None:
        self.data, self.rows, self.candidates, self.arguments = data, rows, candidates, arguments
        self.sample_rate_hz = sample_rate_hz
        self.cache: dict[Recording, np.ndarray] = {}

    def read(self, recording: Recording) -> np.ndarray:
        """Decode and trim a recording; the first `cached_clips` are kept in memory."""
        if recording in self.cache:
            return self.cache[recording]
        row = dict(zip(("path", "start_s", "duration_s"), recording, strict=True))
        waveform = self.data.voice(row, self.sample_rate_hz)
        if self.arguments.trim_db is not None:
            from librosa.effects import trim

            waveform, _ = trim(waveform, top_db=self.arguments.trim_db)
        if len(self.cache) < self.arguments.cached_clips:
            self.cache[recording] = waveform
        return waveform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, item = key
        random = np.random.default_rng([self.arguments.seed, epoch, item])
        waveform = self.read(recording_of(self.rows[item]))
        length = round(self.arguments.seconds * self.sample_rate_hz)
        if len(waveform) < length:
            waveform = np.resize(waveform, length)
        spare = len(waveform) - length if self.arguments.crop == "random" else 0
        first = int(random.integers(0, spare + 1))
        return {
            "waveform": torch.from_numpy(waveform[first : first + length].copy()),
            "target": int(random.choice(self.candidates[item])),
        }


class Speech2FaceModule(nn.Module):
    """Voice encoder with Eq. 1's terms."""

    def __init__(
        self,
        voice_encoder: Speech2FaceVoiceEncoder,
        face_encoder: FaceEncoder,
        decoder: NormalizedFaceDecoder,
        arguments: Speech2FaceArguments,
    ) -> None:
        super().__init__()
        self.voice_encoder = voice_encoder
        self.frozen = (face_encoder, decoder)  # a plain tuple: neither trained nor stored with the voice encoder
        self.arguments = arguments
        self.targets = torch.empty(0)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Terms `decoder`, `normalized` and `distillation` of a batch."""
        waveform = batch["waveform"]
        if self.arguments.augment:
            waveform = augment_voice(waveform, self.voice_encoder.sample_rate_hz)
        predicted = self.voice_encoder.encode(waveform)
        return self.terms(predicted, self.targets[batch["target"]])

    def terms(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Eq. 1's unweighted terms for (B, D) features, in float32 whatever the autocast state."""
        face_encoder, decoder = self.frozen
        with torch.autocast(predicted.device.type, enabled=False):
            return speech2face_terms(
                predicted.float(), target, decoder.first_layer, face_encoder.logits, self.arguments.temperature
            )


class Speech2FaceTask:
    """Task of the shared loop: see `s2f.training.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: Speech2FaceArguments, device: torch.device) -> None:
        self.split_hash = data.split_hash
        self.data = data
        self.face_encoder = load_face_encoder(arguments.face_encoder).to(device).requires_grad_(False)
        self.decoder = load_network(NormalizedFaceDecoder, arguments.decoder).to(device).requires_grad_(False)
        if self.face_encoder.embedding_dim != self.decoder.embedding_dim:
            raise RecipeError(
                f"a decoder for features of size {self.face_encoder.embedding_dim}",
                str(self.decoder.embedding_dim),
                "use the decoder that was trained with this face encoder",
            )
        options = arguments.network | {"feature_size": self.face_encoder.embedding_dim}
        voice_encoder = build_network(Speech2FaceVoiceEncoder, options)
        if arguments.seconds < voice_encoder.min_seconds:
            raise RecipeError(
                f"seconds >= {voice_encoder.min_seconds:.3f}", str(arguments.seconds), "use longer training clips"
            )
        self.module = Speech2FaceModule(voice_encoder, self.face_encoder, self.decoder, arguments)
        voices = data.voices("train")
        targets = self._targets("train", voices, arguments.target, device)
        self.module.targets = targets.features
        self.dataset = VoiceClips(data, voices, targets.candidates, arguments, voice_encoder.sample_rate_hz)
        self.held_out = data.voices("val")
        self.held_out_faces = {row["identity"]: row for row in reversed(data.faces("val"))}
        self.held_out_targets = self._targets("val", self.held_out, "recording_mean", device)
        if arguments.mean_bias:
            with torch.no_grad():
                voice_encoder.fc2.bias.copy_(targets.features.mean(0))

    def _targets(self, split: str, voices: list[Row], target: str, device: torch.device) -> Targets:
        faces = self.data.faces(split)
        features = face_features(self.face_encoder, [self.data.path(row) for row in faces], device)
        return pair_targets(voices, faces, features, target)

    def to(self, device: torch.device) -> None:
        """Move the frozen networks and the targets."""
        self.device = device
        self.face_encoder.to(device)
        self.decoder.to(device)
        self.module.targets = self.module.targets.to(device)

    def validate(self, folder: Path) -> dict[str, float]:
        """Loss terms and cosine on held-out people, and their true, face-to-face and voice-to-face pictures."""
        chosen = range(0, len(self.held_out), max(1, len(self.held_out) // VALIDATED))[:VALIDATED]
        encoder, rate = self.module.voice_encoder, self.module.voice_encoder.sample_rate_hz
        predicted = []
        for index in chosen:
            clip = load((self.data.voice(self.held_out[index], rate), rate), rate, VALIDATED_SECONDS)
            predicted.append(encoder.encode(torch.from_numpy(clip.waveform)[None].to(self.device)))
        voice = torch.cat(predicted)
        rows = [self.held_out_targets.candidates[index][0] for index in chosen]
        face = self.held_out_targets.features[rows].to(self.device)
        figures = {f"val_{name}": value.item() for name, value in self.module.terms(voice, face).items()}
        figures["val_cosine"] = F.cosine_similarity(voice, face).mean().item()
        self._draw(folder, [self.held_out[index] for index in chosen], face, voice)
        return figures

    def _draw(self, folder: Path, rows: list[Row], face: Tensor, voice: Tensor) -> None:
        step = max(1, len(rows) // SHOWN)
        shown = slice(0, step * SHOWN, step)
        size = self.decoder.image_size_px
        faces = [self.data.path(self.held_out_faces[row["identity"]]) for row in rows[shown]]
        true = [resize(load_image(path)[None], size)[0] for path in faces]
        from_face, from_voice = self.decoder(face[shown]).image.cpu(), self.decoder(voice[shown]).image.cpu()
        pictures = [list(images) for images in zip(true, from_face, from_voice, strict=True)]
        grid(pictures).save(folder / "true_f2f_s2f.png")

    def export(self, folder: Path) -> None:
        """Write the whole pipeline to `folder`/pipeline."""
        from s2f.pipeline import Speech2FacePipeline

        pipeline = Speech2FacePipeline(self.module.voice_encoder.eval(), self.face_encoder, self.decoder)
        with whole_folder(folder / "pipeline") as partial:
            pipeline.save_pretrained(partial)


def train_speech2face(arguments: Speech2FaceArguments) -> None:
    """Train a voice encoder and export the pipeline to `output_dir`/pipeline."""
    accelerator = start(arguments)
    task = Speech2FaceTask(DatasetFolder(arguments.data), arguments, accelerator.device)
    train(task, arguments, accelerator)
