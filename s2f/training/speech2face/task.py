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

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.base import FaceEncoder
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from s2f.checkpoints.encoders import load_face_encoder
from s2f.checkpoints.loading import load_network
from s2f.datasets import DatasetFolder, Row, recording_of
from s2f.errors import RecipeError
from s2f.faces.features import face_features
from s2f.faces.images import spread
from s2f.reconstruction.losses import pixel_l1, speech2face_terms
from s2f.runtime.files import whole_folder
from s2f.shards.reading import require_encoder
from s2f.training.loop.arguments import TrainingArguments, build_network, free
from s2f.training.loop.bad_items import add_skipped
from s2f.training.loop.checkpointing import run_sources
from s2f.training.loop.loop import SteadyTask, start, train
from s2f.training.speech2face.pairs import PictureFaces, ShardFaces, TableFaces
from s2f.training.speech2face.targets import face_candidates, neighbour_targets, pair_targets
from s2f.training.speech2face.validation import HeldOut, HeldOutVoices
from s2f.training.voice_augmentation import STRENGTHS, augment_voice
from s2f.training.voices.clips import FaceSide, VoiceClips, balance_groups, trimmed
from s2f.training.voices.side_tasks import SideHeads, SideTargets, side_weights
from s2f.training.voices.speaker_embedding import SAMPLE_RATE_HZ, cached_embeddings

AVERAGED = 4096


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
        face_features: compute the features of all faces before training starts, or each in the step that needs it.
            Shards (`s2f shards`) hold theirs, and neither happens.
        neighbours: how many people who sound most alike, the person included, make a target of `voice_neighbours`;
            needs truth.csv of `s2f simulate`.
        side_tasks: weights of linear side tasks on the voice encoder's hidden units: f0, tract, gender and age_class
            from truth.csv, and embedding, that of a published speaker encoder, which resemblyzer must hold.
        balance: columns of people.csv or truth.csv; training clips are drawn equally often from each of their groups,
            from each person with [identity].
        temperature: of the distillation term.
        mean_bias: start the last layer's bias at the mean target, so that training starts from the mean face.
        cached_clips: decoded recordings kept in memory by each loading process.
    """

    face_encoder: str = free()
    decoder: str = free()
    network: dict[str, Any] = field(default_factory=dict)
    seconds: float = 6.0
    crop: Literal["start", "random"] = "start"
    trim_db: float | None = None
    augment: Literal["none", "light", "strong"] = "none"
    target: Literal["face", "recording_mean", "voice_neighbours"] = "face"
    face_features: Literal["precomputed", "on_the_fly"] = "precomputed"
    neighbours: int = 12
    side_tasks: dict[str, float] = field(default_factory=dict)
    balance: list[str] = field(default_factory=list)
    temperature: float = 2.0
    mean_bias: bool = False
    cached_clips: int = free(default=0)

    def __post_init__(self) -> None:
        """Check names and add the side tasks' weights to `loss_weights`."""
        super().__post_init__()
        self.loss_weights = self.loss_weights | side_weights(self.side_tasks)
        if self.augment not in ("none", *STRENGTHS):
            raise RecipeError(f"augment none, {' or '.join(STRENGTHS)}", repr(self.augment), "choose one")
        if self.neighbours < 1:
            raise RecipeError("neighbours >= 1", str(self.neighbours), "the person itself is the first")
        if self.face_features == "on_the_fly" and (self.target != "face" or self.mean_bias):
            got = f"target {self.target}, mean_bias {self.mean_bias}"
            raise RecipeError("target face without mean_bias for features on the fly", got, "or precompute them")


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
        terms = self.terms(self.voice_encoder.fc2(hidden), self.face_feature(batch))
        return terms | self.side_heads(hidden, batch["side"])

    def face_feature(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) feature to regress, from whatever the items carry: see `s2f.training.speech2face.pairs`."""
        if "target" in batch:
            return self.targets[batch["target"]]
        if "feature" in batch:
            return batch["feature"]
        with torch.no_grad():
            return self.frozen[0].features(batch["face"].float() / 255).float()

    def terms(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Eq. 1's unweighted terms for (B, D) features, and `pixel` where it is weighted; in float32 throughout."""
        face_encoder, decoder = self.frozen
        with torch.autocast(predicted.device.type, enabled=False):
            predicted = predicted.float()
            temperature = self.arguments.temperature
            terms = speech2face_terms(predicted, target, decoder.first_layer, face_encoder.logits, temperature)
            if self.arguments.loss_weights.get("pixel"):
                with torch.no_grad():
                    image = decoder(target).image
                terms["pixel"] = pixel_l1(decoder(predicted).image, image)
        return terms


