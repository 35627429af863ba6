"""A trained matching system: two encoders, perhaps a third for dynamic images, and the head that scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from encoders.face.base import FaceEncoder
from encoders.voice.base import VoiceEncoder
from s2f.checkpoints import loading
from s2f.checkpoints.encoders import load_face_encoder, load_voice_encoder
from s2f.checkpoints.hashes import write_manifest
from s2f.checkpoints.publish import Publishable
from s2f.errors import CheckpointError, UsageError
from s2f.faces.dynamic_images import Formulation
from s2f.matching.heads import HEADS, Direction, EmbeddingHead, MatchingHead, PairHead
from s2f.runtime.files import replaced_entries, write_text

CLASS_NAME = "MatchingModel"
PARTS = ("voice_encoder", "face_encoder", "head")


class MatchingModel(Publishable, nn.Module):
    """Voice encoder, face encoder and head, in one checkpoint folder.

    Attributes:
        voice_encoder: waveform to feature.
        face_encoder: picture to feature.
        head: features to scores.
        dynamic_encoder: SVHF's third stream, dynamic image to feature, added to the face's; None without.
        voice_seconds: how much of a clip is heard in evaluation: shorter ones are repeated; None hears all of any clip.
        dynamic: formulation and stride of the dynamic images (`s2f.faces.dynamic_images.windows`); None without.
    """

    def __init__(
        self,
        voice_encoder: VoiceEncoder,
        face_encoder: FaceEncoder,
        head: MatchingHead,
        dynamic_encoder: FaceEncoder | None = None,
        voice_seconds: float | None = None,
        dynamic: tuple[Formulation, int] | None = None,
    ) -> None:
        super().__init__()
        self.voice_seconds, self.dynamic = voice_seconds, dynamic
        self.voice_encoder, self.face_encoder, self.head = voice_encoder, face_encoder, head
        self.dynamic_encoder = dynamic_encoder

    def voice_features(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B Dv"]:
        """Waveforms (B, S) in [-1, 1] to features.

        Raises:
            UsageError: the rate is not the encoder's; nothing is resampled here.
            ValueError: too short or out of range, see `VoiceEncoder.encode`.
        """
        expected = self.voice_encoder.sample_rate_hz
        if sample_rate_hz != expected:
            fix = f"load the clip with s2f.audio.load(clip, {expected})"
            raise UsageError(f"a waveform at {expected} Hz", f"{sample_rate_hz} Hz", fix)
        return self.voice_encoder.encode(waveform)

    def face_features(
        self, image: Float[Tensor, "B 3 P P"], dynamic: Float[Tensor, "B K 3 P P"] | None = None
    ) -> Float[Tensor, "B Df"]:
        """Pictures to features.

        Args:
            image: (B, 3, P, P) RGB in [0, 1] at the face encoder's size.
            dynamic: (B, K, 3, P, P) dynamic images in [0, 1], for a model with a dynamic stream.

        Returns:
            (B, Df).

        Raises:
            UsageError: dynamic images are missing, or not wanted.
            ValueError: wrong size or out of range, see `FaceEncoder`.
        """
        if (dynamic is None) != (self.dynamic_encoder is None):
            got = "none" if dynamic is None else "some"
            raise UsageError("dynamic images for a model with a dynamic stream, and only then", got, "see `s2f embed`")
        feature = self.face_encoder.features(image)
        if dynamic is not None and self.dynamic_encoder is not None:
            feature = feature + self.dynamic_encoder.pooled_features(dynamic)
        return feature

    @torch.inference_mode()
    def score(
        self, voice: Float[Tensor, "B S"], faces: Float[Tensor, "B N 3 P P"], sample_rate_hz: int
    ) -> Float[Tensor, "B N"]:
        """Score of each of N faces for each voice; higher is a better match.

        Args:
            voice: (B, S) waveforms.
            faces: (B, N, 3, P, P) RGB in [0, 1] at the face encoder's size.
            sample_rate_hz: of the waveforms; must be the voice encoder's.

        Returns:
            (B, N): negative distances or cosines of an embedding, logarithms of probabilities of a joint scorer.

        Raises:
            UsageError: not N faces for each of the voices, wrong rate, dynamic images needed, or a head trained for
                faces as queries.
            ValueError: wrong size or out of range, see `FaceEncoder` and `VoiceEncoder.encode`.
        """
        if voice.ndim != 2 or faces.ndim != 5 or len(voice) != len(faces):
            got = f"{tuple(voice.shape)} and {tuple(faces.shape)}"
            fix = "add the dimensions that are missing: one face of one voice is (1, 1, 3, P, P)"
            raise UsageError("voices (B, S) and faces (B, N, 3, P, P) of one B", got, fix)
        features = self.face_features(faces.flatten(0, 1)).unflatten(0, faces.shape[:2])
        return self.head.scores(self.voice_features(voice, sample_rate_hz)[:, None], features)

    def heard(self, waveform: Float[np.ndarray, " S"]) -> Float[Tensor, "1 S"]:
        """The part of a recording (S,) that evaluation uses: see `voice_seconds`; too short a clip is repeated."""
        encoder = self.voice_encoder
        shortest = math.ceil(encoder.min_seconds * encoder.sample_rate_hz)
        length = max(len(waveform), shortest)
        if self.voice_seconds is not None:
            length = max(round(self.voice_seconds * encoder.sample_rate_hz), shortest)
        clip = waveform[:length] if len(waveform) >= length else np.resize(waveform, length)
        return torch.from_numpy(np.ascontiguousarray(clip))[None]

    @property
    def row_sizes(self) -> tuple[int, int]:
        """Lengths of the rows that `embed_voice` and `embed_face` make."""
        if isinstance(self.head, EmbeddingHead):
            return self.head.embedding_dim, self.head.embedding_dim
        return self.voice_encoder.embedding_dim, self.face_encoder.embedding_dim

    @property
    def metric(self) -> str:
        """How rows of an embeddings folder of this model are compared: cosine, l2, or joint (by the head itself)."""
        return self.head.metric if isinstance(self.head, EmbeddingHead) else "joint"

    @torch.inference_mode()
    def embed_voice(self, waveform: Float[Tensor, "B S"], sample_rate_hz: int) -> Float[Tensor, "B E"]:
        """Waveforms to rows of an embeddings folder: embeddings, or the features that a joint scorer starts from."""
        feature = self.voice_features(waveform, sample_rate_hz)
        return self.head.embed_voice(feature) if isinstance(self.head, EmbeddingHead) else feature

    @torch.inference_mode()
    def embed_face(
        self, image: Float[Tensor, "B 3 P P"], dynamic: Float[Tensor, "B K 3 P P"] | None = None
    ) -> Float[Tensor, "B E"]:
        """Pictures to rows of an embeddings folder, as `embed_voice`."""
        feature = self.face_features(image, dynamic)
        return self.head.embed_face(feature) if isinstance(self.head, EmbeddingHead) else feature

    def networks(self) -> dict[str, nn.Module]:
        """The networks by sub-folder of a checkpoint."""
        return dict(self.named_children())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write one sub-folder a network, `model_index.json`, and the hashes of all files in `SHA256SUMS`."""
        folder = Path(folder)
        index: dict[str, object] = {
            "_class_name": CLASS_NAME,
            "voice_seconds": self.voice_seconds,
            "dynamic": self.dynamic,
        }
        with replaced_entries(folder) as partial:
            for name, network in self.networks().items():
                network.save_pretrained(partial / name)  # type: ignore[operator]
                index[name] = ["s2f", type(network).__name__]
            write_text(partial / loading.INDEX, json.dumps(index, indent=2) + "\n")
        write_manifest(folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> MatchingModel:
        """Load a checkpoint strictly, from disk only, in evaluation mode.

        Raises:
            CheckpointError: absent, damaged or another kind of checkpoint.
        """
        folder = loading.resolve(folder)
        index = loading.read_json(folder / loading.INDEX)
        if index.get("_class_name") != CLASS_NAME:
            got = f"{index.get('_class_name')} in {folder}"
            raise CheckpointError("a checkpoint of train_matching.py", got, "give its folder `model`")
        parts = {name: loading.contained(folder / name, folder) for name in (*PARTS, "dynamic_encoder")}
        head_class = HEADS.get(str(loading.read_json(parts["head"] / loading.CONFIG).get("_class_name")))
        if head_class is None:
            raise CheckpointError(f"a head of class {', '.join(HEADS)} in {folder / 'head'}", "none", "copy it again")
        third = load_face_encoder(parts["dynamic_encoder"]) if "dynamic_encoder" in index else None
        head = loading.load_network(head_class, parts["head"])
        encoders = load_voice_encoder(parts["voice_encoder"]), load_face_encoder(parts["face_encoder"])
        return cls(*encoders, head, third, index.get("voice_seconds"), index.get("dynamic")).eval()


def directions(model: MatchingModel) -> Sequence[Direction]:
    """The directions a model can answer: both, or that for which its joint scorer was trained."""
    return ("v2f", "f2v") if isinstance(model.head, PairHead) else (model.head.config.direction,)
