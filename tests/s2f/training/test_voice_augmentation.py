"""Voice augmentation: seeded, per clip, finite, and leaving who speaks alone; fixed damage measured from outside."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.faces.conditions import CONDITIONS, degrade_voice
from s2f.audio import load
from s2f.errors import AudioError, UsageError
from s2f.training.voice_augmentation import STRENGTHS, Strength, augment_voice

ALL = replace(STRENGTHS["strong"], room=1.0, equaliser=1.0, noise=1.0, band=1.0)
NOTHING = Strength(noise=0.0, band=0.0, gain_db=0.0)
RATE = 16000


def speech(batch=4):
    time = torch.arange(48000) / RATE
    tone = sum(torch.sin(2 * torch.pi * 150 * k * time) / k for k in range(1, 20))
    return (0.05 * tone).expand(batch, -1).clone()


def decibels(power):
    return 10 * np.log10(power)


def power_between(sound, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    frequencies = np.fft.rfftfreq(len(sound), 1 / RATE)
    return spectrum[(frequencies >= low_hz) & (frequencies < high_hz)].sum()


@pytest.mark.parametrize("name", STRENGTHS)
def test_same_seed_same_sound_and_clips_differ(name):
    torch.manual_seed(0)
    first = augment_voice(speech(), RATE, STRENGTHS[name])
    torch.manual_seed(0)
    torch.testing.assert_close(augment_voice(speech(), RATE, STRENGTHS[name]), first)
    assert first.shape == (4, 48000)
    assert not torch.allclose(first[0], first[1])
    assert torch.isfinite(first).all()


def test_no_effect_leaves_the_clip_and_the_gain_only_scales_it():
    torch.testing.assert_close(augment_voice(speech(), RATE, NOTHING), speech(), atol=1e-5, rtol=0)
    torch.manual_seed(0)
    changed = augment_voice(speech(64), RATE, replace(NOTHING, gain_db=12.0))
    factor = (changed * speech(64)).sum(1) / speech(64).square().sum(1)
    torch.testing.assert_close(changed, factor[:, None] * speech(64), atol=1e-4, rtol=0)
    gains = 20 * factor.log10()
    assert -12 <= gains.min() < -8
    assert 8 < gains.max() <= 12


def test_noise_is_within_its_range():
    torch.manual_seed(0)
    noisy = augment_voice(speech(64), RATE, replace(NOTHING, noise=1.0, noise_db=(3.0, 30.0)))
    above = 10 * (speech(64).square().mean(1) / (noisy - speech(64)).square().mean(1)).log10()
    assert 2.5 < above.min() < 8
    assert 25 < above.max() < 30.5
    light = augment_voice(speech(64), RATE, replace(NOTHING, noise=1.0))
    above = 10 * (speech(64).square().mean(1) / (light - speech(64)).square().mean(1)).log10()
    assert above.min() > 14.5


def test_chances_are_per_clip():
    torch.manual_seed(0)
    quiet = augment_voice(speech(200), RATE, replace(NOTHING, noise=0.3))
    touched = ((quiet - speech(200)).abs().amax(1) > 1e-4).float().mean()
    assert 0.2 < touched < 0.4


def test_telephone_removes_what_a_telephone_does():
    noise = torch.randn(2, 48000, generator=torch.Generator().manual_seed(0)) * 0.1
    heard = augment_voice(noise, RATE, replace(NOTHING, telephone=1.0))[0].numpy()
    inside = power_between(heard, 400, 3000) / power_between(noise[0].numpy(), 400, 3000)
    assert inside == pytest.approx(1, abs=0.05)
    assert decibels(power_between(heard, 0, 200) / power_between(noise[0].numpy(), 0, 200)) < -30
    assert decibels(power_between(heard, 4000, 8001) / power_between(noise[0].numpy(), 4000, 8001)) < -20


def test_room_energy_is_as_drawn():
    """An impulse comes back as direct sound and a tail 3 dB above it, less what the drawn length cuts off."""
    impulse = torch.zeros(8, 48000)
    impulse[:, 0] = 0.1
    torch.manual_seed(0)
    heard = augment_voice(impulse, RATE, replace(NOTHING, room=1.0, room_db=(3.0, 3.0)))
    ratio = heard[:, 1:].square().sum(1) / heard[:, 0].square()
    assert (10 * ratio.log10() - 3).abs().max() < 0.2


def test_strong_is_limited_to_full_scale():
    torch.manual_seed(0)
    assert augment_voice(speech(32) * 8, RATE, STRENGTHS["strong"]).abs().max() == 1.0


def test_pitch_survives():
    """The strongest lag of the autocorrelation stays at the 150 Hz period in every clip."""
    torch.manual_seed(1)
    for clip in augment_voice(speech(32), RATE, ALL):
        spectrum = torch.fft.rfft(clip, n=2 * len(clip)).abs().square()
        correlation = torch.fft.irfft(spectrum)[40:200]
        assert abs(RATE / (40 + correlation.argmax().item()) - 150) < 8


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
