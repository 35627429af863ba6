"""Recordings: exact parts, flags, and where somebody speaks."""

import io
import sys

import numpy as np
import pytest
import soundfile
import torch

from s2f.errors import AssetMissing, AudioError, AudioTooShort, SilentAudio
from s2f.prepare.media.audio import SpeechFinder, read_sound
from s2f.prepare.sources.found import VoiceSource
from tests import CHECKOUT, programs
from tests.s2f.prepare.material import RATE, film, tone, write_tone

SPOKEN = CHECKOUT / "examples" / "voice.wav"


def samples_of(sound):
    samples, rate = soundfile.read(io.BytesIO(sound.flac), dtype="int16")
    assert samples.ndim == 1
    return samples, rate


@pytest.fixture(scope="module")
def finder():
    pytest.importorskip("silero_vad")
    return SpeechFinder()


@pytest.fixture(scope="module")
def spoken():
    """Speech at 16 kHz, without the pauses at its ends."""
    from s2f.audio import load

    return load(SPOKEN).waveform[1000:108000]


def test_a_recording_is_written_without_loss(tmp_path):
    steps = np.random.default_rng(0).integers(-9000, 9000, 12345).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", steps, RATE)
    sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), RATE, None)
    samples, rate = samples_of(sound)
    np.testing.assert_array_equal(samples, steps)
    assert rate == RATE
    assert (sound.start_s, sound.duration_s, sound.flags, sound.speech_s) == (0.0, 12345 / RATE, (), None)
    assert read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), RATE, None).flac == sound.flac


def test_a_part_is_cut_to_the_sample(tmp_path):
    steps = np.random.default_rng(0).integers(-9000, 9000, 3 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", steps, RATE)
    sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav", start_s=0.7, end_s=2.3), RATE, None)
    np.testing.assert_array_equal(samples_of(sound)[0], steps[11200:36800])
    assert sound.duration_s == 1.6
    beyond = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav", start_s=2.2, end_s=9.0), RATE, None)
    np.testing.assert_array_equal(samples_of(beyond)[0], steps[35200:])
    assert beyond.duration_s == 0.8


def test_the_duration_is_that_of_the_samples_at_the_new_rate(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.2345, rate=44100), 44100)
    for rate in (8000, 16000, 22050):
        sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), rate, None)
        samples, written = samples_of(sound)
        assert written == rate
        assert round(sound.duration_s * rate) == len(samples)
        assert sound.duration_s == pytest.approx(1.2345, abs=1e-4)


def test_a_film_without_sound(tmp_path):
    (tmp_path / "a.mp4").write_bytes(film(1.0))
    with pytest.raises(AudioError, match="is not audio or is damaged"):
        read_sound(tmp_path / "a.mp4", VoiceSource("p", "a.mp4"), RATE, None)


def test_sound_of_a_film(tmp_path):
    (tmp_path / "a.mov").write_bytes(film(1.0, "mov", sound_s=2.0))
    sound = read_sound(tmp_path / "a.mov", VoiceSource("p", "a.mov"), RATE, None)
    assert sound.duration_s == 2.0
    np.testing.assert_allclose(samples_of(sound)[0] / 2**15, tone(2.0), atol=1e-3)


def test_flags_are_about_the_part(tmp_path):
    clipped = np.clip(tone(2, level=2.0), -1, 1)
    soundfile.write(tmp_path / "a.flac", np.concatenate([tone(2), clipped]), RATE)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(data[: round(len(data) * 0.8)])

    def flags(name, **part):
        return read_sound(tmp_path / name, VoiceSource("p", name, **part), RATE, None).flags

    assert flags("a.flac", end_s=2.0) == ()
    assert flags("a.flac", start_s=2.0) == ("clipped",)
    assert flags("b.flac") == ("damaged", "clipped")


