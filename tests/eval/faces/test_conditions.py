"""Recordings damaged in fixed ways, measured from outside."""

import numpy as np
import pytest
import torch

from eval.faces.conditions import CONDITIONS, degrade_voice
from s2f.audio import load
from s2f.errors import AudioError, UsageError

RATE = 16000


def decibels(power):
    return 10 * np.log10(power)


def power_between(sound, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    frequencies = np.fft.rfftfreq(len(sound), 1 / RATE)
    return spectrum[(frequencies >= low_hz) & (frequencies < high_hz)].sum()


def voice(seconds=3.0):
    random = np.random.default_rng(1)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 50))
    return (0.05 * tone * (1 + np.sin(2 * np.pi * 3 * time)) + random.normal(0, 0.01, len(time))).astype(np.float32)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_damage_is_repeatable_and_draws_nothing_shared(condition):
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), torch.rand(1)
    np.random.seed(3)
    torch.manual_seed(3)
    clip = voice()
    before = clip.copy()
    first = degrade_voice(clip, RATE, condition, 7)
    assert (np.random.rand(), torch.rand(1)) == expected
    np.testing.assert_array_equal(first, degrade_voice(clip, RATE, condition, 7))
    np.testing.assert_array_equal(clip, before)
    assert first.shape == clip.shape
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1
    assert np.array_equal(first, degrade_voice(clip, RATE, condition, 8)) == (condition not in ("noise_10db", "reverb"))


def test_noise_is_ten_decibels_below():
    clip = voice()
    noise = degrade_voice(clip, RATE, "noise_10db", 0) - clip
    assert decibels(np.square(clip).mean() / np.square(noise).mean()) == pytest.approx(10, abs=0.2)
    assert power_between(noise, 0, 4000) == pytest.approx(power_between(noise, 4000, 8001), rel=0.1)


def test_telephone_band_is_empty_outside_and_untouched_inside():
    clip = voice()
    heard = degrade_voice(clip, RATE, "telephone", 0)
    outside = power_between(heard, 0, 300) + power_between(heard, 3400, 8001)
    assert decibels(outside / power_between(heard, 300, 3400)) < -30
    assert power_between(heard, 400, 3300) == pytest.approx(power_between(clip, 400, 3300), rel=0.02)


def test_reverberation_time_by_schroeder_integration():
    impulse = np.zeros(2 * RATE, dtype=np.float32)
    impulse[0] = 0.5
    heard = degrade_voice(impulse, RATE, "reverb", 0).astype(np.float64)
    tail = heard[1:]
    assert decibels(np.square(tail).sum() / heard[0] ** 2) == pytest.approx(0, abs=0.3)
    left = decibels(np.cumsum(np.square(tail)[::-1])[::-1] / np.square(tail).sum() + 1e-30)
    fitted = (left < -5) & (left > -35)
    slope = np.polyfit(np.flatnonzero(fitted) / RATE, left[fitted], 1)[0]
    assert -60 / slope == pytest.approx(0.8, rel=0.2)


def test_reverberation_keeps_the_level():
    clip = voice()
    heard = degrade_voice(clip, RATE, "reverb", 0)
    assert np.square(heard).mean() == pytest.approx(np.square(clip).mean(), rel=0.01)
    assert not np.allclose(heard, clip, atol=0.01)


def test_level_changes_by_four_and_is_cut_at_full_scale():
    clip = voice()
    np.testing.assert_allclose(degrade_voice(clip, RATE, "quieter", 0), clip / 4, rtol=1e-6)
    np.testing.assert_allclose(degrade_voice(clip / 8, RATE, "louder", 0), clip / 2, rtol=1e-6)
    loud = degrade_voice(clip * (0.9 / np.abs(clip).max()), RATE, "louder", 0)
    assert np.abs(loud).max() == 1.0
    assert any("clipped" in warning for warning in load((loud, RATE)).warnings)


def test_bad_damage_is_refused():
    with pytest.raises(UsageError, match="did you mean telephone"):
        degrade_voice(voice(), RATE, "telefone", 0)
    with pytest.raises(AudioError, match="shape"):
        degrade_voice(np.zeros((2, 100)), RATE, "reverb", 0)
