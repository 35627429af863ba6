"""Recordings damaged in fixed ways: noise, telephone band, reverberation, level."""

from __future__ import annotations

import math

import numpy as np

from s2f.errors import AudioError, UsageError, did_you_mean
from s2f.training.voice_augmentation import TELEPHONE_HZ

CONDITIONS = ("noise_10db", "telephone", "reverb", "louder", "quieter")
NOISE_DB = 10.0
LOUDER = 4.0
REVERB_S = 0.8


def degrade_voice(waveform: np.ndarray, sample_rate_hz: int, condition: str, seed: int) -> np.ndarray:
    """Damage one clip in a fixed way, for evaluation: the same seed gives the same sound.

    `noise_10db`: white noise, 10 dB below the clip's mean power. `telephone`: only 300 to 3,400 Hz remain (no codec).
    `reverb`: noise decaying by 60 dB in 0.8 s is added to the direct sound, with the same energy; the level stays and
    the tail beyond the clip is cut. `louder`: four times the samples; `quieter`: a quarter of them. Whatever then lies
    beyond full scale is cut off at -1 and 1, as a recorder turned up too far does, so a loud clip comes back clipped.
    (`s2f.audio.load` would scale an array beyond full scale down again, and nothing would have been tried.)

    Args:
        waveform: (S,) mono samples in [-1, 1].
        sample_rate_hz: samples per second, at least 8000.
        condition: one of `CONDITIONS`.
        seed: of the noise and the room.

    Returns:
        (S,) float32 in [-1, 1].

    Raises:
        UsageError: an unknown condition.
        AudioError: not a mono waveform, or a sample rate below 8000.
    """
    if condition not in CONDITIONS:
        fix = did_you_mean(condition, CONDITIONS) or f"choose {CONDITIONS[0]}"
        raise UsageError(f"a condition of {', '.join(CONDITIONS)}", repr(condition), fix)
    if waveform.ndim != 1 or not len(waveform) or sample_rate_hz < 8000:
        got = f"shape {waveform.shape} at {sample_rate_hz} Hz"
        raise AudioError("a waveform (S,) at 8000 Hz or more", got, "decode the clip with s2f.audio.load")
    random = np.random.default_rng([seed, CONDITIONS.index(condition)])
    sound = waveform.astype(np.float64)
    if condition == "noise_10db":
        sound = sound + _at_level(random.standard_normal(len(sound)), _power(sound) / 10 ** (NOISE_DB / 10))
    elif condition == "telephone":
        sound = _telephone_band(sound, sample_rate_hz)
    elif condition == "reverb":
        sound = _at_level(_reverberant(sound, sample_rate_hz, random), _power(sound))
    else:
        sound = sound * LOUDER if condition == "louder" else sound / LOUDER
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _power(sound: np.ndarray) -> float:
    return float(np.square(sound).mean())


def _at_level(sound: np.ndarray, power: float) -> np.ndarray:
    return sound * math.sqrt(power / max(_power(sound), 1e-30))


def _telephone_band(sound: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Linear-phase band-pass; its edges are 50 Hz wide and lie inside the band."""
    length = len(sound) + sample_rate_hz // 10  # room for the filter's ringing
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate_hz)
    inside = np.minimum(frequencies - TELEPHONE_HZ[0], TELEPHONE_HZ[1] - frequencies)
    response = 0.5 - 0.5 * np.cos(np.pi * np.clip(inside / 50, 0, 1))
    return np.fft.irfft(np.fft.rfft(sound, length) * response, length)[: len(sound)]


def _reverberant(sound: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    time = np.arange(1, round(1.25 * REVERB_S * sample_rate_hz)) / sample_rate_hz
    tail = random.standard_normal(len(time)) * 10 ** (-3 * time / REVERB_S)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    length = len(sound) + len(response)
    return np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(response, length), length)[: len(sound)]
