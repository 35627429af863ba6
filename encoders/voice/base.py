"""What every voice encoder offers: an input contract, a front end, and a feature."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from encoders.inputs import require_waveforms


class VoiceEncoder(ModelMixin, ConfigMixin):
    """Base class: waveform to what the network reads (`front_end`), and that to a feature (`features`).

    The contract lives in the config: `sample_rate_hz`, and whatever the front end needs. Clips of one batch have one
    length; any length from `min_seconds` on will do, because every network here pools over time.
    """

    front_end: nn.Module

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the waveform, in Hz."""
        return self.config.sample_rate_hz

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature."""
        raise NotImplementedError

    @property
    def min_seconds(self) -> float:
        """Shortest clip the network accepts, in seconds."""
        raise NotImplementedError

    def features(self, signal: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """Output of `front_end` (B, ...) to feature (B, D)."""
        raise NotImplementedError

    def forward(self, signal: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """Return `features(signal)`."""
        return self.features(signal)

    def encode(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """Waveform to feature: front end and network in one call.

        Args:
            waveform: (B, S) mono samples in [-1, 1] at `sample_rate_hz`.

        Returns:
            (B, D) feature.

        Raises:
            ValueError: wrong rank, shorter than `min_seconds`, or samples that are not floats in [-1, 1], see
                `encoders.inputs`.
        """
        if waveform.ndim != 2 or waveform.shape[1] < round(self.min_seconds * self.sample_rate_hz):
            raise ValueError(
                f"expected a waveform (B, S) of at least {self.min_seconds:.3f} s at {self.sample_rate_hz} Hz, got "
                f"{tuple(waveform.shape)}; add a batch dimension or repeat the clip"
            )
        require_waveforms(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            signal = self.front_end(waveform.float())
        return self(signal)
