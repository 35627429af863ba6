"""Face features of pictures in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image

from encoders.face.base import FaceEncoder
from s2f.errors import ImageError
from s2f.faces.images import to_tensor
from s2f.reconstruction.pipeline import Speech2FacePipeline


def picture_features(pipeline: Speech2FacePipeline, images: Sequence[Image.Image]) -> Float[torch.Tensor, "N D"]:
    """Features (N, D) of N drawn pictures, on the CPU."""
    return image_features(pipeline.face_encoder, images, pipeline.device)


@torch.inference_mode()
def image_features(
    encoder: FaceEncoder, images: Sequence[Image.Image], device: torch.device
) -> Float[torch.Tensor, "N D"]:
    """Features of pictures.

    Args:
        encoder: face encoder in eval mode, already on `device`.
        images: N square face crops, at least one.
        device: where to compute.

    Returns:
        (N, D) on the CPU.

    Raises:
        ImageError: a picture that is not square.
    """
    for image in images:
        if image.width != image.height:
            raise ImageError(
                "a square crop of one face", f"{image.width} x {image.height} px", "crop the face to a square first"
            )
    tensors = [encoder.prepare(to_tensor(image)[None].to(device)) for image in images]
    return torch.cat([encoder.features(tensor) for tensor in tensors]).cpu()
