"""The Speech2Face audio front end: a power-law compressed complex spectrogram.

Paper: Oh et al., "Speech2Face: Learning the Face Behind a Voice" (CVPR 2019), section 4, "Implementation details".
Deviations: the paper prints a Hann window of "25 mm", read as 25 ms; `target_rms` is ours and off (None) at paper size.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ComplexSpectrogram(nn.Module):
    """Waveform to real and imaginary parts, each compressed by `sign(x) |x| ** power`.

    Frames are uncentred (no padding): S samples give `1 + (S - window_samples) // hop_samples` frames, so that 6 s at
    16 kHz are 598 frames, the size the paper prints. The window is a periodic Hann window. Each clip is computed on its
    own, so the result does not depend on what else is in the batch.
    """

    def __init__(
        self,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        power: float = 0.3,
        target_rms: float | None = None,
    ) -> None:
        """Set the analysis sizes.

        Args:
            window_samples: window length in samples (25 ms at 16 kHz).
            hop_samples: step between frames in samples (10 ms at 16 kHz).
            fft_size: FFT length in samples; frames are zero-padded to it. Gives `fft_size // 2 + 1` frequencies.
            power: exponent of the power law, in (0, 1].
            target_rms: when set, every clip is first scaled to this root mean square, which removes its level.
        """
        super().__init__()
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.fft_size = fft_size
        self.power = power
        self.target_rms = target_rms

    @property
    def num_frequencies(self) -> int:
        """Number of frequency bins F of the result."""
        return self.fft_size // 2 + 1

    def num_frames(self, samples: int) -> int:
        """Number of frames T that `samples` samples give (0 when shorter than one window)."""
        return max(0, 1 + (samples - self.window_samples) // self.hop_samples)

    def num_samples(self, frames: int) -> int:
        """Smallest number of samples that gives `frames` frames."""
        return (frames - 1) * self.hop_samples + self.window_samples

    def forward(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 2 T F"]:
        """Compute the compressed spectrogram in float32, whatever the autocast state.

        Args:
            waveform: (B, S) mono samples in [-1, 1].

        Returns:
            (B, 2, T, F): channel 0 real, channel 1 imaginary.

        Raises:
            ValueError: wrong rank, or fewer samples than one window.
        """
        if waveform.ndim != 2 or waveform.shape[-1] < self.window_samples:
            raise ValueError(
                f"expected a waveform (B, S) with S >= {self.window_samples} samples, got {tuple(waveform.shape)}; "
                "add a batch dimension or repeat the clip"
            )
        with torch.autocast(waveform.device.type, enabled=False):
            waveform = waveform.float()
            if self.target_rms is not None:
                rms = waveform.square().mean(-1, keepdim=True).sqrt()
                waveform = waveform * (self.target_rms / rms.clamp_min(1e-8))
            window = torch.hann_window(self.window_samples, periodic=True, device=waveform.device)
            frames = waveform.unfold(-1, self.window_samples, self.hop_samples) * window
            spectrum = torch.view_as_real(torch.fft.rfft(frames, n=self.fft_size))
            compressed = spectrum.sign() * spectrum.abs() ** self.power
        return compressed.permute(0, 3, 1, 2)
