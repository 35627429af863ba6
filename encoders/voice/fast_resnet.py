"""Fast ResNet-34 with squeeze and excitation and self-attentive pooling.

Source: the voice network in the code released with Wen et al., "Seeking the Shape of Sound" (CVPR 2021), which loads
the "lite" ResNetSE34L of Chung et al., "In Defence of Metric Learning for Speaker Recognition" (Interspeech 2020). The
Wen paper itself describes a thin ResNet-34 (`encoders.voice.thin_resnet`). Details of that code kept here:

* inside a block the order is convolution, ReLU, batch norm, convolution, batch norm, squeeze and excitation, plus the
  shortcut, ReLU; the first convolution of the network has batch norm, then ReLU;
* strides are (frequency, time): 2 x 1 in the first convolution, then 1, 2, 2 and 1 on both axes in the four stages; a
  projection shortcut where the size changes;
* the mean over frequency, then attention over time; the last layer has no activation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn

from encoders.voice.base import VoiceEncoder
from encoders.voice.front_ends.magnitude import INT16_SCALE, LogMelSpectrogram
from encoders.voice.sizes import require_spectrogram

STAGE_STRIDES = (1, 2, 2, 1)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a number in (0, 1) computed from the mean of all channels."""

    def __init__(self, channels: int, reduction: int) -> None:
        """Build the two layers.

        Args:
            channels: number of channels.
            reduction: the layer between has `channels // reduction` units.
        """
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Scale feature maps (B, C, H, W)."""
        gates = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * gates[:, :, None, None]


class SEBlock(nn.Module):
    """Two 3 x 3 convolutions with squeeze and excitation and a shortcut."""

    def __init__(self, before: int, after: int, stride: int, reduction: int) -> None:
        """Build the block.

        Args:
            before: input channels.
            after: output channels.
            stride: stride of the first convolution and of the shortcut, on both axes.
            reduction: see `SqueezeExcitation`.
        """
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(after),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            SqueezeExcitation(after, reduction),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            projection = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D I J"]:
        """Apply the block to feature maps (B, C, H, W)."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class SelfAttentivePooling(nn.Module):
    """Weighted mean over time; the weight of a frame is the softmax of v . tanh(W x + b)."""

    def __init__(self, size: int) -> None:
        """Build the attention.

        Args:
            size: size of one frame.
        """
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.attention = nn.Linear(size, 1, bias=False)
        nn.init.xavier_normal_(self.attention.weight)

    def forward(self, frames: Float[Tensor, "B T C"]) -> Float[Tensor, "B C"]:
        """Pool frames (B, T, C) to (B, C)."""
        weights = self.attention(torch.tanh(self.hidden(frames))).softmax(dim=1)
        return (weights * frames).sum(dim=1)


class FastResNetSE34L(VoiceEncoder):
    """Voice clip to 512 units; 1,437,078 parameters with the default arguments."""

    front_end: LogMelSpectrogram

    @register_to_config
    def __init__(
        self,
        filters: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (3, 4, 6, 3),
        se_reduction: int = 8,
        feature_size: int = 512,
        sample_rate_hz: int = 16000,
        mel_bands: int = 40,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        waveform_scale: float = INT16_SCALE,
    ) -> None:
        """Build the network.

        Args:
            filters: channels of the four stages; the first convolution has as many as the first stage.
            blocks: number of blocks of each stage.
            se_reduction: see `SqueezeExcitation`; at most the smallest of `filters`.
            feature_size: size D of the feature.
            sample_rate_hz: rate the front end expects.
            mel_bands: see `LogMelSpectrogram`.
            window_samples: see `LogMelSpectrogram`.
            hop_samples: see `LogMelSpectrogram`.
            fft_size: see `LogMelSpectrogram`.
            waveform_scale: see `LogMelSpectrogram`.

        Raises:
            ValueError: not four `filters` and `blocks`, or fewer filters than `se_reduction`.
        """
        super().__init__()
        if (len(filters), len(blocks)) != (len(STAGE_STRIDES),) * 2 or min(filters) < se_reduction:
            raise ValueError(
                f"expected four filters of at least se_reduction = {se_reduction} and four blocks, got {filters} and "
                f"{blocks}; give one number per stage, or a smaller se_reduction"
            )
        self.front_end = LogMelSpectrogram(
            sample_rate_hz, mel_bands, window_samples, hop_samples, fft_size, waveform_scale
        )
        self.stem = nn.Sequential(
            nn.Conv2d(1, filters[0], 7, stride=(2, 1), padding=3, bias=False), nn.BatchNorm2d(filters[0]), nn.ReLU()
        )
        stages = []
        for before, after, count, stride in zip([filters[0], *filters], filters, blocks, STAGE_STRIDES, strict=False):
            first = SEBlock(before, after, stride, se_reduction)
            rest = [SEBlock(after, after, 1, se_reduction) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
        self.stages = nn.Sequential(*stages)
        self.pool = SelfAttentivePooling(filters[-1])
        self.fc = nn.Linear(filters[-1], feature_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.feature_size

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds (0.016 s at paper size; it was trained on 2.5 to 5 s)."""
        return self.front_end.num_samples(1) / self.sample_rate_hz

    def features(self, signal: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B D"]:
        """Normalised log mel energies to the units of the last layer.

        Args:
            signal: (B, 1, F, T) from `front_end`.

        Returns:
            (B, D) feature, no final activation, not normalised to unit length.

        Raises:
            ValueError: wrong rank, channels or bands, or no frames.
        """
        require_spectrogram(signal, self.front_end.num_frequencies, 1)
        maps = self.stages(self.stem(signal)).mean(dim=2)
        return self.fc(self.pool(maps.transpose(1, 2)))
