"""A compact face encoder with VGG-Face's interface: the starter's face feature, small enough to train on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.face.base import FaceEncoder


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a projected shortcut; (B, C, H, W) to (B, C', H/s, W/s)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return torch.relu(self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))) + self.shortcut(x))


class CompactFaceEncoder(FaceEncoder):
    """Residual network on small images; the feature has norm sqrt(D), logits are scaled cosines.

    Unlike VGG-Face's fc7 the feature is signed and of fixed length; `logits` normalises its input, so a feature
    predicted from a voice may have any length.
    """

    CLASSIFIER = "identities"

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 96, 160),
        feature_size: int = 256,
        num_identities: int = 1000,
        image_size_px: int = 64,
        image_range: float = 1.0,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.25, 0.25, 0.25),
        logit_scale: float = 24.0,
    ) -> None:
        """Build the network.

        Args:
            channels: widths of the residual blocks; every block but the first halves the image.
            feature_size: size D of the feature.
            num_identities: number N of identity logits.
            image_size_px: input side, a multiple of 2 ** (len(channels) + 1).
            image_range: factor that takes images in [0, 1] to the range of mean and std.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.
            logit_scale: factor on the cosines.

        Raises:
            ValueError: `image_size_px` does not divide.
        """
        super().__init__()
        reduction = 2 ** (len(channels) + 1)
        if image_size_px % reduction:
            raise ValueError(
                f"expected image_size_px to be a multiple of {reduction} for {len(channels)} blocks, "
                f"got {image_size_px}; change one of the two"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 5, 2, 2, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        widths = [channels[0], *channels]
        self.blocks = nn.Sequential(
            *(ResidualBlock(widths[i], widths[i + 1], 1 if i == 0 else 2) for i in range(len(channels)))
        )
        self.pool = nn.AvgPool2d(2)
        self.projection = nn.Linear(channels[-1] * (image_size_px // reduction) ** 2, feature_size)
        self.identities = nn.Parameter(torch.randn(num_identities, feature_size) / math.sqrt(feature_size))

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.feature_size

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image to feature.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, D) feature of norm sqrt(D).

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        x = self.pool(self.blocks(self.stem(self._normalize(image))))
        return F.normalize(self.projection(x.flatten(1)), dim=-1) * math.sqrt(self.embedding_dim)

    def logits(self, feature: Float[Tensor, "B D"]) -> Float[Tensor, "B N"]:
        """Scaled cosine between a feature and every identity.

        Args:
            feature: (B, D), of any length.

        Returns:
            (B, N) logits in [-logit_scale, logit_scale].
        """
        cosine = F.linear(F.normalize(feature, dim=-1), F.normalize(self.identities, dim=-1))
        return self.config.logit_scale * cosine
