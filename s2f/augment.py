"""Voice augmentation in batches on the device: room, channel, noise and level.

Not in the Speech2Face paper, whose data are millions of clips; a small set of read speech needs it to survive other
microphones. Everything is drawn from PyTorch's default generator of the device, so seeds and resumption cover it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def augment_voice(
    waveform: Float[Tensor, "B S"], sample_rate_hz: int, probability: float = 0.7
) -> Float[Tensor, "B S"]:
    """Give every clip of a batch its own room, equaliser, band limits, noise and gain.

    Reverberation is exponentially decaying noise (T60 0.1 to 0.6 s) mixed with the direct sound; the equaliser is a
    smooth random curve of about 4 dB; band limits cut below 60 to 300 Hz and above 3 to 8 kHz; noise has a random
    spectral slope at 10 to 40 dB below the speech; the gain has a standard deviation of 5 dB.

    Args:
        waveform: (B, S) mono samples.
        sample_rate_hz: samples per second.
        probability: chance of each effect, per clip; the gain always applies.

    Returns:
        (B, S), not limited to [-1, 1].
    """
    batch, samples = waveform.shape
    length = samples + sample_rate_hz // 2
    spectrum = torch.fft.rfft(waveform, n=length)
    frequencies = torch.fft.rfftfreq(length, 1 / sample_rate_hz, device=waveform.device)

    def chosen() -> Tensor:
        return torch.rand(batch, 1, device=waveform.device) < probability

    spectrum = torch.where(chosen(), spectrum * _room(waveform, sample_rate_hz, length), spectrum)
    spectrum = torch.where(chosen(), spectrum * _equaliser(batch, frequencies), spectrum)
    spectrum = torch.where(chosen(), spectrum * _band(batch, frequencies), spectrum)
    sound = torch.fft.irfft(spectrum, n=length)[:, :samples]
    sound = torch.where(chosen(), sound + _noise(sound, length, frequencies), sound)
    return sound * _decibels(5 * torch.randn(batch, 1, device=waveform.device))


def _decibels(level: Tensor) -> Tensor:
    return 10 ** (level / 20)


def _uniform(low: float, high: float, like: Tensor, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, device=like.device)


def _room(waveform: Tensor, sample_rate_hz: int, length: int) -> Tensor:
    batch = len(waveform)
    time = torch.arange(sample_rate_hz // 2, device=waveform.device) / sample_rate_hz
    decay = torch.exp(-math.log(1000) * time / _uniform(0.1, 0.6, waveform, batch, 1))
    response = torch.randn(batch, len(time), device=waveform.device) * decay
    response = response / response.square().sum(-1, keepdim=True).sqrt() * _uniform(0.1, 0.8, waveform, batch, 1)
    response[:, 0] = 1.0
    return torch.fft.rfft(response, n=length)


def _equaliser(batch: int, frequencies: Tensor) -> Tensor:
    octave = torch.log2(frequencies.clamp_min(50) / 50)
    level = torch.zeros(batch, len(frequencies), device=frequencies.device)
    for cycles in (0.15, 0.3, 0.6):
        phase = _uniform(0, 2 * math.pi, frequencies, batch, 1)
        level = level + 2.5 * torch.randn(batch, 1, device=frequencies.device) * torch.cos(
            2 * math.pi * cycles * octave + phase
        )
    return _decibels(level)


def _band(batch: int, frequencies: Tensor) -> Tensor:
    low = 60 * 5 ** torch.rand(batch, 1, device=frequencies.device)
    high = 3000 * (8 / 3) ** torch.rand(batch, 1, device=frequencies.device)
    safe = frequencies.clamp_min(1.0)
    return 1 / (1 + (low / safe) ** 4) / (1 + (safe / high) ** 12)


def _noise(sound: Tensor, length: int, frequencies: Tensor) -> Tensor:
    slope = _uniform(-1.0, 0.0, sound, len(sound), 1)
    shaped = torch.fft.rfft(torch.randn(len(sound), length, device=sound.device))
    shaped = shaped * frequencies.clamp_min(50) ** slope
    noise = torch.fft.irfft(shaped, n=length)[:, : sound.shape[1]]
    level = sound.square().mean(-1, keepdim=True).sqrt() * _decibels(-_uniform(10, 40, sound, len(sound), 1))
    return noise / noise.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-12) * level
