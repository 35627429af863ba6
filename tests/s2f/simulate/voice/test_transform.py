"""Changed voices: each parameter moves its own measure and no other, on tubes of known length and on real speakers."""

import itertools

import librosa
import numpy as np
import pytest

from s2f.errors import AudioError, AudioTooShort, UsageError
from s2f.simulate.voice.acoustics import VoiceMeasures, measure_voice
from s2f.simulate.voice.transform import VoiceChange, change_for, change_voice
from tests.s2f.simulate.voice.test_acoustics import RATE, speech, tube


def changed(sound, seed=0, **fields):
    return change_voice(sound, RATE, VoiceChange(**fields), np.random.default_rng(seed))


def ratios(before, after):
    """Factors on F0 and on the formants."""
    first, second = measure_voice(before, RATE), measure_voice(after, RATE)
    return second.f0_hz / first.f0_hz, first.tract_cm / second.tract_cm


def pyin(sound):
    pitch, voiced, _ = librosa.pyin(sound, fmin=70, fmax=600, sr=RATE, frame_length=1024, hop_length=512)
    return np.where(voiced, pitch, np.nan)


def rms(sound):
    return np.sqrt(np.mean(np.square(sound, dtype=np.float64)))


VOICES = {"man": (110, 17.5), "woman": (200, 14.5), "child": (260, 12.5)}


@pytest.fixture(params=list(VOICES))
def voice(request):
    return tube(*VOICES[request.param])


def test_no_change_returns_the_input_bit_by_bit(voice):
    result = changed(voice)
    np.testing.assert_array_equal(result, voice)
    assert result is not voice
    assert result.dtype == np.float32


@pytest.mark.parametrize("pitch", [0.8, 1.3])
def test_pitch_moves_pitch_only(voice, pitch):
    result = changed(voice, pitch=pitch)
    assert len(result) == len(voice)
    assert rms(result) == pytest.approx(rms(voice), rel=0.01)
    f0, formants = ratios(voice, result)
    assert f0 == pytest.approx(pitch, rel=0.02)
    assert formants == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("factor", [0.88, 1.2])
def test_formants_move_formants_only(voice, factor):
    result = changed(voice, formants=factor)
    assert len(result) == len(voice)
    assert rms(result) == pytest.approx(rms(voice), rel=0.01)
    f0, formants = ratios(voice, result)
    assert f0 == pytest.approx(1, abs=0.02)
    assert formants == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("tempo", [0.8, 1.25])
def test_tempo_moves_duration_only(voice, tempo):
    result = changed(voice, tempo=tempo)
    assert len(result) == round(len(voice) / tempo)
    assert rms(result) == pytest.approx(rms(voice), rel=0.01)
    assert ratios(voice, result) == pytest.approx((1, 1), abs=0.03)


def test_tempo_keeps_events_in_their_places():
    sound = np.concatenate([tube(120, 17, 1.0), np.zeros(RATE, dtype=np.float32), tube(120, 17, 1.0)])
    result = changed(sound, tempo=0.8)
    quiet = np.flatnonzero(np.abs(result) < 1e-3)
    assert np.median(quiet) / RATE == pytest.approx(1.5 / 0.8, abs=0.05)


def test_level_moves_level_only(voice):
    np.testing.assert_allclose(changed(voice, level_db=-12), voice * 10**-0.6, rtol=1e-5, atol=1e-8)


def test_too_loud_is_scaled_to_full_scale_and_not_cut(voice):
    loud = changed(voice, level_db=20)
    assert np.abs(loud).max() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(loud / loud.max(), voice / voice.max(), atol=1e-5)


def test_same_seed_same_sound_and_other_seed_other_noise(voice):
    fields = {"pitch": 0.9, "tremor": 0.02, "breath": 0.2}
    np.testing.assert_array_equal(changed(voice, 3, **fields), changed(voice, 3, **fields))
    assert not np.array_equal(changed(voice, 3, **fields), changed(voice, 4, **fields))
    np.testing.assert_array_equal(changed(voice, 3, formants=1.2), changed(voice, 4, formants=1.2))


def test_tremor_swings_the_pitch():
    steady = tube(150, 16, 3.0, glide=0.0)
    result = changed(steady, tremor=0.03, tremor_hz=5.0)
    assert len(result) == len(steady)
    track = librosa.yin(result, fmin=100, fmax=250, sr=RATE, frame_length=800, hop_length=160)[20:-20]
    spectrum = np.abs(np.fft.rfft((track - track.mean()) * np.hanning(len(track))))
    strongest_hz = np.fft.rfftfreq(len(track), 0.01)[1:][np.argmax(spectrum[1:])]
    assert strongest_hz == pytest.approx(5.0, abs=0.5)
    assert np.std(track) * np.sqrt(2) / 150 == pytest.approx(0.03, rel=0.25)
    assert np.median(track) == pytest.approx(150, rel=0.01)


def test_breath_is_noise_that_keeps_pitch_and_formants(voice):
    result = changed(voice, breath=0.2)
    noise = result * (rms(voice) / rms(result)) - voice
    assert 0.01 < rms(noise) / rms(voice) < 0.6
    assert ratios(voice, result) == pytest.approx((1, 1), abs=0.05)


