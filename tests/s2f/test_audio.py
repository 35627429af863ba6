"""Sound through the front door: decoding, mixing, resampling, fitting, and every refusal."""

import io
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile

from s2f import audio
from s2f.errors import AudioError, AudioMissing, AudioTooShort, SilentAudio

RATE = 16000


def tone(seconds, rate=RATE, hz=440.0, level=0.5, phase=0.0):
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + phase)


def melody(seconds, rate):
    """A tone whose pitch rises, so that a shifted copy does not correlate with it."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (300 * t + 60 * t**2))).astype(np.float32)


def encoded(samples, rate, file_format, subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=file_format, subtype=subtype)
    return stream.getvalue()


def encoded_by_av(samples, rate, container_format, codec, codec_rate=None, options=None):
    av = pytest.importorskip("av")
    stream = io.BytesIO()
    codec_rate = codec_rate or rate
    with av.open(stream, "w", format=container_format, options=options or {}) as container:
        track = container.add_stream(codec, rate=codec_rate, layout="mono")
        fitted = av.AudioResampler(format=track.codec_context.format.name, layout="mono", rate=codec_rate)
        for start in range(0, len(samples), rate):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + rate].astype(np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = rate, start
            for block in fitted.resample(frame):
                container.mux(track.encode(block))
        for block in fitted.resample(None):
            container.mux(track.encode(block))
        container.mux(track.encode(None))
    return stream.getvalue()


def dominant_hz(waveform, rate):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * rate / len(waveform)


def aligned_correlation(a, b, rate, slack_s=0.1):
    """Best correlation over shifts of at most `slack_s`; by FFT, so independent of the loader."""
    size = 2 * max(len(a), len(b))
    cross = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    lags = np.r_[0 : int(slack_s * rate), -int(slack_s * rate) : 0]
    shift = lags[np.argmax(cross[lags])]
    a, b = (a[shift:], b) if shift >= 0 else (a, b[-shift:])
    n = min(len(a), len(b))
    return np.corrcoef(a[:n], b[:n])[0, 1]


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_plain_clip_is_returned_untouched():
    samples = tone(2).astype(np.float32)
    clip = audio.load((samples, RATE))
    np.testing.assert_array_equal(clip.waveform, samples)
    assert clip.waveform.dtype == np.float32
    assert (clip.sample_rate_hz, clip.source_seconds, clip.warnings) == (RATE, 2.0, ())


def test_path_bytes_and_file_object_agree(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone(1), RATE, "WAV", "PCM_16"))
    expected = soundfile.read(path, dtype="float32")[0]
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())]
    with path.open("rb") as stream:
        sources.append(stream)
        for source in sources:
            np.testing.assert_array_equal(audio.load(source).waveform, expected)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 16384, -32768], np.int16, [0, 0.5, -1]),
        ([0, 2**30, -(2**31)], np.int32, [0, 0.5, -1]),
        ([128, 192, 0], np.uint8, [0, 0.5, -1]),
        ([0, 64, -128], np.int8, [0, 0.5, -1]),
        ([0, 0.5, -1], np.float64, [0, 0.5, -1]),
    ],
)
def test_arrays_are_scaled_by_their_type(values, dtype, expected):
    samples = np.tile(np.array(values, dtype), RATE // 3)
    np.testing.assert_array_equal(audio.load((samples, RATE)).waveform, np.tile(np.float32(expected), RATE // 3))


def test_channels_are_averaged():
    left, right = tone(1, hz=300), tone(1, hz=500, level=0.25)
    clip = audio.load((np.stack([left, right], axis=1), RATE))
    np.testing.assert_allclose(clip.waveform, (left + right) / 2, atol=1e-7)
    assert clip.warnings == ("mixed 2 channels to mono",)


def test_resampling_keeps_pitch_level_and_length():
    for rate in (8000, 11025, 22050, 44100, 48000):
        clip = audio.load((tone(2, rate), rate))
        assert len(clip.waveform) == 2 * RATE
        assert dominant_hz(clip.waveform, RATE) == pytest.approx(440, abs=0.5)
        middle = slice(RATE // 2, -RATE // 2)  # away from the edges the result is the tone sampled at the new rate
        np.testing.assert_allclose(clip.waveform[middle], tone(2)[middle], atol=2e-3)
        assert clip.warnings == (f"resampled from {rate} Hz to 16000 Hz",)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    clip = audio.load((tone(2, 48000, 440) + tone(2, 48000, 15000, 0.4), 48000))  # 15 kHz would alias to 1 kHz
    spectrum = np.abs(np.fft.rfft(clip.waveform * np.hanning(len(clip.waveform))))
    assert spectrum[2000] < 1e-3 * spectrum[880]


def test_short_clip_is_repeated_exactly():
    samples = tone(2.5).astype(np.float32)
    clip = audio.load((samples, RATE), seconds=6)
    np.testing.assert_array_equal(clip.waveform, np.concatenate([samples, samples, samples[:RATE]]))
    assert clip.source_seconds == 2.5
    assert clip.warnings == ("repeated: the clip lasts 2.50 s and 6 s are needed",)


def test_long_clip_is_cut_exactly():
    samples = melody(9, RATE)
    clip = audio.load((samples, RATE), seconds=6)
    np.testing.assert_array_equal(clip.waveform, samples[: 6 * RATE])
    assert clip.source_seconds == 9.0
    assert clip.warnings == ("cut: the first 6 s of 9.00 s are used",)


def test_cutting_first_changes_nothing_when_resampling():
    samples = melody(9, 44100)
    whole = audio.load((samples, 44100))
    part = audio.load((samples, 44100), seconds=4)
    np.testing.assert_allclose(part.waveform, whole.waveform[: 4 * RATE], atol=1e-6)


def test_exact_duration_gives_no_warning():
    assert audio.load((tone(6), RATE), seconds=6).warnings == ()


def test_levels_beyond_full_scale_are_scaled_and_said():
    clip = audio.load((tone(1, level=2.0), RATE))
    np.testing.assert_allclose(clip.waveform, tone(1, level=1.0), atol=1e-6)
    assert clip.warnings == ("scaled down: the samples reach 2 times full scale",)


def test_rounding_beyond_full_scale_is_ignored():
    clip = audio.load((tone(1, level=1.0005), RATE))
    assert clip.warnings == ()
    assert np.abs(clip.waveform).max() == 1.0


def test_clipping_is_said_and_a_loud_tone_is_not():
    clipped = np.clip(tone(1, level=1.5), -1, 1)
    assert [note.split(":")[0] for note in audio.load((clipped, RATE)).warnings] == ["clipped"]
    assert audio.load((tone(1, hz=100, level=1.0), RATE)).warnings == ()


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "m4a", "webm"])
def test_every_format_gives_the_same_sound(name, rate):
    samples = melody(3, rate)
    if name == "m4a":
        data = encoded_by_av(samples, rate, "ipod", "aac")
    elif name == "webm":
        data = encoded_by_av(samples, rate, "webm", "libopus", 48000)
    else:
        data = encoded(samples, rate, name.upper())
    clip = audio.load(data)
    assert len(clip.waveform) == pytest.approx(3 * RATE, abs=0.02 * RATE)
    assert clip.source_seconds == pytest.approx(3, abs=0.02)
    assert aligned_correlation(clip.waveform, melody(3, RATE), RATE) > 0.99


def test_8_khz_stereo_float_file():
    stereo = np.stack([tone(4, 8000), tone(4, 8000)], axis=1)
    clip = audio.load(encoded(stereo, 8000, "WAV", "FLOAT"), seconds=6)
    assert clip.waveform.shape == (6 * RATE,)
    assert dominant_hz(clip.waveform[: 4 * RATE], RATE) == pytest.approx(440, abs=0.5)
    assert clip.warnings == (
        "mixed 2 channels to mono",
        "resampled from 8000 Hz to 16000 Hz",
        "repeated: the clip lasts 4.00 s and 6 s are needed",
    )


def test_48_khz_24_bit_file():
    clip = audio.load(encoded(tone(6, 48000), 48000, "WAV", "PCM_24"), seconds=6)
    np.testing.assert_allclose(clip.waveform[RATE:-RATE], tone(6)[RATE:-RATE], atol=1e-3)


def peak_memory(function):
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_ten_minutes_are_not_decoded_for_six_seconds(tmp_path, file_format):
    path = tmp_path / "long"
    soundfile.write(path, np.tile(melody(60, RATE), 10), RATE, format=file_format, subtype="PCM_16")
    clip, peak = peak_memory(lambda: audio.load(path, seconds=6))
    assert clip.source_seconds == 600.0
    assert peak < 4e6  # all of it would be 38 MB as float32
    np.testing.assert_allclose(clip.waveform, melody(60, RATE)[: 6 * RATE], atol=1e-4)


@pytest.mark.parametrize("header", [True, False])
def test_pyav_stops_early_and_knows_the_duration(tmp_path, header, monkeypatch):
    """A browser's microphone writes webm without a duration; the packets still tell it."""
    options = {} if header else {"live": "1"}
    path = tmp_path / "long.webm"
    path.write_bytes(encoded_by_av(np.tile(melody(60, RATE), 2), RATE, "webm", "libopus", 48000, options))
    decoded = []
    planes = audio._planes
    monkeypatch.setattr(audio, "_planes", lambda *args: decoded.append(1) or planes(*args))
    clip = audio.load(path, seconds=6)
    assert clip.source_seconds == pytest.approx(120, abs=0.05)
    assert clip.waveform.shape == (6 * RATE,)
    assert 250 < len(decoded) < 350  # 20 ms packets: 305 of 6000 were decoded


