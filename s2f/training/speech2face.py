"""Training the voice encoder: Speech2Face (Oh et al., CVPR 2019, section 4).

Face encoder and decoder are frozen; the voice encoder regresses the face feature of the speaker with Eq. 1.
Deviations that a recipe may turn on: random instead of leading clips, silence trimmed, augmentation, targets averaged
over views and people, side tasks, balanced draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.base import FaceEncoder
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f.audio import load
from s2f.augment import STRENGTHS, augment_voice
from s2f.checkpoints import load_network
from s2f.datasets import DatasetFolder, Row
from s2f.errors import RecipeError
from s2f.features import face_features, load_face_encoder
from s2f.files import whole_folder
from s2f.images import grid, load_image, resize
from s2f.losses import speech2face_terms
from s2f.training.arguments import TrainingArguments, build_network
from s2f.training.loop import start, train
from s2f.training.speaker_embedding import SAMPLE_RATE_HZ, cached_embeddings
from s2f.training.voice_clips import VoiceClips, balance_groups, trimmed
from s2f.training.voice_side_tasks import SideHeads, SideTargets, side_weights
from s2f.training.voice_targets import Targets, neighbour_targets, pair_targets, recording_of

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
        augment: light varies noise, level and bandwidth a little; strong also room, equaliser and telephone, and more.
        target: feature of one face (of the same video where that is known); the mean over the faces of everybody with
            this recording; or the mean over the people of `neighbours`.
        neighbours: how many people who sound most alike, the person included, make a target of `voice_neighbours`;
            needs truth.csv of `s2f simulate`.
        side_tasks: weights of linear side tasks on the voice encoder's hidden units: f0, tract, gender and age_class
            from truth.csv, and embedding, that of a published speaker encoder, which resemblyzer must hold.
        balance: columns of people.csv or truth.csv; training clips are drawn equally often from each of their groups.
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
    augment: Literal["none", "light", "strong"] = "none"
    target: Literal["face", "recording_mean", "voice_neighbours"] = "face"
    neighbours: int = 12
    side_tasks: dict[str, float] = field(default_factory=dict)
    balance: list[str] = field(default_factory=list)
    temperature: float = 2.0
    mean_bias: bool = False
    cached_clips: int = 0

    def __post_init__(self) -> None:
        """Check names and add the side tasks' weights to `loss_weights`."""
        self.loss_weights = self.loss_weights | side_weights(self.side_tasks)
        if self.augment not in ("none", *STRENGTHS):
            raise RecipeError(f"augment none, {' or '.join(STRENGTHS)}", repr(self.augment), "choose one")
        if self.neighbours < 1:
            raise RecipeError("neighbours >= 1", str(self.neighbours), "the person itself is the first")


