"""Magnitude spectrograms: the front ends of the voice networks of the matching papers.

* `MirroredSpectrogram`: Nagrani et al., "Seeing Voices and Hearing Faces" (CVPR 2018), section 3.1, which refers to
  VoxCeleb (Interspeech 2017); the steps are those of the MATLAB code released with both.
* `FrameNormalizedSpectrogram`: Xie et al., "Utterance-level Aggregation for Speaker Recognition in the Wild" (ICASSP
  2019) and its released code; the frozen voice network of TriNet, "A Benchmark for Voice-Face Cross-Modal Matching and
  Retrieval" (ICLR 2021 submission), is that one.
* `LogMelSpectrogram`: the code released with Wen et al., "Seeking the Shape of Sound" (CVPR 2021). The paper itself
  describes 257 linear frequencies and a Hamming window; the code does not use them.

Each clip is computed on its own, in float32 whatever the autocast state, so that the result does not depend on what
else is in the batch.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

INT16_SCALE = 32768.0
STD_FLOOR = 1e-5
LOG_FLOOR = 1e-6
INSTANCE_NORM_EPS = 1e-5
NEGLIGIBLE = 1e-9  # relative weight of what `remove_dc` leaves out


def _require_clip(waveform: Tensor, samples: int) -> None:
    if waveform.ndim != 2 or waveform.shape[1] < samples:
        raise ValueError(
            f"expected a waveform (B, S) with S >= {samples} samples, got {tuple(waveform.shape)}; "
            "add a batch dimension or repeat the clip"
        )


def _require_sizes(window_samples: int, hop_samples: int, fft_size: int) -> None:
    if not 1 <= hop_samples <= window_samples <= fft_size or fft_size % 2:
        raise ValueError(
            f"expected hop_samples <= window_samples <= fft_size, the last even, got {hop_samples}, "
            f"{window_samples} and {fft_size}; give the three sizes in samples"
        )


def remove_dc(waveform: Float[Tensor, "B S"], pole: float) -> Float[Tensor, "B S"]:
    """Remove the constant part: `y[n] = x[n] - x[n-1] + pole * y[n-1]`, from silence.

    The recursion is unrolled by doubling, 1 / (1 - p/z) = (1 + p/z)(1 + p^2/z^2)(1 + p^4/z^4)...: a dozen additions of
    shifted clips instead of one step per sample.

    Args:
        waveform: (B, S) samples.
        pole: p, in [0, 1); 0.99 at 16 kHz.

    Returns:
        (B, S) samples.
    """
    result = emphasize(waveform, 1.0)
    shift = 1
    while shift < waveform.shape[1] and pole**shift > NEGLIGIBLE:
        result = result + pole**shift * nn.functional.pad(result[:, :-shift], (shift, 0))
        shift *= 2
    return result


def emphasize(waveform: Float[Tensor, "B S"], coefficient: float) -> Float[Tensor, "B S"]:
    """Pre-emphasis: `y[n] = x[n] - coefficient * x[n-1]`, from silence; (B, S) to (B, S)."""
    return waveform - coefficient * nn.functional.pad(waveform[:, :-1], (1, 0))


class MirroredSpectrogram(nn.Module):
    """Waveform to all `fft_size` magnitudes, both mirrored halves, each bin normalised over the clip.

    Steps: times `waveform_scale`, `remove_dc`, pre-emphasis, symmetric Hamming window, FFT, absolute value (no
    logarithm, no power), then minus mean, divided by standard deviation (N - 1) of every bin over time.

    Readings: the paper prints 512 x 300 for 3 s, and 512 is the whole mirrored spectrum, as the released code has it
    and its authors later noted. The released code frames without padding: 298 frames for 3 s; its training crops were
    300 frames of a longer recording. Here the filtered clip is followed by `window_samples - hop_samples` zeros, which
    gives one frame per whole hop: `S // hop_samples`, 300 for 3 s. Only the last two frames read them, and the
    network's sizes after its first pooling are the same for 298 and 300.
    Deviations: no dither (the released code adds random noise of 1e-6 of the clip's level); a bin that does not change
    over time is divided by 1e-5 instead of 0.
    """

    def __init__(
        self,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        waveform_scale: float = INT16_SCALE,
        dc_pole: float = 0.99,
        pre_emphasis: float = 0.97,
    ) -> None:
        """Set the analysis sizes.

        Args:
            window_samples: window length in samples (25 ms at 16 kHz).
            hop_samples: step between frames in samples (10 ms at 16 kHz), at most `window_samples`.
            fft_size: FFT length in samples, even, at least `window_samples`; also the number of frequency bins.
            waveform_scale: factor from [-1, 1] to the range of 16-bit samples.
            dc_pole: see `remove_dc`.
            pre_emphasis: see `emphasize`.

        Raises:
            ValueError: sizes out of order, or an odd `fft_size`.
        """
        super().__init__()
        _require_sizes(window_samples, hop_samples, fft_size)
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.fft_size = fft_size
        self.waveform_scale = waveform_scale
        self.dc_pole = dc_pole
        self.pre_emphasis = pre_emphasis

    @property
    def num_frequencies(self) -> int:
        """Number of frequency bins F of the result."""
        return self.fft_size

    def num_samples(self, frames: int) -> int:
        """Smallest number of samples that gives `frames` frames."""
        return max(frames, 2) * self.hop_samples

    def forward(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 F T"]:
        """Compute the normalised magnitudes.

        Args:
            waveform: (B, S) mono samples in [-1, 1].

        Returns:
            (B, 1, F, T), F = `fft_size`, T = S // `hop_samples`; over time every bin has mean 0 and deviation 1.

        Raises:
            ValueError: wrong rank, or fewer samples than two frames need.
        """
        _require_clip(waveform, self.num_samples(2))
        with torch.autocast(waveform.device.type, enabled=False):
            clip = emphasize(remove_dc(waveform.float() * self.waveform_scale, self.dc_pole), self.pre_emphasis)
            clip = nn.functional.pad(clip, (0, self.window_samples - self.hop_samples))
            window = torch.hamming_window(self.window_samples, periodic=False, device=clip.device)
            frames = clip.unfold(1, self.window_samples, self.hop_samples) * window
            half = torch.fft.rfft(frames, n=self.fft_size).abs().transpose(1, 2)
            magnitude = torch.cat([half, half[:, 1:-1].flip(1)], dim=1)
            deviation = magnitude.std(dim=2, keepdim=True).clamp_min(STD_FLOOR)
            return ((magnitude - magnitude.mean(dim=2, keepdim=True)) / deviation)[:, None]


class _CentredSpectrogram(nn.Module):
    """What the two front ends with centred frames share: S samples, mirrored at both ends, give 1 + S // hop frames."""

    def __init__(self, window_samples: int, hop_samples: int, fft_size: int) -> None:
        super().__init__()
        _require_sizes(window_samples, hop_samples, fft_size)
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.fft_size = fft_size

    def num_samples(self, frames: int) -> int:
        """Smallest number of samples that gives `frames` frames, and that can be mirrored by half an FFT."""
        return max((frames - 1) * self.hop_samples, self.fft_size // 2 + 1)

    def _spectrum(self, waveform: Float[Tensor, "B S"], window: Tensor) -> Complex[Tensor, "B F T"]:
        fft, hop, width = self.fft_size, self.hop_samples, self.window_samples
        return torch.stft(waveform, fft, hop, width, window, center=True, pad_mode="reflect", return_complex=True)


class FrameNormalizedSpectrogram(_CentredSpectrogram):
    """Waveform to magnitudes, each frame normalised over its frequencies.

    Periodic Hann window, centred frames, absolute value (no logarithm), then per frame minus mean, divided by
    (standard deviation + 1e-5). Readings: frames are those of `librosa.stft` in the version the released code was
    written for (ends mirrored), so k seconds give 100 k + 1 frames; the TriNet paper prints 100 k, the length of a crop
    from a longer recording. The network's first pooling drops the odd frame.
    """

    def __init__(self, window_samples: int = 400, hop_samples: int = 160, fft_size: int = 512) -> None:
        """Set the analysis sizes.

        Args:
            window_samples: window length in samples (25 ms at 16 kHz).
            hop_samples: step between frames in samples (10 ms at 16 kHz).
            fft_size: FFT length in samples, at least `window_samples`. Gives `fft_size // 2 + 1` frequencies.

        Raises:
            ValueError: sizes out of order, or an odd `fft_size`.
        """
        super().__init__(window_samples, hop_samples, fft_size)

    @property
    def num_frequencies(self) -> int:
        """Number of frequency bins F of the result."""
        return self.fft_size // 2 + 1

    def forward(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 F T"]:
        """Compute the normalised magnitudes.

        Args:
            waveform: (B, S) mono samples in [-1, 1].

        Returns:
            (B, 1, F, T), T = 1 + S // `hop_samples`; every frame has mean 0 and deviation 1 (0 where it is silent).

        Raises:
            ValueError: wrong rank, or too few samples to mirror the ends.
        """
        _require_clip(waveform, self.num_samples(1))
        with torch.autocast(waveform.device.type, enabled=False):
            window = torch.hann_window(self.window_samples, device=waveform.device)
            magnitude = self._spectrum(waveform.float(), window).abs()
            deviation = magnitude.std(dim=1, keepdim=True, correction=0) + STD_FLOOR
            return ((magnitude - magnitude.mean(dim=1, keepdim=True)) / deviation)[:, None]


def mel_filters(bands: int, fft_size: int, sample_rate_hz: int) -> Float[Tensor, "M F"]:
    """Triangular filters, evenly spaced on the HTK mel scale from 0 Hz to half the sample rate; peak height 1.

    Args:
        bands: number M of filters.
        fft_size: FFT length in samples; F = `fft_size // 2 + 1`.
        sample_rate_hz: sample rate in Hz.

    Returns:
        (M, F) float32 weights of the frequencies in each band, not normalised by area.
    """
    top_mel = 2595.0 * math.log10(1.0 + sample_rate_hz / 2 / 700.0)
    corners = 700.0 * (10.0 ** (torch.linspace(0.0, top_mel, bands + 2, dtype=torch.float64) / 2595.0) - 1.0)
    frequencies = torch.linspace(0.0, sample_rate_hz / 2, fft_size // 2 + 1, dtype=torch.float64)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    return torch.minimum(rising, falling).clamp_min(0.0).float()


class LogMelSpectrogram(_CentredSpectrogram):
    """Waveform to log mel energies, each band normalised over the clip.

    Times `waveform_scale`, periodic Hamming window, centred frames (ends mirrored), power spectrum, `mel_filters`,
    log(energy + 1e-6), then per band minus mean, divided by sqrt(variance + 1e-5) over time, as instance norm does.
    """

    def __init__(
        self,
        sample_rate_hz: int = 16000,
        mel_bands: int = 40,
        window_samples: int = 400,
        hop_samples: int = 160,
        fft_size: int = 512,
        waveform_scale: float = INT16_SCALE,
    ) -> None:
        """Set the analysis sizes.

        Args:
            sample_rate_hz: rate of the waveform; half of it is the upper end of the mel scale.
            mel_bands: number of mel bands.
            window_samples: window length in samples (25 ms at 16 kHz).
            hop_samples: step between frames in samples (10 ms at 16 kHz).
            fft_size: FFT length in samples, at least `window_samples`.
            waveform_scale: factor from [-1, 1] to the range of 16-bit samples.

        Raises:
            ValueError: sizes out of order, or an odd `fft_size`.
        """
        super().__init__(window_samples, hop_samples, fft_size)
        self.sample_rate_hz = sample_rate_hz
        self.mel_bands = mel_bands
        self.waveform_scale = waveform_scale

    @property
    def num_frequencies(self) -> int:
        """Number of mel bands F of the result."""
        return self.mel_bands

    def forward(self, waveform: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 F T"]:
        """Compute the normalised log mel energies.

        Args:
            waveform: (B, S) mono samples in [-1, 1].

        Returns:
            (B, 1, F, T), F = `mel_bands`, T = 1 + S // `hop_samples`; over time every band has mean 0.

        Raises:
            ValueError: wrong rank, or too few samples to mirror the ends.
        """
        _require_clip(waveform, self.num_samples(1))
        with torch.autocast(waveform.device.type, enabled=False):
            window = torch.hamming_window(self.window_samples, device=waveform.device)
            power = self._spectrum(waveform.float() * self.waveform_scale, window).abs().square()
            filters = mel_filters(self.mel_bands, self.fft_size, self.sample_rate_hz).to(waveform.device)
            energy = (filters @ power + LOG_FLOOR).log()
            variance, mean = torch.var_mean(energy, dim=2, keepdim=True, correction=0)
            return ((energy - mean) / (variance + INSTANCE_NORM_EPS).sqrt())[:, None]
