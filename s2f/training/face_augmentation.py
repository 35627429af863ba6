"""Random changes of training faces, on the device."""

from __future__ import annotations

from typing import Any, Literal

from kornia.augmentation import (
    AugmentationSequential,
    ColorJiggle,
    RandomAffine,
    RandomGaussianBlur,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from torch import Tensor, nn

FaceAugmentation = Literal["none", "light", "imagenet", "rotation"]
GREY = 0.5


class GreyRotation(nn.Module):
    """Rotation by up to 15 degrees with probability 0.5 and a flip; what comes into view is grey (127 of 255)."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = AugmentationSequential(
            RandomHorizontalFlip(p=0.5), RandomRotation(15.0, p=0.5), data_keys=["input"]
        )

    def forward(self, image: Tensor) -> Tensor:
        """Turn images (B, 3, P, P) in [0, 1]."""
        return self.steps(image - GREY) + GREY


def face_augmentation(kind: FaceAugmentation, size_px: int) -> nn.Module:
    """What one kind does to images (B, 3, P, P) in [0, 1].

    `light` shifts, scales, colours and blurs a little (ours). `imagenet` crops at random, flips and shifts colours, as
    SVHF does (section 4.1, after Simonyan and Zisserman): here 70 to 100 % of the area, resized to P; the paper prints
    no sizes. `rotation` is Wen et al.'s (section 4.2; flip and grey edges are the published code's).

    Args:
        kind: which.
        size_px: side P of the images.

    Returns:
        A module; `nn.Identity` for none.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "rotation":
        return GreyRotation()
    if kind == "light":
        steps: list[Any] = [
            RandomAffine(degrees=6, translate=(0.06, 0.06), scale=(0.9, 1.12), padding_mode="border", p=1.0),
            ColorJiggle(0.15, 0.15, 0.15, 0.02, p=0.8),
            RandomGaussianBlur((5, 5), (0.3, 1.5), p=0.3),
        ]
    else:
        steps = [
            RandomResizedCrop((size_px, size_px), scale=(0.7, 1.0), ratio=(1.0, 1.0)),
            RandomHorizontalFlip(p=0.5),
            ColorJiggle(0.2, 0.2, 0.2, 0.02, p=0.8),
        ]
    return AugmentationSequential(*steps, data_keys=["input"])