class Speech2FaceModule(nn.Module):
    """Voice encoder with Eq. 1's terms, and the heads of side tasks."""

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
        self.side_heads = SideHeads(voice_encoder.fc1.out_features, list(arguments.side_tasks))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Terms `decoder`, `normalized` and `distillation` of a batch, and `side_<task>`."""
        waveform = batch["waveform"]
        if self.arguments.augment != "none":
            waveform = augment_voice(waveform, self.voice_encoder.sample_rate_hz, STRENGTHS[self.arguments.augment])
        hidden = self.voice_encoder.hidden(self.voice_encoder.front_end(waveform))
        terms = self.terms(self.voice_encoder.fc2(hidden), self.targets[batch["target"]])
        return terms | self.side_heads(hidden, batch["side"])

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
        self.voices, self.held_out = data.voices("train"), data.voices("val")
        self.held_out_faces = {row["identity"]: row for row in reversed(data.faces("val"))}
        self.side_targets = SideTargets(data, list(arguments.side_tasks), self.voices)
        targets = self._read_targets(arguments, device)
        self.module.targets = targets.features
        side = self.side_targets.of(self.voices)
        if "embedding" in arguments.side_tasks:
            side["embedding"] = self._embeddings(arguments)
        groups = balance_groups(data, self.voices, arguments.balance)
        rate = voice_encoder.sample_rate_hz
        self.dataset = VoiceClips(data, self.voices, targets.candidates, arguments, rate, side, groups)
        if arguments.mean_bias:
            with torch.no_grad():
                voice_encoder.fc2.bias.copy_(targets.features.mean(0))

    def _read_targets(self, arguments: Speech2FaceArguments, device: torch.device) -> Targets:
        """Targets of the training voices, which are returned, and what held-out voices are compared with."""

        def features(rows: list[Row]) -> Tensor:
            return face_features(self.face_encoder, [self.data.path(row) for row in rows], device)

        faces, held_out_faces = self.data.faces("train"), self.data.faces("val")
        known, held_out = features(faces), features(held_out_faces)
        own = pair_targets(self.held_out, held_out_faces, held_out, "recording_mean")
        self.held_out_own = own.features[[rows[0] for rows in own.candidates]]
        if arguments.target != "voice_neighbours":
            self.held_out_targets = self.held_out_own
            return pair_targets(self.voices, faces, known, arguments.target)
        similar = neighbour_targets(self.data, self.held_out, faces, known, arguments.neighbours)
        self.held_out_targets = similar.features[[rows[0] for rows in similar.candidates]]
        return neighbour_targets(self.data, self.voices, faces, known, arguments.neighbours)

    def _embeddings(self, arguments: Speech2FaceArguments) -> Tensor:
        """Speaker embedding of every training voice; a recording that several people share is embedded once."""
        recordings = list(dict.fromkeys(recording_of(row) for row in self.voices))
        embeddings = cached_embeddings(
            [self.data.root / path for path, _, _ in recordings],
            [repr((recording, arguments.trim_db)) for recording in recordings],
            lambda number: trimmed(self.data, recordings[number], SAMPLE_RATE_HZ, arguments.trim_db),
            Path(arguments.output_dir).parent,
        )
        position = {recording: number for number, recording in enumerate(recordings)}
        return torch.from_numpy(embeddings[[position[recording_of(row)] for row in self.voices]])

    def to(self, device: torch.device) -> None:
        """Move the frozen networks and the targets."""
        self.device = device
        self.face_encoder.to(device)
        self.decoder.to(device)
        self.module.targets = self.module.targets.to(device)

    def validate(self, folder: Path) -> dict[str, float]:
        """Terms, cosines and pictures (true, decoded from the target, from the voice) of held-out people.

        `val_cosine` is to the target. With `voice_neighbours` that is the mean over training people who sound like
        the held-out one, and three figures frame it: `val_cosine_mean`, what the mean training target would get;
        `val_cosine_own`, the cosine to the person's own mean face; `val_cosine_own_target`, what a voice encoder that
        hit every target would get there.
        """
        chosen = list(range(0, len(self.held_out), max(1, len(self.held_out) // VALIDATED)))[:VALIDATED]
        rows = [self.held_out[index] for index in chosen]
        hidden = torch.cat([self._hidden(row) for row in rows])
        voice = self.module.voice_encoder.fc2(hidden)
        target, own = self.held_out_targets[chosen].to(self.device), self.held_out_own[chosen].to(self.device)
        side = {name: values.to(self.device) for name, values in self.side_targets.of(rows).items()}
        terms = self.module.terms(voice, target) | self.module.side_heads(hidden, side)
        compared = {"": (voice, target)}
        if self.module.arguments.target == "voice_neighbours":
            mean = self.module.targets.mean(0, keepdim=True)
            compared |= {"_mean": (mean, target), "_own": (voice, own), "_own_target": (target, own)}
        figures = {f"val_{name}": value.item() for name, value in terms.items()}
        for name, pair in compared.items():
            figures[f"val_cosine{name}"] = F.cosine_similarity(*pair).mean().item()
        self._draw(folder, rows, target, voice)
        return figures

    def _hidden(self, row: Row) -> Tensor:
        encoder, rate = self.module.voice_encoder, self.module.voice_encoder.sample_rate_hz
        clip = load((self.data.voice(row, rate), rate), rate, VALIDATED_SECONDS)
        return encoder.hidden(encoder.front_end(torch.from_numpy(clip.waveform)[None].to(self.device)))

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