def test_what_cannot_be_used(tmp_path):
    write_tone(tmp_path / "short.wav", 0.49)
    write_tone(tmp_path / "silent.wav", 2.0, level=1e-5)
    write_tone(tmp_path / "fine.wav", 2.0)
    for name, part, error in (
        ("short.wav", {}, AudioTooShort),
        ("silent.wav", {}, SilentAudio),
        ("fine.wav", {"start_s": 1.6}, AudioTooShort),
        ("fine.wav", {"start_s": 5.0}, AudioTooShort),
        ("none.wav", {}, FileNotFoundError),
    ):
        with pytest.raises(error):
            read_sound(tmp_path / name, VoiceSource("p", name, **part), RATE, None)


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_the_part_to_use_is_where_somebody_speaks(finder, spoken, tmp_path, rate):
    quiet = np.random.default_rng(0).normal(0, 1e-4, 3 * RATE)
    soundfile.write(tmp_path / "a.wav", np.concatenate([quiet[: 2 * RATE], spoken, quiet]), RATE)
    sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), rate, finder)
    samples, _ = samples_of(sound)
    assert len(samples) == pytest.approx((5 + len(spoken) / RATE) * rate, abs=1)  # the file stays whole
    assert sound.start_s == pytest.approx(2.0, abs=0.15)
    assert sound.start_s + sound.duration_s == pytest.approx(2.0 + len(spoken) / RATE, abs=0.15)
    assert 0.8 * sound.duration_s < sound.speech_s <= sound.duration_s
    assert sound.flags == ()


def test_pauses_are_within_the_part_but_are_no_speech(finder, spoken, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.concatenate([spoken, np.zeros(4 * RATE), spoken]), RATE)
    sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), RATE, finder)
    assert sound.duration_s - sound.speech_s > 3.8


def test_no_speech_and_little_speech(finder, spoken, tmp_path):
    write_tone(tmp_path / "tone.wav", 3.0)
    with pytest.raises(AudioError, match="a recording in which somebody speaks"):
        read_sound(tmp_path / "tone.wav", VoiceSource("p", "tone.wav"), RATE, finder)
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(RATE), spoken[8000:20000], np.zeros(RATE)]), RATE)
    sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), RATE, finder)
    assert sound.flags == ("little_speech",)
    assert 0.3 < sound.speech_s < 1.0


def test_no_part_is_shorter_than_any_tool_takes(finder, tmp_path, monkeypatch):
    write_tone(tmp_path / "a.wav", 2.0)
    for found, start_s in ((0.0, 0.0), (0.9, 0.75), (1.8, 1.5)):
        monkeypatch.setattr(finder, "spans", lambda *_, at=found: [(at, at + 0.2)])
        sound = read_sound(tmp_path / "a.wav", VoiceSource("p", "a.wav"), RATE, finder)
        assert (sound.start_s, sound.duration_s, sound.speech_s) == (pytest.approx(start_s), 0.5, 0.2)


def test_finding_speech_twice_gives_the_same(finder, spoken):
    first = finder.spans(spoken, RATE)
    finder.spans(spoken[::-1].copy(), RATE)  # whatever it heard before must not matter
    assert finder.spans(spoken, RATE) == first
    assert SpeechFinder().spans(spoken, RATE) == first


def test_the_model_is_loaded_quietly_and_leaves_torchs_threads_alone():
    pytest.importorskip("silero_vad")
    script = "import warnings; warnings.simplefilter('always', FutureWarning)\n"
    script += "import torch; torch.set_num_threads(2)\nfrom s2f.prepare.media.audio import SpeechFinder\n"
    script += "import sys; assert 'silero_vad' not in sys.modules\nSpeechFinder()\nassert torch.get_num_threads() == 2"
    done = programs.run(["-c", script])
    assert done.returncode == 0, done.stderr
    assert "silero" not in done.stderr
    assert "torch.jit" not in done.stderr


def test_without_the_package_the_extra_is_named(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(AssetMissing, match=r"s2f\[vad\]"):
        SpeechFinder()
    assert torch.get_num_threads() == before