# --- what is refused --------------------------------------------------------------------------------------------------


def with_one(value):
    samples = tone(1).astype(np.float32)
    samples[1234] = value
    return samples


BAD = {
    "not audio": (b"This is a letter, not a recording. " * 99, AudioError, "is not audio or is damaged"),
    "zero bytes": (b"", AudioError, "zero bytes"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), AudioError, "is not audio or is damaged"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.wav\n", AudioError, "is not audio"),
    "list of files": (f"ffconcat version 1.0\nfile {__file__}\n".encode(), AudioError, "is not audio"),
    "only a header": (encoded(np.zeros(0), RATE, "WAV"), AudioTooShort, "0.00 s"),
    "0.2 s": (encoded(tone(0.2), RATE, "WAV"), AudioTooShort, "a clip of at least 0.5 s, got 0.20 s"),
    "digital silence": (encoded(np.zeros(RATE), RATE, "WAV"), SilentAudio, "got silence"),
    "very quiet": ((tone(1, level=1e-3), RATE), SilentAudio, "got silence"),
    "constant": ((np.full(RATE, 0.5), RATE), SilentAudio, "got silence"),
    "opposite channels": ((np.stack([tone(1), -tone(1)], axis=1), RATE), SilentAudio, "got silence"),
    "NaN": ((with_one(np.nan), RATE), AudioError, "1 samples that are NaN or infinite"),
    "infinite in a file": (encoded(with_one(np.inf), RATE, "WAV", "FLOAT"), AudioError, "NaN or infinite"),
    "rate first": ((RATE, tone(1)), AudioError, "put the array first"),
    "channels first": ((np.zeros((2, RATE)), RATE), AudioError, "channels on its second"),
    "text array": ((np.array(["a", "b"]), RATE), AudioError, "expected (array, rate)"),
    "no rate": ((tone(1), 0), AudioError, "a positive rate in Hz"),
    "text file object": (io.StringIO("abc"), AudioError, "binary mode"),
    "number": (7, AudioError, "expected a path, bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_sound_is_refused_with_a_sentence(name):
    source, kind, words = BAD[name]
    with pytest.raises(kind) as caught:
        audio.load(source, seconds=6)
    message = str(caught.value)
    assert words in message
    assert message.startswith("expected ")
    assert ", got " in message
    assert "; " in message
    assert "\n" not in message


def test_silence_counts_only_in_the_used_part():
    samples = np.concatenate([np.zeros(6 * RATE), tone(3)])
    with pytest.raises(SilentAudio, match="cut leading silence"):
        audio.load((samples, RATE), seconds=6)
    assert audio.load((samples, RATE), seconds=7).waveform[6 * RATE :].std() > 0.3


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"got no file at .*nothing\.wav"):
        audio.load(tmp_path / "nothing.wav")
    with pytest.raises(AudioMissing):
        audio.load(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="got the folder"):
        audio.load(tmp_path)


def test_unusable_arguments():
    for rate, seconds in ((0, 6), (RATE, 0), (RATE, -1), (RATE, float("nan"))):
        with pytest.raises(AudioError, match="a positive sample rate and duration"):
            audio.load((tone(1), RATE), rate, seconds)


def test_truncated_file_is_used_and_said(tmp_path):
    data = encoded(np.random.default_rng(0).normal(0, 0.1, 10 * RATE), RATE, "FLAC", "PCM_16")
    clip = audio.load(data[: len(data) // 3], seconds=6)
    assert clip.waveform.shape == (6 * RATE,)
    assert clip.source_seconds == pytest.approx(10 / 3, abs=0.3)
    assert clip.warnings[0].startswith("damaged: the file promises 10.00 s and ends after 3.")
    assert any(note.startswith("repeated: ") for note in clip.warnings)


def test_without_pyav_the_extra_is_named(monkeypatch):
    data = encoded_by_av(tone(1), RATE, "ipod", "aac")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"install s2f\[codecs\]"):
        audio.load(data)
    assert len(audio.load(encoded(tone(1), RATE, "MP3")).waveform) >= RATE  # soundfile needs no PyAV


# --- a part, doubts as flags, and writing -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["array", "wav", "flac", "ogg", "mp3", "m4a"])
def test_a_part_is_that_stretch_of_the_whole(name):
    rate = 44100
    samples = melody(5, rate)
    if name == "array":
        source = (samples, rate)
    elif name == "m4a":
        source = encoded_by_av(samples, rate, "ipod", "aac")
    else:
        source = encoded(samples, rate, name.upper())
    whole = audio.load(source, rate).waveform
    part = audio.load(source, rate, part=(1.25, 3.5))
    assert len(part.waveform) == round(2.25 * rate)
    assert part.source_seconds == 2.25
    assert part.warnings == ()
    first = round(1.25 * rate)
    np.testing.assert_allclose(part.waveform, whole[first : first + len(part.waveform)], atol=1e-6)
    to_the_end = audio.load(source, rate, part=(1.25, np.inf))
    np.testing.assert_allclose(to_the_end.waveform, whole[first:], atol=1e-6)
    np.testing.assert_allclose(audio.load(source, rate, part=(0, 99)).waveform, whole, atol=1e-6)


def test_a_part_and_a_duration_count_from_its_start():
    samples = melody(9, RATE)
    clip = audio.load((samples, RATE), seconds=2, part=(3, 8))
    np.testing.assert_array_equal(clip.waveform, samples[3 * RATE : 5 * RATE])
    assert clip.source_seconds == 5.0
    repeated = audio.load((samples, RATE), seconds=2, part=(3, 4)).waveform
    np.testing.assert_array_equal(repeated, np.tile(samples[3 * RATE : 4 * RATE], 2))


def test_the_rest_of_the_source_does_not_count():
    clipped = np.clip(tone(2, level=1.5), -1, 1)
    samples = np.concatenate([np.zeros(2 * RATE), tone(2), clipped])
    assert audio.load((samples, RATE), part=(2, 4)).flags == ()
    assert audio.load((samples, RATE), part=(4, 6)).flags == ("clipped",)
    with pytest.raises(SilentAudio):
        audio.load((samples, RATE), part=(0, 2))
    for part in ((5.7, np.inf), (5.7, 6.5), (9, 12)):
        with pytest.raises(AudioTooShort):
            audio.load((samples, RATE), part=part)


@pytest.mark.parametrize("part", [(-1, 2), (2, 2), (3, 2), (float("nan"), 2), (np.inf, np.inf)])
def test_a_part_that_is_none(part):
    with pytest.raises(AudioError, match="a part that starts at 0 s"):
        audio.load((tone(5), RATE), part=part)


def test_early_parts_of_a_damaged_file_are_sound():
    data = encoded(np.random.default_rng(0).normal(0, 0.1, 10 * RATE), RATE, "FLAC", "PCM_16")[: 2 * 10**5]
    assert audio.load(data).flags == ("damaged",)
    assert audio.load(data, part=(1, 3)).flags == ()
    assert audio.load(data, part=(1, 9)).flags == ("damaged",)


def test_much_before_the_part_is_not_kept():
    """What PyAV decodes before the part is dropped at once: all of it would be 11 MB."""
    data = encoded_by_av(np.tile(melody(60, RATE), 3), RATE, "ipod", "aac")
    clip, peak = peak_memory(lambda: audio.load(data, part=(170, 172)))
    assert clip.source_seconds == 2.0
    assert peak < 4e6


def test_flac_gives_16_bit_sound_back_as_it_was():
    steps = np.random.default_rng(3).integers(-(2**15), 2**15, RATE).astype(np.int16)
    data = audio.flac_bytes(audio.load((steps, RATE)).waveform, RATE)
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], steps)
    assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"
    full = soundfile.read(io.BytesIO(audio.flac_bytes(tone(1, level=1.0), RATE)), dtype="int16")[0]
    assert (full.min(), full.max()) == (-(2**15), 2**15 - 1)
    with pytest.raises(SilentAudio):
        audio.flac_bytes(np.zeros(RATE), RATE)
