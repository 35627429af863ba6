"""The front ends of the matching networks against scipy, numpy and librosa, and their invariances."""

import librosa
import numpy as np
import pytest
import torch
from scipy import signal

from encoders.voice.front_ends.magnitude import (
    FrameNormalizedSpectrogram,
    LogMelSpectrogram,
    MirroredSpectrogram,
    emphasize,
    mel_filters,
    remove_dc,
)

FRONT_ENDS = [MirroredSpectrogram, FrameNormalizedSpectrogram, LogMelSpectrogram]


@pytest.fixture
def waveform():
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 16000)) + np.array([[0.0], [0.3], [-0.1]])
    return torch.from_numpy(noise.astype(np.float32))


@pytest.mark.parametrize("samples", [1, 2, 3, 1024, 1025, 16000])
@pytest.mark.parametrize("pole", [0.0, 0.5, 0.99])
def test_dc_removal_is_the_recursion(waveform, samples, pole):
    clip = waveform[:, :samples]
    expected = signal.lfilter([1, -1], [1, -pole], clip.double().numpy())
    np.testing.assert_allclose(remove_dc(clip, pole).numpy(), expected, atol=5e-7)


def test_dc_removal_forgets_an_offset():
    """A constant of 1: exactly 0.99 ** n is left of it after n samples."""
    left = remove_dc(torch.ones(1, 2000), 0.99)
    torch.testing.assert_close(left[0, [0, 1, 100, 1999]], torch.tensor([1.0, 0.99, 0.99**100, 0.99**1999]))


def test_emphasis_by_hand():
    torch.testing.assert_close(emphasize(torch.tensor([[1.0, 1.0, 3.0]]), 0.97), torch.tensor([[1.0, 0.03, 2.03]]))


def matlab_steps(clip):
    """The released steps without dither, in float64 and one frame at a time; 240 zeros at the end are our reading."""
    clip = signal.lfilter([1, -1], [1, -0.99], clip.astype(np.float64) * 2**15)
    clip = np.concatenate([signal.lfilter([1, -0.97], [1], clip), np.zeros(240)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    starts = range(0, len(clip) - 399, 160)
    magnitude = np.abs(np.stack([np.fft.fft(clip[start : start + 400] * window, 512) for start in starts], axis=1))
    return (magnitude - magnitude.mean(axis=1, keepdims=True)) / magnitude.std(axis=1, ddof=1, keepdims=True)


def test_mirrored_spectrogram_is_what_the_released_steps_give(waveform):
    ours = MirroredSpectrogram()(waveform)
    assert ours.shape == (3, 1, 512, 100)
    for row in range(3):
        np.testing.assert_allclose(ours[row, 0].numpy(), matlab_steps(waveform[row].numpy()), atol=2e-4)
    torch.testing.assert_close(ours[:, :, 257:], ours[:, :, 1:256].flip(2))


def test_three_seconds_are_512_by_300_and_two_and_a_half_are_257_by_251():
    """SVHF prints 512 x 300 for 3 s. librosa's frames are 100 per second and one."""
    assert MirroredSpectrogram()(torch.randn(1, 48000)).shape == (1, 1, 512, 300)
    assert MirroredSpectrogram()(torch.randn(1, 48159)).shape[3] == 300
    assert MirroredSpectrogram()(torch.randn(1, 48160)).shape[3] == 301
    assert FrameNormalizedSpectrogram()(torch.randn(1, 40000)).shape == (1, 1, 257, 251)
    assert LogMelSpectrogram()(torch.randn(1, 40000)).shape == (1, 1, 40, 251)


def test_frames_are_normalised_librosa_magnitudes(waveform):
    ours = FrameNormalizedSpectrogram()(waveform * 0.01)
    for row in range(3):
        clip = waveform[row].numpy() * 0.01
        stft = librosa.stft(clip, n_fft=512, win_length=400, hop_length=160, pad_mode="reflect")
        magnitude = np.abs(stft).astype(np.float64)
        expected = (magnitude - magnitude.mean(0)) / (magnitude.std(0) + 1e-5)
        np.testing.assert_allclose(ours[row, 0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("bands", "fft_size", "rate"), [(40, 512, 16000), (16, 256, 8000)])
def test_mel_filters_are_librosas_htk_filters(bands, fft_size, rate):
    expected = librosa.filters.mel(sr=rate, n_fft=fft_size, n_mels=bands, htk=True, norm=None)
    np.testing.assert_allclose(mel_filters(bands, fft_size, rate).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("level", [1.0, 1e-8])
def test_log_mel_is_librosas(waveform, level):
    """At the lower level the 1e-6 inside the logarithm and that of the instance norm matter."""
    ours = LogMelSpectrogram()(waveform * level)
    filters = librosa.filters.mel(sr=16000, n_fft=512, n_mels=40, htk=True, norm=None)
    for row in range(3):
        clip = waveform[row].double().numpy() * level * 32768
        sizes = {"n_fft": 512, "win_length": 400, "hop_length": 160}
        stft = librosa.stft(clip, window="hamming", pad_mode="reflect", **sizes)
        energy = np.log(filters @ np.abs(stft) ** 2 + 1e-6)
        deviation = np.sqrt(energy.var(axis=1, keepdims=True) + 1e-5)
        expected = (energy - energy.mean(axis=1, keepdims=True)) / deviation
        np.testing.assert_allclose(ours[row, 0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_clip_does_not_depend_on_its_batch(front_end, waveform):
    together = front_end()(waveform * torch.tensor([[1.0], [0.01], [3.0]]))
    torch.testing.assert_close(together[1:2], front_end()(waveform[1:2] * 0.01))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_silence_is_finite_and_autocast_is_off(front_end, waveform):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = front_end()(torch.cat([waveform, torch.zeros(1, 16000)]))
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert result[3].abs().max() < 0.01
    torch.testing.assert_close(result[:3], front_end()(waveform))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_num_samples_is_the_smallest(front_end):
    small = front_end(window_samples=100, hop_samples=80, fft_size=128)
    samples = small.num_samples(5)
    assert small(torch.randn(1, samples)).shape[3] == 5
    assert small(torch.randn(1, samples - 1)).shape[3] == 4
    assert small(torch.randn(1, 400)).shape[2] == small.num_frequencies
    least = small.num_samples(1)
    assert small(torch.randn(1, least)).isfinite().all()
    with pytest.raises(ValueError, match=rf"S >= {least} samples, got \(1, {least - 1}\); "):
        small(torch.randn(1, least - 1))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_wrong_inputs_and_sizes_are_refused(front_end):
    for shape in [(16000,), (1, 1, 16000)]:
        with pytest.raises(ValueError, match="expected a waveform"):
            front_end()(torch.zeros(shape))
    for sizes in [(400, 160, 256), (400, 401, 512), (400, 160, 513), (400, 0, 512)]:
        with pytest.raises(ValueError, match="expected hop_samples <= window_samples <= fft_size"):
            front_end(**dict(zip(("window_samples", "hop_samples", "fft_size"), sizes, strict=True)))
