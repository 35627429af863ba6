"""Voice augmentation in batches on the device.

Augmentation is not in the Speech2Face paper, whose data are millions of clips; a small set of read speech needs it to
survive other microphones. Everything is drawn from PyTorch's default generator of the device, so seeds and resumption
cover it. `eval.faces.conditions.degrade_voice` shares neither code nor draws with it, so that an evaluation does not
test on the very sounds that training made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

TELEPHONE_HZ = (300.0, 3400.0)
Range = tuple[float, float]


@dataclass(frozen=True)
class Strength:
    """How often each effect is applied, clip by clip, and how far it goes; the gain always applies.

    Attributes:
        room: chance of reverberation.
        room_s: range of its T60 in seconds.
        room_db: range of the reverberant energy relative to the direct sound.
        equaliser: chance of a smooth random frequency response of about 4 dB.
        noise: chance of noise.
        noise_db: range of the speech level above the noise.
        slope: range of the exponent of the noise amplitude over frequency: 0 is white, -1 brown.
        band: chance of gentle band limits.
        low_hz: range of the lower one.
        high_hz: range of the upper one.
        telephone: chance of the telephone band, 300 to 3,400 Hz, instead.
        gain_db: the gain is uniform within plus and minus this.
        full_scale: cut what exceeds [-1, 1], as a recorder does.
    """

    room: float = 0.0
    room_s: Range = (0.1, 1.0)
    room_db: Range = (-15.0, 3.0)
    equaliser: float = 0.0
    noise: float = 0.5
    noise_db: Range = (15.0, 30.0)
    slope: Range = (-1.0, 0.0)
    band: float = 0.5
    low_hz: Range = (50.0, 120.0)
    high_hz: Range = (5000.0, 8000.0)
    telephone: float = 0.0
    gain_db: float = 6.0
    full_scale: bool = False


STRENGTHS = {
    "light": Strength(),
    "strong": Strength(
        room=0.5,
        equaliser=0.5,
        noise=0.7,
        noise_db=(3.0, 30.0),
        low_hz=(60.0, 300.0),
        high_hz=(3000.0, 8000.0),
        telephone=0.2,
        gain_db=12.0,
        full_scale=True,
    ),
}


def augment_voice(waveform: Float[Tensor, "B S"], sample_rate_hz: int, strength: Strength) -> Float[Tensor, "B S"]:
    """Give every clip of a batch its own room, equaliser, noise, band limits and gain, in this order.

    Reverberation is exponentially decaying noise beside the direct sound. The noise level is relative to the speech
    with its reverberation. All of it happens on one spectrum, so a batch costs two forward transforms and one back.

    Args:
        waveform: (B, S) mono samples.
        sample_rate_hz: samples per second.
        strength: one of `STRENGTHS`, or another.

    Returns:
        (B, S), limited to [-1, 1] only where `strength.full_scale` says so.
    """
    batch, samples = waveform.shape
    like = waveform.new_empty(batch, 1)
    length = samples + (sample_rate_hz if strength.room else 0)
    spectrum = torch.fft.rfft(waveform, n=length)
    frequencies = torch.fft.rfftfreq(length, 1 / sample_rate_hz, device=waveform.device)

    def chosen(chance: float) -> Tensor:
        return torch.rand_like(like) < chance

    if strength.room:
        room = _room(strength, sample_rate_hz, length, like)
        spectrum = torch.where(chosen(strength.room), spectrum * room, spectrum)
    if strength.equaliser:
        spectrum = spectrum * torch.where(chosen(strength.equaliser), _equaliser(frequencies, like), 1.0)
    if strength.noise:
        noise = _noise(strength, spectrum, frequencies, length / samples)
        spectrum = spectrum + noise * chosen(strength.noise)
    telephone = chosen(strength.telephone)
    response = torch.where(chosen(strength.band), _band(strength, frequencies, like), 1.0)
    response = torch.where(telephone, _telephone(frequencies), response)
    gain = _decibels(_uniform((-strength.gain_db, strength.gain_db), like))
    sound = torch.fft.irfft(spectrum * (response * gain), n=length)[:, :samples]
    return sound.clamp(-1.0, 1.0) if strength.full_scale else sound


def _decibels(level: Tensor) -> Tensor:
    return 10 ** (level / 20)


def _uniform(bounds: Range, like: Tensor) -> Tensor:
    """(B, 1) draws between two bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand_like(like)


def _octaves(bounds: Range, like: Tensor) -> Tensor:
    """(B, 1) draws between two bounds, uniform in the logarithm."""
    return torch.exp(_uniform((math.log(bounds[0]), math.log(bounds[1])), like))


def _room(strength: Strength, sample_rate_hz: int, length: int, like: Tensor) -> Tensor:
    time = torch.arange(sample_rate_hz, device=like.device) / sample_rate_hz
    decay = torch.exp(-math.log(1000) * time / _uniform(strength.room_s, like))
    response = torch.randn(len(like), len(time), device=like.device) * decay
    response = response / response.norm(dim=-1, keepdim=True) * _decibels(_uniform(strength.room_db, like))
    response[:, 0] = 1.0
    return torch.fft.rfft(response, n=length)


def _equaliser(frequencies: Tensor, like: Tensor) -> Tensor:
    octave = torch.log2(frequencies.clamp_min(50) / 50)
    level = torch.zeros(len(like), len(frequencies), device=like.device)
    for cycles in (0.15, 0.3, 0.6):
        phase = _uniform((0, 2 * math.pi), like)
        level = level + 2.5 * torch.randn_like(like) * torch.cos(2 * math.pi * cycles * octave + phase)
    return _decibels(level)


def _noise(strength: Strength, spectrum: Tensor, frequencies: Tensor, padding: float) -> Tensor:
    """Spectrum of noise at a drawn level; `padding` is how much longer than the clip the transform is."""
    like = spectrum.real[:, :1]
    noise = torch.view_as_real(torch.randn_like(spectrum))
    noise = noise * (frequencies.clamp_min(50) ** _uniform(strength.slope, like))[..., None]
    speech_level = torch.view_as_real(spectrum).flatten(1).norm(dim=-1, keepdim=True) * padding**0.5
    level = speech_level * _decibels(-_uniform(strength.noise_db, like))
    return torch.view_as_complex(noise * (level / noise.flatten(1).norm(dim=-1, keepdim=True))[..., None])


def _band(strength: Strength, frequencies: Tensor, like: Tensor) -> Tensor:
    low, high, safe = _octaves(strength.low_hz, like), _octaves(strength.high_hz, like), frequencies.clamp_min(1.0)
    return 1 / (1 + (low / safe) ** 4) / (1 + (safe / high) ** 12)


def _telephone(frequencies: Tensor) -> Tensor:
    safe = frequencies.clamp_min(1.0)
    return 1 / (1 + (TELEPHONE_HZ[0] / safe) ** 12) / (1 + (safe / TELEPHONE_HZ[1]) ** 40)
