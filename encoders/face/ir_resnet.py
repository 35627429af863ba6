"""IR-50 and IR-SE-50, InsightFace's 112-pixel networks: face backbones of TriNet and of Seeking the Shape of Sound.

Papers: Deng et al., "ArcFace" (arXiv 1801.07698), which calls the net LResNet50E-IR; Hu et al.,
"Squeeze-and-Excitation Networks" (CVPR 2018). TriNet (ICLR 2021 submission, section 4.2) names LResNet50; Wen et al.,
"Seeking the Shape of Sound" (CVPR 2021), section 4 prints SE-ResNet-50, while their code runs IR-50 without squeeze and
excitation.

Tensor names (`input_layer`, `body.0` ..., `output_layer`) are those of the two published PyTorch files:

* `model_ir_se50` (InsightFace_Pytorch): `squeeze_excitation=True, unit_norm=True`; RGB.
* `backbone_ir50_ms1m_epoch120` (face.evoLVe): `squeeze_excitation=False, unit_norm=False`. face.evoLVe's own code feeds
  it RGB, that of Wen et al. BGR; `s2f weights import ir50` asks which, and turns the first convolution for BGR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.face.base import FaceEncoder


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from all channel means; (B, C, H, W) to the same."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(width // reduction, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled maps."""
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class Unit(nn.Module):
    """Improved residual unit: norm, convolution, PReLU, strided convolution, norm, plus a shortcut without activation.

    (B, C, H, W) to (B, C', H/s, W/s). Where C = C' the shortcut takes every s-th pixel, else it is a 1 x 1
    convolution with batch norm.
    """

    def __init__(self, width_in: int, width: int, stride: int, excitation: nn.Module | None) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if width_in == width
            else nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, 1, 1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            *([] if excitation is None else [excitation]),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's output."""
        return self.res_layer(x) + self.shortcut_layer(x)


class IRFace(FaceEncoder):
    """IR-50 with the default arguments: 43,574,976 parameters, with squeeze and excitation 43,797,696.

    At 112 px the stages end at 56, 28, 14 and 7 px. The feature is a linear layer over all of the last maps, then
    batch norm; it is signed.
    """

    @register_to_config
    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        squeeze_excitation: bool = False,
        reduction: int = 16,
        feature_size: int = 512,
        dropout: float = 0.6,
        unit_norm: bool = False,
        num_identities: int = 0,
        image_size_px: int = 112,
        image_range: float = 255.0,
        image_mean: Sequence[float] = (127.5, 127.5, 127.5),
        image_std: Sequence[float] = (127.5, 127.5, 127.5),
    ) -> None:
        """Build the network.

        Args:
            units: residual units of each stage; the first of a stage halves the maps.
            widths: channels of each stage; the input convolution has those of the first.
            squeeze_excitation: gate the channels at the end of every unit.
            reduction: how many times fewer channels the gates are computed from.
            feature_size: size D of the feature.
            dropout: probability before the linear layer, in training only.
            unit_norm: divide the feature by its length, as IR-SE-50's file does.
            num_identities: units N of `classifier`, linear on the feature; 0 leaves it out.
            image_size_px: input side, a multiple of 2 ** (number of stages).
            image_range: factor that takes images in [0, 1] to the range of mean and std.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.

        Raises:
            ValueError: `image_size_px` does not divide, or a stage is narrower than `reduction`.
        """
        super().__init__()
        halvings = 2 ** len(units)
        if image_size_px % halvings:
            raise ValueError(
                f"expected image_size_px to be a multiple of {halvings} for {len(units)} stages, got {image_size_px}; "
                "use 112"
            )
        if squeeze_excitation and min(widths) < reduction:
            raise ValueError(f"expected widths of at least the reduction {reduction}, got {min(widths)}; lower it")
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        body = []
        width_in = widths[0]
        for count, width in zip(units, widths, strict=True):
            for position in range(count):
                excitation = SqueezeExcitation(width, reduction) if squeeze_excitation else None
                body.append(Unit(width_in, width, 1 if position else 2, excitation))
                width_in = width
        self.body = nn.Sequential(*body)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(width_in * (image_size_px // halvings) ** 2, feature_size),
            nn.BatchNorm1d(feature_size),
        )
        if num_identities:
            self.classifier = nn.Linear(feature_size, num_identities)

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.feature_size

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image to feature.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, D) feature, signed; of length 1 with `unit_norm`.

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        x = self.output_layer(self.body(self.input_layer(self._normalize(image))))
        return F.normalize(x, dim=-1) if self.config.unit_norm else x