class Speech2FaceTask(SteadyTask):
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: Speech2FaceArguments, device: torch.device) -> None:
        self.sources = run_sources(data, face_encoder=arguments.face_encoder, decoder=arguments.decoder)
        self.data, self.arguments, self.device = data, arguments, device
        self.face_encoder = load_face_encoder(arguments.face_encoder).to(device).requires_grad_(False)
        self.decoder = load_network(NormalizedFaceDecoder, arguments.decoder).to(device).requires_grad_(False)
        voice_encoder = self._voice_encoder()
        self.module = Speech2FaceModule(voice_encoder, self.face_encoder, self.decoder, arguments)
        self.voices = data.voices("train")
        self.side_targets = SideTargets(data, list(arguments.side_tasks), self.voices)
        faces, self.held_out = self._pairs()
        side = self.side_targets.of(self.voices)
        if "embedding" in arguments.side_tasks:
            side["embedding"] = self._embeddings()
        groups = balance_groups(data, self.voices, arguments.balance)
        rate = voice_encoder.sample_rate_hz
        self.dataset = VoiceClips(data, self.voices, faces, arguments, rate, side, groups)

    def _voice_encoder(self) -> Speech2FaceVoiceEncoder:
        size, seconds = self.face_encoder.embedding_dim, self.arguments.seconds
        if size != self.decoder.embedding_dim:
            fix = "use the decoder that was trained with this face encoder"
            raise RecipeError(f"a decoder for features of size {size}", str(self.decoder.embedding_dim), fix)
        encoder = build_network(Speech2FaceVoiceEncoder, self.arguments.network | {"feature_size": size})
        if seconds < encoder.min_seconds:
            raise RecipeError(f"seconds >= {encoder.min_seconds:.3f}", str(seconds), "use longer training clips")
        return encoder

    def _pairs(self) -> tuple[FaceSide, HeldOut]:
        """Face side of the training pairs, and held-out people; sets the bias where the recipe asks for it."""
        arguments, data = self.arguments, self.data
        if data.sharded:
            return self._shard_pairs()
        faces = data.faces("train")
        held_out = HeldOut.of_folder(self._held_out_voices(), data, self._features)
        if arguments.face_features == "on_the_fly":
            paths, candidates = [data.path(row) for row in faces], face_candidates(self.voices, faces)
            return PictureFaces(paths, candidates, self.face_encoder.prepare), held_out
        known = self._features(faces)
        if arguments.target == "voice_neighbours":
            targets = neighbour_targets(data, self.voices, faces, known, arguments.neighbours)
            held_out.towards_neighbours(data, faces, known, arguments.neighbours)
        else:
            targets = pair_targets(self.voices, faces, known, arguments.target)
        self.module.targets = targets.features
        if arguments.mean_bias:
            self._start_from(targets.features)
        return TableFaces(targets.candidates), held_out

    def _shard_pairs(self) -> tuple[FaceSide, HeldOut]:
        if (self.arguments.target, self.arguments.face_features) != ("face", "precomputed"):
            got = f"target {self.arguments.target}, face_features {self.arguments.face_features}"
            fix = "train on the folder itself"
            raise RecipeError("target face and precomputed face_features with shards", got, fix)
        require_encoder(self.data, self.face_encoder)
        faces = ShardFaces(self.data.root, self.voices, self.face_encoder.embedding_dim)
        if self.arguments.mean_bias:
            self._start_from(faces.features(spread(self.voices, AVERAGED)))
        return faces, HeldOut.of_shards(self._held_out_voices(), faces)

    def _held_out_voices(self) -> HeldOutVoices:
        rate = self.module.voice_encoder.sample_rate_hz
        return HeldOutVoices.read(self.data, rate, self.arguments.skip_bad)

    def _features(self, rows: list[Row]) -> Tensor:
        return face_features(self.face_encoder, [self.data.path(row) for row in rows], self.device)

    def _start_from(self, targets: Tensor) -> None:
        with torch.no_grad():
            self.module.voice_encoder.fc2.bias.copy_(targets.mean(0))

    def _embeddings(self) -> Tensor:
        """Speaker embedding of every training voice; a recording that several people share is embedded once."""
        of_recording = {recording_of(row): row for row in self.voices}
        recordings, rows = list(of_recording), list(of_recording.values())
        trim_db = self.arguments.trim_db
        embeddings = cached_embeddings(
            [self.data.path(row) for row in rows],
            [repr((recording, trim_db)) for recording in recordings],
            lambda number: trimmed(self.data, rows[number], SAMPLE_RATE_HZ, trim_db),
            Path(self.arguments.output_dir).parent,
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

        With `voice_neighbours` the targets are mean faces of training people: `HeldOut.cosines` says what is compared.
        """
        module, held_out = self.module, self.held_out
        add_skipped(Path(self.arguments.output_dir), held_out.voices.skipped)
        hidden = held_out.hidden(module.voice_encoder, self.device)
        voice, target = module.voice_encoder.fc2(hidden), held_out.targets.to(self.device)
        side = {name: values.to(self.device) for name, values in self.side_targets.of(held_out.voices.rows).items()}
        terms = module.terms(voice, target) | module.side_heads(hidden, side)
        own_is_target = self.arguments.target != "voice_neighbours"
        held_out.draw(folder, self.decoder, target, voice)
        cosines = held_out.cosines(voice, None if own_is_target else module.targets.mean(0))
        return {f"val_{name}": value.item() for name, value in terms.items()} | cosines

    def export(self, folder: Path) -> None:
        """Write the whole pipeline to `folder`/pipeline."""
        from s2f.reconstruction.pipeline import Speech2FacePipeline

        pipeline = Speech2FacePipeline(self.module.voice_encoder.eval(), self.face_encoder, self.decoder)
        with whole_folder(folder / "pipeline") as partial:
            pipeline.save_pretrained(partial)


def train_speech2face(arguments: Speech2FaceArguments) -> None:
    """Train a voice encoder and export the pipeline to `output_dir`/pipeline."""
    accelerator = start(arguments)
    task = Speech2FaceTask(DatasetFolder(arguments.data), arguments, accelerator.device)
    train(task, arguments, accelerator)
