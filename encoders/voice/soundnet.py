"""SoundNet up to its sixth convolution, averaged over time.

Papers: Aytar et al., "SoundNet" (NIPS 2016), the network of eight layers; Kim et al., "On Learning Associations of
Faces and Voices" (ACCV 2018), section 4.1: conv6 "is similarly average-pooled globally, yielding 512-d output".
Kernels, strides and paddings are those of the released Torch code. Readings:

* conv6 is read after its batch norm and ReLU;
* the samples are times 256, the range [-256, 256] that the released network was trained on (Torch reads 32-bit samples,
  which its code multiplies by 2 ** -23);
* poolings round down, and convolutions keep their biases although a batch norm follows, as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn

from encoders.voice.base import VoiceEncoder
from encoders.voice.sizes import smallest_before


class Stage(NamedTuple):
    """One convolution of stride 2, padded by half its kernel, and the size and stride of the max-pooling after it."""

    kernel: int
    pool: int = 1


STAGES = (Stage(64, 8), Stage(32, 8), Stage(16), Stage(8), Stage(4, 4), Stage(4))


class ScaledWaveform(nn.Module):
    """The front end of a network that reads samples: the waveform as one channel, times a constant."""

    def __init__(self, waveform_scale: float) -> None:
        """Set the constant.

        Args:
            waveform_scale: factor from [-1, 1] to the range the network reads.
        """
        super().__init__()
        self.waveform_scale = waveform_scale

    def forward(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 S"]:
        """Scale (B, S) samples in [-1, 1] and add the channel: (B, 1, S)."""
        return waveform[:, None] * self.waveform_scale


class SoundNet(VoiceEncoder):
    """Voice clip to the time average of conv6; the paper's network with the default arguments (774,096 parameters)."""

    front_end: ScaledWaveform

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128, 256, 512),
        sample_rate_hz: int = 22050,
        waveform_scale: float = 256.0,
    ) -> None:
        """Build the network.

        Args:
            channels: output channels of the six convolutions; the last is the size D of the feature.
            sample_rate_hz: rate of the waveform.
            waveform_scale: see `ScaledWaveform`.

        Raises:
            ValueError: not six `channels`.
        """
        super().__init__()
        if len(channels) != len(STAGES):
            raise ValueError(f"expected {len(STAGES)} channels, got {len(channels)}; give one number per convolution")
        self.front_end = ScaledWaveform(waveform_scale)
        layers: list[nn.Module] = []
        for before, width, stage in zip([1, *channels], channels, STAGES, strict=False):
            layers.append(nn.Conv1d(before, width, stage.kernel, stride=2, padding=stage.kernel // 2))
            layers += [nn.BatchNorm1d(width, eps=1e-5), nn.ReLU()]
            if stage.pool > 1:
                layers.append(nn.MaxPool1d(stage.pool))
        self.trunk = nn.Sequential(*layers)

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        return self.config.channels[-1]

    @property
    def min_samples(self) -> int:
        """Smallest number of samples that leaves one value after conv6 (4574)."""
        windows = [((s.kernel, 2, s.kernel // 2), (s.pool, s.pool, 0)) for s in STAGES]
        return smallest_before([window for pair in windows for window in pair])

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds (0.207 s at 22,050 Hz)."""
        return self.min_samples / self.sample_rate_hz

    def features(self, signal: Float[Tensor, "B 1 S"]) -> Float[Tensor, "B D"]:
        """Scaled samples to the time average of conv6.

        Args:
            signal: (B, 1, S) from `front_end`, S >= `min_samples`.

        Returns:
            (B, D) feature, none negative.

        Raises:
            ValueError: wrong rank or channels, or too few samples.
        """
        if signal.ndim != 3 or signal.shape[1] != 1:
            raise ValueError(f"expected samples (B, 1, S), got {tuple(signal.shape)}; compute them with `front_end`")
        if signal.shape[2] < self.min_samples:
            raise ValueError(
                f"expected at least {self.min_samples} samples, got {signal.shape[2]}; "
                "repeat the clip until it is long enough"
            )
        return self.trunk(signal).mean(dim=2)
