"""The VGG-M voice stream of SVHF-Net, a VGGVox.

Paper: Nagrani et al., "Seeing Voices and Hearing Faces" (CVPR 2018), section 3.2 and the voice column of Fig. 8.
Readings of what the paper leaves open:

* the printed sizes (512 x 300, 254 x 148, 126 x 73, 62 x 36, 30 x 17, 9 x 8, 1 x 8) come out only with padding 1 on
  every convolution, 3 x 3 pooling of stride 2 (the figure prints the stride), and a last pooling of kernel 5 x 3 and
  stride 3 x 2; sizes are rounded down;
* "SGD with batch normalisation" (section 4.1) is batch norm after every convolution and fully connected layer, then
  ReLU, then pooling, as in the released VGGVox; so the feature, the output of fc7, is after batch norm and ReLU;
* apool6 averages all columns that are left, as the paper does for clips that are not 3 s long; the released test code
  first cuts a clip to a multiple of 100 frames, at most 1000;
* the third convolution has 256 channels, as Fig. 8 prints; the released VGGVox weights have 384 there (`channels`);
* batch-norm momentum and epsilon are not printed: PyTorch's defaults are used. There is no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn

from encoders.voice.base import VoiceEncoder
from encoders.voice.front_ends.magnitude import INT16_SCALE, MirroredSpectrogram
from encoders.voice.sizes import Window, require_spectrogram, size_after, smallest_before


class Stage(NamedTuple):
    """One convolution (square kernel, padding 1) and the max-pooling after it, both (frequency, time), if any."""

    kernel: int
    stride: int
    pool_kernel: tuple[int, int] | None = None
    pool_stride: tuple[int, int] = (1, 1)


STAGES = (
    Stage(7, 2, (3, 3), (2, 2)),
    Stage(5, 2, (3, 3), (2, 2)),
    Stage(3, 1),
    Stage(3, 1),
    Stage(3, 1, (5, 3), (3, 2)),
)


def _windows(axis: int) -> list[Window]:
    windows = []
    for stage in STAGES:
        windows.append((stage.kernel, stage.stride, 1))
        if stage.pool_kernel is not None:
            windows.append((stage.pool_kernel[axis], stage.pool_stride[axis], 0))
    return windows


def _normalized(layer: nn.Module, channels: int) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(channels), nn.ReLU()]


class VGGMVoice(VoiceEncoder):
    """Voice clip to the 1024 units of fc7; the paper's stream with the default arguments (16,038,784 parameters)."""

    front_end: MirroredSpectrogram

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (96, 256, 256, 256, 256),
        fc_sizes: Sequence[int] = (4096, 1024),
        sample_rate_hz: int = 16000,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        waveform_scale: float = INT16_SCALE,
        dc_pole: float = 0.99,
        pre_emphasis: float = 0.97,
    ) -> None:
        """Build the network.

        Args:
            channels: output channels of the five convolutions; (96, 256, 384, 256, 256) is VGGVox.
            fc_sizes: units of fc6 and of fc7, the latter being the size D of the feature.
            sample_rate_hz: rate the front end expects.
            window_samples: see `MirroredSpectrogram`.
            hop_samples: see `MirroredSpectrogram`.
            fft_size: see `MirroredSpectrogram`; the height of fc6 follows from it (9 at 512).
            waveform_scale: see `MirroredSpectrogram`.
            dc_pole: see `MirroredSpectrogram`.
            pre_emphasis: see `MirroredSpectrogram`.

        Raises:
            ValueError: not five `channels` and two `fc_sizes`, or an `fft_size` too small for the poolings.
        """
        super().__init__()
        if (len(channels), len(fc_sizes)) != (len(STAGES), 2):
            raise ValueError(
                f"expected {len(STAGES)} channels and 2 fc_sizes, got {len(channels)} and {len(fc_sizes)}; "
                "give one number per layer"
            )
        height = size_after(fft_size, _windows(0))
        if height < 1:
            least = smallest_before(_windows(0))
            raise ValueError(f"expected an fft_size of at least {least}, got {fft_size}; take the next power of two")
        self.front_end = MirroredSpectrogram(
            window_samples, hop_samples, fft_size, waveform_scale, dc_pole, pre_emphasis
        )
        layers: list[nn.Module] = []
        for before, width, stage in zip([1, *channels], channels, STAGES, strict=False):
            layers += _normalized(nn.Conv2d(before, width, stage.kernel, stage.stride, padding=1), width)
            if stage.pool_kernel is not None:
                layers.append(nn.MaxPool2d(stage.pool_kernel, stage.pool_stride))
        self.trunk = nn.Sequential(*layers)
        self.fc6 = nn.Sequential(*_normalized(nn.Conv2d(channels[-1], fc_sizes[0], (height, 1)), fc_sizes[0]))
        self.fc7 = nn.Sequential(*_normalized(nn.Conv2d(fc_sizes[0], fc_sizes[1], 1), fc_sizes[1]))

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.fc_sizes[1]

    @property
    def min_frames(self) -> int:
        """Smallest number of spectrogram frames that leaves one column for fc6 (65)."""
        return smallest_before(_windows(1))

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds (0.65 s at paper size)."""
        return self.front_end.num_samples(self.min_frames) / self.sample_rate_hz

    def features(self, signal: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B D"]:
        """Normalised magnitudes to the units of fc7.

        Args:
            signal: (B, 1, F, T) from `front_end`, T >= `min_frames`.

        Returns:
            (B, D) feature, after batch norm and ReLU, not normalised to unit length.

        Raises:
            ValueError: wrong rank, channels or frequencies, or too few frames.
        """
        require_spectrogram(signal, self.front_end.num_frequencies, self.min_frames)
        columns = self.fc6(self.trunk(signal))
        return torch.flatten(self.fc7(columns.mean(dim=3, keepdim=True)), 1)
