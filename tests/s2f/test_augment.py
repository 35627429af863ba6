"""Voice augmentation: seeded, per clip, finite, and leaving who speaks alone."""

import torch

from s2f.augment import augment_voice


def speech(batch=4):
    time = torch.arange(48000) / 16000
    tone = sum(torch.sin(2 * torch.pi * 150 * k * time) / k for k in range(1, 20))
    return (0.05 * tone).expand(batch, -1).clone()


def test_same_seed_same_sound_and_clips_differ():
    torch.manual_seed(0)
    first = augment_voice(speech(), 16000)
    torch.manual_seed(0)
    torch.testing.assert_close(augment_voice(speech(), 16000), first)
    assert first.shape == (4, 48000)
    assert not torch.allclose(first[0], first[1])
    assert torch.isfinite(first).all()


def test_probability_zero_changes_only_the_level():
    torch.manual_seed(0)
    original = speech()
    changed = augment_voice(original, 16000, probability=0.0)
    ratio = changed / original.where(original.abs() > 1e-3, torch.nan)
    spread = ratio.nan_to_num(0).amax(1) - torch.where(ratio.isnan(), torch.inf, ratio).amin(1)
    assert spread.abs().max() < 1e-2
    assert (changed.square().mean(1) / original.square().mean(1)).log().std() > 0.1


def test_pitch_survives():
    """The strongest lag of the autocorrelation stays at the 150 Hz period in every clip."""
    torch.manual_seed(1)
    for clip in augment_voice(speech(16), 16000, probability=1.0):
        spectrum = torch.fft.rfft(clip, n=2 * len(clip)).abs().square()
        correlation = torch.fft.irfft(spectrum)[40:200]
        lag = 40 + correlation.argmax().item()
        assert abs(16000 / lag - 150) < 8 or abs(16000 / lag - 300) < 16


def test_noise_is_no_louder_than_ten_decibels_below():
    torch.manual_seed(0)
    silent_band = speech(32)
    changed = augment_voice(silent_band, 16000, probability=1.0)
    assert torch.isfinite(changed).all()
    level = changed.square().mean(1).sqrt() / silent_band.square().mean(1).sqrt()
    assert level.max() < 20
