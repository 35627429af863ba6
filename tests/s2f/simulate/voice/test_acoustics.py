"""Measures of a voice: known pitch, tube length and tilt come back, pyin agrees, noise and hum do not fool them."""

import csv

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from s2f.errors import AudioError, SilentAudio
from s2f.simulate.voice.acoustics import measure_voice, median_f0_hz

RATE = 16000


def tube(f0_hz, tract_cm, seconds=2.0, glide=0.1, tilt=-0.98):
    """Pulses, their pitch gliding by ±glide, through the resonances of a tube; vowels wobble the formants by ±8 %."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = np.cumsum(f0_hz * (1 + glide * np.sin(2 * np.pi * time)) / RATE)
    sound = scipy.signal.lfilter([1], [1, tilt], np.diff(np.floor(phase), prepend=0.0))
    parts = []
    for index, block in enumerate(np.array_split(sound, 10)):
        shift = 1 + 0.08 * np.array([1, -1, 0.3, 0.3, 0, 0]) * np.sin(index)
        for number in range(6):
            centre, width = (2 * number + 1) * 35000 / 4 / tract_cm * shift[number], 60 + 40 * number
            if centre < 0.97 * RATE / 2:
                radius = np.exp(-np.pi * width / RATE)
                block = scipy.signal.lfilter(
                    [1.0], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], block
                )
        parts.append(block)
    sound = np.concatenate(parts)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def speech(shared_data, count, seconds=4.0):
    """(name, waveform) of `count` real speakers, women and men in turn."""
    with open(shared_data / "voices" / "speakers.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for pair in zip(*([r for r in rows if r["gender"] == g] for g in "fm"), strict=False) for row in pair]
    for row in chosen[2 : 2 + count]:
        path = str(shared_data / "voices" / row["file"])
        yield row["speaker"], soundfile.read(path, frames=int(seconds * RATE), dtype="float32")[0]


@pytest.mark.parametrize("f0_hz", [80, 120, 200, 300, 420])
def test_pitch_of_a_tube(f0_hz):
    measured = measure_voice(tube(f0_hz, 15.0), RATE).f0_hz
    assert measured == pytest.approx(f0_hz, rel=0.02)
    assert median_f0_hz(tube(f0_hz, 15.0), RATE) == measured


@pytest.mark.parametrize(("f0_hz", "tract_cm"), [(100, 19), (120, 17), (120, 15), (200, 14.5), (200, 13), (280, 12)])
def test_length_of_a_tube(f0_hz, tract_cm):
    assert measure_voice(tube(f0_hz, tract_cm), RATE).tract_cm == pytest.approx(tract_cm, rel=0.06)


def test_tilt_is_ordered_and_in_decibels_per_octave():
    dark, bright = (measure_voice(tube(120, 17, tilt=tilt), RATE).tilt_db_per_octave for tilt in (-0.98, 0.0))
    assert 3 < bright - dark < 7  # one pole at -0.98 falls by 6 dB per octave above 50 Hz
    sound = tube(120, 17)
    sloped = scipy.signal.lfilter([1, -0.98], [1], sound).astype(np.float32)
    assert measure_voice(sloped, RATE).tilt_db_per_octave > dark + 3


def test_level_and_sign_change_nothing():
    sound = tube(150, 15)
    first, second = measure_voice(sound, RATE), measure_voice(-0.1 * sound, RATE)
    assert first.f0_hz == pytest.approx(second.f0_hz, rel=1e-3)
    assert first.tract_cm == pytest.approx(second.tract_cm, rel=1e-3)
    assert first.tilt_db_per_octave == pytest.approx(second.tilt_db_per_octave, abs=1e-2)


def test_hum_of_the_mains_is_not_the_voice():
    time = np.arange(4 * RATE) / RATE
    sound = np.concatenate([tube(210, 14.5), np.zeros(2 * RATE, dtype=np.float32)])
    hum = 0.02 * (np.sin(2 * np.pi * 60 * time) + np.sin(2 * np.pi * 120 * time))
    assert measure_voice((sound + hum).astype(np.float32), RATE).f0_hz == pytest.approx(210, rel=0.03)


def test_sample_rate_hardly_matters():
    sound = tube(120, 17)
    faster = librosa.resample(sound, orig_sr=RATE, target_sr=24000)
    assert measure_voice(faster, 24000).f0_hz == pytest.approx(120, rel=0.02)
    assert measure_voice(faster, 24000).tract_cm == pytest.approx(measure_voice(sound, RATE).tract_cm, rel=0.04)


def test_agrees_with_pyin_on_real_voices(shared_data):
    for speaker, sound in speech(shared_data, 2):
        pitch, voiced, _ = librosa.pyin(sound, fmin=60, fmax=500, sr=RATE, frame_length=1024, hop_length=512)
        assert measure_voice(sound, RATE).f0_hz == pytest.approx(np.median(pitch[voiced]), rel=0.05), speaker


@pytest.mark.parametrize(
    "sound",
    [np.zeros(RATE), np.random.default_rng(0).normal(0, 0.1, RATE), np.full(RATE, 0.5), np.zeros(100)],
    ids=["silence", "noise", "constant", "short"],
)
def test_nothing_voiced_is_refused(sound):
    with pytest.raises(SilentAudio, match="voiced frames"):
        measure_voice(sound.astype(np.float32), RATE)
    assert median_f0_hz(sound.astype(np.float32), RATE) is None


@pytest.mark.parametrize("sound", [np.zeros((2, RATE)), np.full(RATE, np.nan), np.zeros(RATE, dtype=int)])
def test_refuses_what_is_no_waveform(sound):
    with pytest.raises(AudioError, match="mono float"):
        measure_voice(sound, RATE)
