"""The complex spectrogram against librosa, a hand-worked frame, and its invariances."""

import librosa
import numpy as np
import pytest
import torch

from encoders.voice.front_ends.complex_spectrogram import ComplexSpectrogram


@pytest.fixture
def waveform():
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (3, 16000)).astype(np.float32))


def test_six_seconds_are_598_by_257():
    front_end = ComplexSpectrogram()
    assert front_end(torch.randn(1, 96000)).shape == (1, 2, 598, 257)
    assert front_end.num_frames(96000) == 598
    assert front_end.num_frames(399) == 0
    assert front_end.num_frames(front_end.num_samples(100)) == 100
    assert front_end.num_frames(front_end.num_samples(100) - 1) == 99


def test_equals_librosa_up_to_its_window_centring(waveform):
    """librosa pads the 400-sample window to 512 on both sides; shifting the signal by 56 undoes that."""
    padded = np.pad(waveform[0].numpy(), (56, 56))
    oracle = librosa.stft(padded, n_fft=512, hop_length=160, win_length=400, window="hann", center=False).T
    phase = np.exp(2j * np.pi * np.arange(257) * 56 / 512)  # our frame starts 56 samples later in the FFT buffer
    oracle = oracle * phase
    ours = ComplexSpectrogram(power=1.0)(waveform)[0]
    count = min(len(oracle), ours.shape[1])
    assert count >= 97
    np.testing.assert_allclose(ours[0, :count], oracle[:count].real, atol=2e-5)
    np.testing.assert_allclose(ours[1, :count], oracle[:count].imag, atol=2e-5)


def test_power_law_acts_on_real_and_imaginary_parts_with_their_signs(waveform):
    plain, compressed = ComplexSpectrogram(power=1.0)(waveform), ComplexSpectrogram()(waveform)
    torch.testing.assert_close(compressed, plain.sign() * plain.abs().pow(0.3))
    assert (compressed < 0).any()
    torch.testing.assert_close(ComplexSpectrogram()(-waveform), -compressed)


def test_window_is_periodic_hann():
    """A constant signal: the zero-frequency value is the sum of the window, 200 for a periodic Hann of 400."""
    value = ComplexSpectrogram(power=1.0)(torch.ones(1, 400))[0, 0, 0, 0]
    assert value.item() == pytest.approx(200.0, abs=1e-3)


def test_does_not_depend_on_the_batch(waveform):
    front_end = ComplexSpectrogram(target_rms=0.05)
    together = front_end(waveform * torch.tensor([[1.0], [0.01], [3.0]]))
    alone = front_end(waveform[1:2] * 0.01)
    torch.testing.assert_close(together[1:2], alone)


def test_target_rms_removes_the_level(waveform):
    front_end = ComplexSpectrogram(target_rms=0.05)
    torch.testing.assert_close(front_end(waveform), front_end(waveform * 7), rtol=1e-4, atol=1e-4)
    plain = ComplexSpectrogram()
    assert not torch.allclose(plain(waveform), plain(waveform * 7))


def test_stays_float32_under_autocast(waveform):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ComplexSpectrogram()(waveform).dtype == torch.float32


@pytest.mark.parametrize("shape", [(16000,), (1, 399), (1, 1, 16000)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected a waveform"):
        ComplexSpectrogram()(torch.zeros(shape))
