"""The Speech2Face voice encoder.

Paper: Oh et al., "Speech2Face" (CVPR 2019), section 4 and Table 1. Readings of what the paper leaves open:

* convolutions are VALID, so a 6 s clip (598 x 257) ends as 6 x 57 x 512 before the temporal average;
* the 57 remaining frequencies are kept apart: the first fully connected layer sees 57 * 512 = 29,184 values, flattened
  channel-major (C, F);
* blocks are conv, ReLU, batch norm, then max-pool (time only) after blocks 3 to 6; the ninth convolution is followed by
  the temporal average, then ReLU and batch norm; there is no activation after the last layer;
* batch-norm momentum and epsilon are not printed: PyTorch's defaults are used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn

from encoders.voice.base import VoiceEncoder
from encoders.voice.front_ends.complex_spectrogram import ComplexSpectrogram

KERNEL = 4
PAPER_STRIDES = ((1, 1),) * 7 + ((2, 2),) * 2


class Speech2FaceVoiceEncoder(VoiceEncoder):
    """Voice clip to pseudo face feature; the paper's network with the default arguments (148,062,976 parameters).

    Any clip of at least `min_seconds` is accepted: pooling is along time only, and the last pooling averages all of it.
    """

    front_end: ComplexSpectrogram

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 128, 128, 128, 256, 512, 512, 512),
        strides: Sequence[Sequence[int]] = PAPER_STRIDES,
        pooled_blocks: Sequence[int] = (3, 4, 5, 6),
        hidden_size: int = 4096,
        feature_size: int = 4096,
        sample_rate_hz: int = 16000,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        power: float = 0.3,
        target_rms: float | None = None,
        batch_norm: bool = True,
    ) -> None:
        """Build the network.

        Args:
            channels: output channels of the convolutions.
            strides: (time, frequency) stride of each convolution.
            pooled_blocks: 1-based numbers of the blocks followed by a 2 x 1 (time) max-pool.
            hidden_size: units of the first fully connected layer.
            feature_size: size D of the face feature.
            sample_rate_hz: rate the front end expects.
            window_samples: see `ComplexSpectrogram`.
            hop_samples: see `ComplexSpectrogram`.
            fft_size: see `ComplexSpectrogram`.
            power: see `ComplexSpectrogram`.
            target_rms: see `ComplexSpectrogram`.
            batch_norm: normalise after every convolution; without is the paper's ablation (section 5.2, Fig. 9).

        Raises:
            ValueError: `channels` and `strides` differ in length.
        """
        super().__init__()
        if len(channels) != len(strides):
            raise ValueError(
                f"expected one stride per convolution, got {len(channels)} channels and {len(strides)} strides; "
                "give both lists the same length"
            )
        self.front_end = ComplexSpectrogram(window_samples, hop_samples, fft_size, power, target_rms)
        sizes = [2, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], KERNEL, stride=(strides[i][0], strides[i][1]))
            for i in range(len(channels))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if batch_norm else nn.Identity() for width in channels)
        self.pool = nn.MaxPool2d((2, 1))
        self.fc1 = nn.Linear(channels[-1] * self._frequencies_left(), hidden_size)
        self.fc2 = nn.Linear(hidden_size, feature_size)

    def _frequencies_left(self) -> int:
        size = self.front_end.num_frequencies
        for _, stride in self.config.strides:
            size = (size - KERNEL) // stride + 1
        return size

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.feature_size

    @property
    def min_frames(self) -> int:
        """Smallest number of spectrogram frames that leaves one frame after the last convolution."""
        frames = 1
        for block in range(len(self.config.channels), 0, -1):
            if block in self.config.pooled_blocks:
                frames *= 2
            frames = (frames - 1) * self.config.strides[block - 1][0] + KERNEL
        return frames

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds (2.605 s at paper size)."""
        return self.front_end.num_samples(self.min_frames) / self.sample_rate_hz

    def hidden(self, spectrogram: Float[Tensor, "B 2 T F"]) -> Float[Tensor, "B H"]:
        """Compressed complex spectrogram to the units of the first fully connected layer, after their ReLU.

        Args:
            spectrogram: (B, 2, T, F) from `front_end`, T >= `min_frames`.

        Returns:
            (B, H), H = `hidden_size`, none negative; `fc2` makes the face feature of it.

        Raises:
            ValueError: wrong rank, channels or frequencies, or too few frames.
        """
        expected = (2, self.front_end.num_frequencies)
        if spectrogram.ndim != 4 or (spectrogram.shape[1], spectrogram.shape[3]) != expected:
            raise ValueError(
                f"expected a spectrogram (B, 2, T, {expected[1]}), got {tuple(spectrogram.shape)}; "
                "compute it with `front_end`"
            )
        if spectrogram.shape[2] < self.min_frames:
            raise ValueError(
                f"expected at least {self.min_frames} frames ({self.min_seconds:.2f} s), got {spectrogram.shape[2]}; "
                "repeat the clip until it is long enough"
            )
        x = spectrogram
        last = len(self.convolutions)
        for block, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), start=1):
            x = convolution(x)
            if block == last:
                x = x.mean(dim=2, keepdim=True)
            x = norm(torch.relu(x))
            if block in self.config.pooled_blocks:
                x = self.pool(x)
        return torch.relu(self.fc1(x.flatten(1)))

    def features(self, signal: Float[Tensor, "B 2 T F"]) -> Float[Tensor, "B D"]:
        """Compressed complex spectrogram to face feature (Table 1).

        Args:
            signal: (B, 2, T, F) from `front_end`, T >= `min_frames`.

        Returns:
            (B, D) face feature, not normalised, no final activation.

        Raises:
            ValueError: see `hidden`.
        """
        return self.fc2(self.hidden(signal))
