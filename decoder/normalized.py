"""The normalised-face decoder: face feature to a canonical face.

Paper: Cole et al., "Synthesizing Normalized Faces from Facial Identity Features" (CVPR 2017); used by Speech2Face
(section 4) with VGG-Face's fc7 as input and a first layer of 1,000 units. Structure: one shared layer, a small MLP for
the landmarks, transposed convolutions for the texture in the mean landmark frame, and a spline warp of the texture to
the landmarks. Deviations and choices:

* the first layer's output, which Speech2Face's loss compares, is taken before its ReLU (the paper does not say);
* sizes of the landmark MLP ("shallow") are ours, and it predicts offsets from mean landmarks;
* texture values are unbounded in training; the image is clamped to [0, 1] after the warp;
* optional, off at paper size: a learnable mean picture and a fixed linear basis (both in the mean landmark frame) to
  which the transposed convolutions add a residual, batch norm in those (without it the starter's residual died, every
  ReLU at 0), and normalisation of the input feature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from decoder.warp import warp_image


@dataclass
class NormalizedFaceOutput(BaseOutput):
    """Result of the decoder.

    Attributes:
        image: (B, 3, P, P) RGB in [0, 1], the texture warped to the landmarks.
        texture: (B, 3, P, P) RGB in the mean landmark frame, not clamped.
        landmarks: (B, L, 2) pixels, x then y.
    """

    image: Tensor
    texture: Tensor
    landmarks: Tensor


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class NormalizedFaceDecoder(ModelMixin, ConfigMixin):
    """Cole et al.'s decoder; with the default arguments the Speech2Face variant at 224 x 224."""

    @register_to_config
    def __init__(
        self,
        feature_size: int = 4096,
        hidden_size: int = 1000,
        landmark_sizes: Sequence[int] = (800, 400),
        num_landmarks: int = 68,
        base_channels: int = 256,
        texture_channels: Sequence[int] = (128, 64, 32, 32),
        image_size_px: int = 224,
        warp_grid: int = 56,
        texture_batch_norm: bool = False,
        learn_mean: bool = False,
        basis_size: int = 0,
        basis_size_px: int = 112,
        normalize_feature: bool = False,
    ) -> None:
        """Build the network.

        Args:
            feature_size: size D of the face feature.
            hidden_size: units of the shared first layer.
            landmark_sizes: hidden units of the landmark MLP.
            num_landmarks: number L of landmarks.
            base_channels: channels of the first feature map.
            texture_channels: channels after each transposed convolution; each doubles the side.
            image_size_px: side P of the image, a multiple of 2 ** len(texture_channels).
            warp_grid: side of the grid on which the spline is evaluated.
            texture_batch_norm: batch norm between each transposed convolution and its ReLU.
            learn_mean: add a learnable mean picture to the texture.
            basis_size: number of fixed basis pictures (0: none).
            basis_size_px: side of the basis pictures; they are upsampled to P.
            normalize_feature: scale every input feature to norm sqrt(D) first.

        Raises:
            ValueError: `image_size_px` does not divide.
        """
        super().__init__()
        factor = 2 ** len(texture_channels)
        if image_size_px % factor:
            raise ValueError(
                f"expected image_size_px to be a multiple of {factor} for {len(texture_channels)} transposed "
                f"convolutions, got {image_size_px}; change one of the two"
            )
        self.first = nn.Linear(feature_size, hidden_size)
        self.landmark_mlp = _mlp([hidden_size, *landmark_sizes, 2 * num_landmarks])
        self.register_buffer("mean_landmarks", torch.full((num_landmarks, 2), (image_size_px - 1) / 2))
        self.base_size_px = image_size_px // factor
        self.base = nn.Linear(hidden_size, base_channels * self.base_size_px**2)
        widths = [base_channels, *texture_channels]
        self.deconvolutions = nn.ModuleList(
            nn.ConvTranspose2d(widths[i], widths[i + 1], 5, 2, 2, output_padding=1)
            for i in range(len(texture_channels))
        )
        self.texture_norms = nn.ModuleList(
            nn.BatchNorm2d(width) if texture_batch_norm else nn.Identity() for width in texture_channels
        )
        self.to_rgb = nn.Conv2d(widths[-1], 3, 1)
        if learn_mean:
            self.mean_picture = nn.Parameter(torch.full((3, image_size_px, image_size_px), 0.5))
        if basis_size:
            self.coefficients = nn.Linear(hidden_size, basis_size)
            self.register_buffer("basis", torch.zeros(basis_size, 3, basis_size_px, basis_size_px))

    @property
    def embedding_dim(self) -> int:
        """Size D of the face feature it takes."""
        return self.config.feature_size

    @property
    def image_size_px(self) -> int:
        """Side P of the image."""
        return self.config.image_size_px

    def first_layer(self, feature: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """The shared first layer before its ReLU: f_dec of Speech2Face, Eq. 1.

        Args:
            feature: (B, D) face feature, used as it is (never normalised here).

        Returns:
            (B, hidden_size).

        Raises:
            ValueError: not (B, D).
        """
        if feature.ndim != 2 or feature.shape[1] != self.embedding_dim:
            raise ValueError(
                f"expected face features (B, {self.embedding_dim}), got {tuple(feature.shape)}; "
                "use the face encoder this decoder was trained with"
            )
        return self.first(feature)

    def forward(self, feature: Float[Tensor, "B D"]) -> NormalizedFaceOutput:
        """Decode features to canonical faces.

        Args:
            feature: (B, D) face feature, of an encoder, which has refused bad input; its values are not looked at here.

        Returns:
            `NormalizedFaceOutput` with image, texture and landmarks.

        Raises:
            ValueError: not (B, D).
        """
        texture, landmarks = self.decode(feature)
        mean = self.mean_landmarks.expand_as(landmarks)
        image = warp_image(texture.float(), mean.float(), landmarks.float(), self.config.warp_grid)
        return NormalizedFaceOutput(image=image.clamp(0, 1), texture=texture, landmarks=landmarks)

    def decode(self, feature: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B 3 P P"], Float[Tensor, "B L 2"]]:
        """Texture and landmarks without the warp: all that a texture loss needs.

        Args:
            feature: (B, D) face feature.

        Returns:
            `texture` and `landmarks` of `NormalizedFaceOutput`.

        Raises:
            ValueError: not (B, D).
        """
        if self.config.normalize_feature:
            feature = F.normalize(feature, dim=-1) * math.sqrt(self.embedding_dim)
        hidden = torch.relu(self.first_layer(feature))
        offsets = self.landmark_mlp(hidden).reshape(-1, self.config.num_landmarks, 2)
        return self._texture(hidden), self.mean_landmarks + offsets

    def _texture(self, hidden: Float[Tensor, "B H"]) -> Float[Tensor, "B 3 P P"]:
        x = self.base(hidden).unflatten(1, (-1, self.base_size_px, self.base_size_px))
        for layer, norm in zip(self.deconvolutions, self.texture_norms, strict=True):
            x = torch.relu(norm(layer(x)))
        texture = self.to_rgb(x)
        if self.config.learn_mean:
            texture = texture + self.mean_picture
        if self.config.basis_size:
            picture = torch.einsum("bk,kchw->bchw", self.coefficients(hidden), self.basis)
            size = (self.image_size_px, self.image_size_px)
            texture = texture + F.interpolate(picture, size, mode="bilinear", align_corners=False)
        return texture

    @torch.no_grad()
    def set_statistics(
        self,
        mean_landmarks: Float[Tensor, "L 2"],
        mean_picture: Float[Tensor, "3 P P"] | None = None,
        basis: Float[Tensor, "K 3 p p"] | None = None,
    ) -> None:
        """Set the mean landmarks and, where the configuration has them, the mean picture and the basis.

        The residual's last layer is shrunk when a mean picture is set, so that training starts from the mean face.

        Args:
            mean_landmarks: (L, 2) in pixels.
            mean_picture: (3, P, P) RGB in [0, 1].
            basis: (K, 3, p, p), each picture scaled by its standard deviation.
        """
        self.mean_landmarks.copy_(mean_landmarks)
        if mean_picture is not None:
            self.mean_picture.copy_(mean_picture)
            for parameter in self.to_rgb.parameters():
                parameter.mul_(0.05)
        if basis is not None:
            self.basis.copy_(basis)
