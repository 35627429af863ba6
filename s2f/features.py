"""Face features of image files, computed once by a frozen face encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from encoders.face.base import FaceEncoder
from encoders.face.compact import CompactFaceEncoder
from encoders.face.vgg_face import VGGFace
from s2f.checkpoints import load_network, read_json
from s2f.errors import CheckpointError
from s2f.images import load_batch

CHUNK = 256
FACE_ENCODERS: dict[str, type[FaceEncoder]] = {"compact": CompactFaceEncoder, "vgg_face": VGGFace}


def load_face_encoder(folder: str | Path) -> FaceEncoder:
    """Load whichever face encoder a folder holds, strictly, in eval mode.

    Raises:
        CheckpointError: see `load_network`; or the folder holds another kind of network.
    """
    found = read_json(Path(folder) / "config.json").get("_class_name")
    for encoder_class in FACE_ENCODERS.values():
        if encoder_class.__name__ == found:
            return load_network(encoder_class, folder)
    names = ", ".join(encoder_class.__name__ for encoder_class in FACE_ENCODERS.values())
    raise CheckpointError(f"a face encoder ({names}) in {folder}", str(found), "give the folder of a face encoder")


@torch.inference_mode()
def face_features(encoder: FaceEncoder, paths: Sequence[Path], device: torch.device) -> Float[Tensor, "N D"]:
    """Features of N image files.

    Args:
        encoder: face encoder in eval mode, already on `device`.
        paths: N files, square face crops.
        device: where to compute.

    Returns:
        (N, D) on the CPU, float32.
    """
    chunks = []
    for first in range(0, len(paths), CHUNK):
        images = load_batch(paths[first : first + CHUNK], encoder.prepare, f"faces {first}+")
        for part in images.split(32):
            chunks.append(encoder.features(part.to(device).float() / 255).float().cpu())
    return torch.cat(chunks).clone()


def direction_means(features: Float[Tensor, "N D"], groups: Sequence[Sequence[int]]) -> Float[Tensor, "M D"]:
    """Mean direction of each group of features, at the mean length of its members.

    Averaging views removes pose and light, averaging people what they do not share; unit vectors are averaged so that
    no member dominates.

    Args:
        features: (N, D).
        groups: M lists of row numbers, none empty.

    Returns:
        (M, D).
    """
    means = []
    for rows in groups:
        members = features[list(rows)]
        direction = F.normalize(F.normalize(members, dim=-1).mean(0), dim=0)
        means.append(direction * members.norm(dim=-1).mean())
    return torch.stack(means)
