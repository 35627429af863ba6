"""Voice augmentation: seeded, per clip, finite, and leaving who speaks alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

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
