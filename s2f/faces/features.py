"""Face features of image files, computed once by a frozen face encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from encoders.face.base import FaceEncoder
from s2f.faces.images import load_batch

CHUNK = 256


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
