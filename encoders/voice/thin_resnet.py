"""Thin ResNet-34 with NetVLAD or GhostVLAD pooling.

Paper: Xie et al., "Utterance-level Aggregation for Speaker Recognition in the Wild" (ICASSP 2019), Table 1; the voice
network of the TriNet benchmark, which names NetVLAD (`ghost_clusters=0`), and, by the paper, of Wen et al. (CVPR 2021).
Details are those of the released Keras code:

* "same" padding, which for these layers of stride 1 and odd kernels is symmetric; the strided convolutions are 1 x 1;
* no bias on convolutions that a batch norm follows; the first block of every stage has a projection shortcut;
* 8 clusters and 2 ghosts are those of the released weights; the assignment reads the output of the trunk, not `x_fc`;
* weights start orthogonal; batch norms have Keras's epsilon of 0.001. Their momentum is PyTorch's 0.1, not Keras's
  0.01: it only says how fast the running statistics follow.

Reading: the feature is the output of the last ReLU. The released code divides it by its length when it evaluates; that
is left to whoever compares features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn

from encoders.voice.base import VoiceEncoder
from encoders.voice.front_ends.magnitude import FrameNormalizedSpectrogram
from encoders.voice.sizes import Window, require_spectrogram, size_after, smallest_before
from encoders.voice.vlad import VLAD

PAPER_WIDTHS = ((48, 48, 96), (96, 96, 128), (128, 128, 256), (256, 256, 512))
NORM_EPS = 1e-3


def _conv_norm(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after, eps=NORM_EPS))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, each with batch norm, plus the shortcut; ReLU between and at the end."""

    def __init__(self, before: int, widths: Sequence[int], stride: int, project: bool) -> None:
        """Build the block.

        Args:
            before: input channels.
            widths: output channels of the three convolutions.
            stride: stride of the first convolution and of the projection, on both axes.
            project: put a 1 x 1 convolution with batch norm on the shortcut.
        """
        super().__init__()
        self.residual = nn.Sequential(
            _conv_norm(before, widths[0], stride=stride),
            nn.ReLU(),
            _conv_norm(widths[0], widths[1], kernel=3),
            nn.ReLU(),
            _conv_norm(widths[1], widths[2]),
        )
        self.shortcut = _conv_norm(before, widths[2], stride=stride) if project else nn.Identity()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D I J"]:
        """Apply the block to feature maps (B, C, H, W)."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class ThinResNet34(VoiceEncoder):
    """Voice clip to 512 units; 7,663,370 parameters with 8 clusters and 2 ghosts, 7,656,200 without the ghosts."""

    front_end: FrameNormalizedSpectrogram

    @register_to_config
    def __init__(
        self,
        stem_channels: int = 64,
        widths: Sequence[Sequence[int]] = PAPER_WIDTHS,
        blocks: Sequence[int] = (2, 3, 3, 3),
        clusters: int = 8,
        ghost_clusters: int = 0,
        feature_size: int = 512,
        sample_rate_hz: int = 16000,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
    ) -> None:
        """Build the network.

        Args:
            stem_channels: output channels of the first, 7 x 7 convolution.
            widths: channels of the three convolutions of a block, for each stage. All stages but the first have
                stride 2.
            blocks: number of blocks of each stage.
            clusters: clusters K of the pooling.
            ghost_clusters: ghosts G of the pooling; 0 is NetVLAD, more is GhostVLAD.
            feature_size: size D of the local features and of the feature.
            sample_rate_hz: rate the front end expects.
            window_samples: see `FrameNormalizedSpectrogram`.
            hop_samples: see `FrameNormalizedSpectrogram`.
            fft_size: see `FrameNormalizedSpectrogram`; the height of the last convolutions follows from it (7 at 512).

        Raises:
            ValueError: `widths` and `blocks` differ in length, or `fft_size` is too small for the strides.
        """
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(
                f"expected one number of blocks per stage, got {len(blocks)} for {len(widths)} stages; "
                "give both lists the same length"
            )
        self.front_end = FrameNormalizedSpectrogram(window_samples, hop_samples, fft_size)
        height = size_after(self.front_end.num_frequencies, [*self._windows(), (3, 2, 0)])
        if height < 1:
            least = 2 * (smallest_before([*self._windows(), (3, 2, 0)]) - 1)
            raise ValueError(f"expected an fft_size of at least {least}, got {fft_size}; take the next power of two")
        self.stem = nn.Sequential(_conv_norm(1, stem_channels, kernel=7), nn.ReLU(), nn.MaxPool2d(2))
        before, stages = stem_channels, []
        for stage, (sizes, count) in enumerate(zip(widths, blocks, strict=True)):
            first = Bottleneck(before, sizes, stride=2 if stage else 1, project=True)
            rest = [Bottleneck(sizes[2], sizes, stride=1, project=False) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
            before = sizes[2]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.MaxPool2d((3, 1), stride=(2, 1))
        self.x_fc = nn.Conv2d(before, feature_size, (height, 1))
        self.assignment = nn.Conv2d(before, clusters + ghost_clusters, (height, 1))
        self.vlad = VLAD(clusters, feature_size)
        self.fc6 = nn.Linear(clusters * feature_size, feature_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _windows(self) -> list[Window]:
        """First pooling and strided blocks, the same on both axes; all other layers keep the size."""
        return [(2, 2, 0)] + [(1, 2, 0)] * (len(self.config.widths) - 1)

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.feature_size

    @property
    def min_frames(self) -> int:
        """Smallest number of spectrogram frames that leaves one local feature (2)."""
        return smallest_before(self._windows())

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds (0.016 s at paper size; it was trained on 2.5 s)."""
        return self.front_end.num_samples(self.min_frames) / self.sample_rate_hz

    def features(self, signal: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B D"]:
        """Normalised magnitudes to the units of fc6.

        Args:
            signal: (B, 1, F, T) from `front_end`, T >= `min_frames`.

        Returns:
            (B, D) feature, after ReLU, not normalised to unit length.

        Raises:
            ValueError: wrong rank, channels or frequencies, or too few frames.
        """
        require_spectrogram(signal, self.front_end.num_frequencies, self.min_frames)
        maps = self.pool(self.stages(self.stem(signal)))
        local, scores = torch.relu(self.x_fc(maps))[:, :, 0], self.assignment(maps)[:, :, 0]
        return torch.relu(self.fc6(self.vlad(local, scores)))
