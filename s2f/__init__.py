"""s2f: hear a voice, see a face, and measure honestly how far that goes."""

import importlib
from typing import TYPE_CHECKING, Any

from s2f.version import __version__

if TYPE_CHECKING:
    from decoder.normalized import NormalizedFaceDecoder
    from encoders.face.compact import CompactFaceEncoder
    from encoders.face.vgg_face import VGGFace
    from encoders.voice.speech2face import Speech2FaceVoiceEncoder
    from s2f.checkpoints.loading import load_network
    from s2f.reconstruction.pipeline import Speech2FaceOutput, Speech2FacePipeline
    from s2f.reconstruction.unexplained import UnexplainedVariation

_HOMES = {
    "CompactFaceEncoder": "encoders.face.compact",
    "NormalizedFaceDecoder": "decoder.normalized",
    "Speech2FaceOutput": "s2f.reconstruction.pipeline",
    "Speech2FacePipeline": "s2f.reconstruction.pipeline",
    "Speech2FaceVoiceEncoder": "encoders.voice.speech2face",
    "UnexplainedVariation": "s2f.reconstruction.unexplained",
    "VGGFace": "encoders.face.vgg_face",
    "load_network": "s2f.checkpoints.loading",
}

__all__ = [
    "CompactFaceEncoder",
    "NormalizedFaceDecoder",
    "Speech2FaceOutput",
    "Speech2FacePipeline",
    "Speech2FaceVoiceEncoder",
    "UnexplainedVariation",
    "VGGFace",
    "__version__",
    "load_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 's2f' has no attribute {name!r}; it exports {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