def test_nothing_folds_when_the_pitch_rises():
    """A tone at 6 kHz has no place below 8 kHz once doubled; folded it would lie at 4 kHz."""
    time = np.arange(2 * RATE) / RATE
    sound = (0.5 * np.sin(2 * np.pi * 200 * time) + 0.1 * np.sin(2 * np.pi * 6000 * time)).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(changed(sound, pitch=2.0, formants=2.0 ** (2 / 3)) * np.hanning(2 * RATE)))
    assert spectrum[7000:9000].max() < 0.003 * spectrum.max()


@pytest.mark.parametrize("pitch", [0.75, 1.3])
def test_no_pitch_leaves_an_empty_top_band(pitch):
    rng = np.random.default_rng(0)
    sound = (tube(200, 14.5) + 0.02 * rng.standard_normal(2 * RATE)).astype(np.float32) / 2
    frequency = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    top = (frequency > 7200) & (frequency < 7900)
    before, after = (np.square(np.abs(np.fft.rfft(s))[top]).mean() for s in (sound, changed(sound, pitch=pitch)))
    assert abs(10 * np.log10(after / before)) < 6


def test_real_voices_change_as_asked(shared_data):
    for speaker, sound in speech(shared_data, 2):
        before = pyin(sound)
        higher = changed(sound, pitch=1.3)
        assert np.nanmedian(pyin(higher) / before) == pytest.approx(1.3, rel=0.04), speaker
        assert ratios(sound, higher)[1] == pytest.approx(1, abs=0.04), speaker
        shorter = changed(sound, formants=1.2)
        assert np.nanmedian(pyin(shorter) / before) == pytest.approx(1, abs=0.02), speaker
        assert ratios(sound, shorter)[1] == pytest.approx(1.2, rel=0.05), speaker
        slower = changed(sound, tempo=0.8)
        assert ratios(sound, slower) == pytest.approx((1, 1), abs=0.04), speaker
        assert rms(slower) == pytest.approx(rms(sound), rel=0.01), speaker


def test_real_women_become_children(shared_data):
    found = []
    for _, sound in list(speech(shared_data, 6))[::2]:
        child = changed(sound, pitch=1.45, formants=1.25)
        found.append(ratios(sound, child))
        assert np.abs(child).max() <= 1
        assert np.isfinite(child).all()
    np.testing.assert_allclose(np.median(found, axis=0), (1.45, 1.25), rtol=0.05)
    np.testing.assert_allclose(found, [(1.45, 1.25)] * 3, rtol=0.1)


def test_change_for_reaches_its_target():
    sound = tube(200, 14.5)
    change = change_for(measure_voice(sound, RATE), 260, 12.5, 0.8, -6, 8)
    result = change_voice(sound, RATE, change, np.random.default_rng(0))
    measured = measure_voice(result, RATE)
    assert measured.f0_hz == pytest.approx(260, rel=0.03)
    assert measured.tract_cm == pytest.approx(12.5, rel=0.05)
    assert len(result) == len(sound) / 0.8
    assert rms(result) == pytest.approx(rms(sound) / 2, rel=0.01)


def test_age_shakes_and_breathes_only_beyond_sixty():
    source = VoiceMeasures(120, 17, -6)
    ages = (8, 40, 60, 65, 70, 80, 85)
    changes = [change_for(source, 120, 17, 1, 0, age) for age in ages]
    assert changes[:3] == [VoiceChange(tremor_hz=7.0)] * 3
    assert all(a.tremor < b.tremor and a.breath < b.breath for a, b in itertools.pairwise(changes[2:]))
    assert changes[4].tremor == pytest.approx(0.012)
    assert (changes[6].tremor, changes[6].tremor_hz, changes[6].breath) == pytest.approx((0.03, 4.0, 0.2))


@pytest.mark.parametrize(
    "fields", [{"pitch": 0.3}, {"pitch": 3.1}, {"formants": 0.5}, {"tempo": 2.1}, {"breath": -1}, {"pitch": np.nan}]
)
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(UsageError, match="between"):
        VoiceChange(**fields)


def test_unusable_sound_is_refused():
    with pytest.raises(AudioTooShort):
        changed(np.zeros(1000, dtype=np.float32), pitch=1.2)
    for bad in (np.zeros((2, RATE), np.float32), np.full(RATE, np.nan, np.float32), np.full(RATE, 1.5, np.float32)):
        with pytest.raises(AudioError, match="expected"):
            changed(bad, pitch=1.2)


@pytest.mark.parametrize("pitch", [0.4, 3.0])
@pytest.mark.parametrize("tempo", [0.5, 2.0])
def test_the_corners_of_the_range(pitch, tempo):
    for sound in (tube(120, 17, 0.2), tube(120, 17, 1.0)):
        result = changed(sound, pitch=pitch, tempo=tempo, formants=1.7 if pitch > 1 else 0.6)
        assert len(result) == round(len(sound) / tempo)
        assert np.isfinite(result).all()
        assert rms(result) == pytest.approx(rms(sound), rel=0.01)


def test_silence_stays_silent():
    result = changed(np.zeros(RATE, dtype=np.float32), pitch=0.8, formants=1.1, tempo=0.9, tremor=0.02, breath=0.1)
    assert result.shape == (round(RATE / 0.9),)
    assert np.abs(result).max() < 1e-6
