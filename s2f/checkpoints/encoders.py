"""The encoders that recipes and checkpoints may name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from encoders.face.base import FaceEncoder
from encoders.face.compact import CompactFaceEncoder
from encoders.face.ir_resnet import IRFace
from encoders.face.vgg16 import PooledVGG16
from encoders.face.vgg_face import VGGFace
from encoders.face.vgg_m import VGGMFace
from encoders.voice.base import VoiceEncoder
from encoders.voice.fast_resnet import FastResNetSE34L
from encoders.voice.soundnet import SoundNet
from encoders.voice.speech2face import Speech2FaceVoiceEncoder
from encoders.voice.thin_resnet import ThinResNet34
from encoders.voice.vgg_m import VGGMVoice
from s2f.checkpoints.loading import load_network, read_json
from s2f.errors import CheckpointError

FACE_ENCODERS: dict[str, type[FaceEncoder]] = {
    "compact": CompactFaceEncoder,
    "vgg_face": VGGFace,
    "vgg_m": VGGMFace,
    "vgg16_pooled": PooledVGG16,
    "ir": IRFace,
}
VOICE_ENCODERS: dict[str, type[VoiceEncoder]] = {
    "speech2face": Speech2FaceVoiceEncoder,
    "vgg_m": VGGMVoice,
    "soundnet": SoundNet,
    "thin_resnet": ThinResNet34,
    "fast_resnet": FastResNetSE34L,
}

Encoder = TypeVar("Encoder", FaceEncoder, VoiceEncoder)


def load_face_encoder(folder: str | Path) -> FaceEncoder:
    """Load whichever face encoder a folder holds, strictly, in eval mode.

    Raises:
        CheckpointError: see `load_network`; or the folder holds another kind of network.
    """
    return _load(FACE_ENCODERS, folder, "face")


def load_voice_encoder(folder: str | Path) -> VoiceEncoder:
    """Load whichever voice encoder a folder holds, strictly, in eval mode.

    Raises:
        CheckpointError: see `load_network`; or the folder holds another kind of network.
    """
    return _load(VOICE_ENCODERS, folder, "voice")


def _load(known: Mapping[str, type[Encoder]], folder: str | Path, kind: str) -> Encoder:
    found = read_json(Path(folder) / "config.json").get("_class_name")
    for encoder_class in known.values():
        if encoder_class.__name__ == found:
            return load_network(encoder_class, folder)
    names = ", ".join(encoder_class.__name__ for encoder_class in known.values())
    fix = f"give the folder of a {kind} encoder"
    raise CheckpointError(f"a {kind} encoder ({names}) in {folder}", str(found), fix)
