"""The one front door for sound: any file, bytes or array in, a checked mono clip out."""

import importlib
import math
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import soundfile
import soxr

from s2f.errors import AudioError, AudioMissing, AudioTooShort, SilentAudio

AudioSource: TypeAlias = str | Path | bytes | BinaryIO | tuple[np.ndarray, int]
Notes: TypeAlias = dict[str, str]  # sentence by kind

MIN_SECONDS = 0.5
SILENCE_PEAK = 1e-4
SILENCE_RMS = 1e-3  # -60 dB below full scale
PEAK_TOLERANCE = 1e-3  # above full scale by less than this is rounding
FULL_SCALE = 0.999
FLAT_STEP = 2.0**-15  # one step of 16 bit sound
CLIPPED_SHARE = 1e-3
WARM_UP_SECONDS = 1.0  # decoded before a part: an mp3 frame needs its predecessors
MARGIN_SECONDS = 0.1  # read beyond the cut, so that the resampling filter sees real sound there
PADDING_SECONDS = 0.2  # codecs pad the end to whole blocks by less than this
MAX_CHANNELS = 32
FLAGS = ("damaged", "clipped")
STEPS_16_BIT = 2**15  # from 0 to full scale
WHOLE = (0.0, math.inf)


@dataclass(frozen=True)
class Clip:
    """A decoded clip.

    Attributes:
        waveform: (S,) float32, mono, in [-1, 1].
        sample_rate_hz: samples per second of `waveform`.
        source_seconds: duration of the source in seconds, before it was repeated or cut.
        warnings: one sentence for everything that was changed or looks doubtful.
        flags: what is doubtful about the recording itself: "damaged" (it ends before its header says so), "clipped".
    """

    waveform: np.ndarray
    sample_rate_hz: int
    source_seconds: float
    warnings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Decoded:
    samples: np.ndarray  # (S, C) float, the beginning of the wanted part
    sample_rate_hz: int
    promised_s: float  # of the source: what the header says, or what was decoded if it says nothing


def load(
    source: AudioSource,
    sample_rate_hz: int = 16000,
    seconds: float | None = None,
    part: tuple[float, float] = WHOLE,
) -> Clip:
    """Decode, check, mix to mono, resample and fit one clip.

    soundfile decodes first, PyAV (extra `codecs`) what soundfile cannot: m4a, webm and others. With `seconds`
    only the beginning of a long file is decoded. Whatever changes the sound is said in `Clip.warnings`.

    Args:
        source: path, encoded bytes, binary file object, or (array, rate in Hz); an array is (S,) or (S, C),
            float in [-1, 1] or an integer type, which is scaled by its own range.
        sample_rate_hz: wanted sample rate.
        seconds: wanted duration; shorter clips are repeated, longer ones cut. None keeps the duration.
        part: start and end, in seconds, of what is used of the source; the rest counts as absent.

    Returns:
        The clip, with exactly `round(seconds * sample_rate_hz)` samples if `seconds` is given.

    Raises:
        AudioMissing: the path does not exist.
        AudioTooShort: the source lasts less than 0.5 s.
        SilentAudio: the used part has a peak below 1e-4 or an rms below -60 dB of full scale.
        AudioError: not audio, samples that are not finite, or unusable arguments.
    """
    if sample_rate_hz <= 0 or (seconds is not None and not 0 < seconds < math.inf):
        got = f"sample_rate_hz={sample_rate_hz}, seconds={seconds}"
        raise AudioError("a positive sample rate and duration", got, "pass for example 16000 and 6.0")
    if not 0 <= part[0] < part[1]:
        raise AudioError("a part that starts at 0 s or later and ends after its start", f"{part}", "correct the part")
    wanted_s = math.inf if seconds is None else seconds + MARGIN_SECONDS
    decoded = _decoded_part(source, part, wanted_s)
    source_seconds, damage = _true_duration(decoded, wanted_s)
    if source_seconds < MIN_SECONDS:
        fix = "record a longer clip, best 6 s or more"
        raise AudioTooShort(f"a clip of at least {MIN_SECONDS} s", f"{source_seconds:.2f} s", fix)
    mono, notes = _mono(decoded.samples, damage)
    if decoded.sample_rate_hz != sample_rate_hz:
        notes["resampled"] = f"resampled from {decoded.sample_rate_hz} Hz to {sample_rate_hz} Hz"
        mono = soxr.resample(mono, decoded.sample_rate_hz, sample_rate_hz)
    mono = np.clip(mono, -1.0, 1.0).astype(np.float32)  # the filter may overshoot full scale
    if seconds is not None:
        mono, note = _fit(mono, round(seconds * sample_rate_hz), source_seconds, seconds)
        notes |= note
    _require_sound(mono)
    flags = tuple(name for name in FLAGS if name in notes)
    return Clip(mono, sample_rate_hz, source_seconds, tuple(notes.values()), flags)


def flac_bytes(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """16 bit FLAC of a waveform, without loss if it came from 16 bit sound.

    Args:
        waveform: (S,) float in [-1, 1].
        sample_rate_hz: its rate.

    Returns:
        The file.

    Raises:
        AudioError: what `load` would refuse when the file is read.
    """
    steps = np.clip(np.round(waveform * STEPS_16_BIT), -STEPS_16_BIT, STEPS_16_BIT - 1).astype(np.int16)
    load((steps.astype(np.float32) / STEPS_16_BIT, sample_rate_hz), sample_rate_hz)
    content = BytesIO()
    soundfile.write(content, steps, sample_rate_hz, "PCM_16", format="FLAC")
    return content.getvalue()


def _mono(samples: np.ndarray, notes: Notes) -> tuple[np.ndarray, Notes]:
    """Check (S, C) samples and mix them to (S,), adding notes on what was changed or looks doubtful."""
    if not np.isfinite(samples).all():
        count = int((~np.isfinite(samples)).sum())
        raise AudioError("finite samples", f"{count} samples that are NaN or infinite", "export the recording again")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 1.0 + PEAK_TOLERANCE:
        notes["scaled"] = f"scaled down: the samples reach {peak:.4g} times full scale"
        samples = samples / peak
    clipped = _clipped_share(samples)
    if clipped > CLIPPED_SHARE:
        notes["clipped"] = f"clipped: {100 * clipped:.1f} % of the samples are stuck at full scale; record more quietly"
    if samples.shape[1] > 1:
        notes["mixed"] = f"mixed {samples.shape[1]} channels to mono"
    return samples.mean(axis=1), notes


def _clipped_share(samples: np.ndarray) -> float:
    """Share of samples that stay at full scale from one sample to the next, which a loud tone does not."""
    loud = np.abs(samples) >= FULL_SCALE
    if not loud.any():
        return 0.0
    stuck = loud[1:] & loud[:-1] & (np.abs(np.diff(samples, axis=0)) <= FLAT_STEP)
    return float(stuck.mean())


def _fit(mono: np.ndarray, length: int, source_seconds: float, seconds: float) -> tuple[np.ndarray, Notes]:
    if mono.size == length:
        return mono, {}
    if mono.size > length:
        return mono[:length].copy(), {"cut": f"cut: the first {seconds:g} s of {source_seconds:.2f} s are used"}
    note = f"repeated: the clip lasts {source_seconds:.2f} s and {seconds:g} s are needed"
    return np.resize(mono, length), {"repeated": note}


def _true_duration(decoded: _Decoded, wanted_s: float) -> tuple[float, Notes]:
    """Duration of the source, which is what was decoded if the file ended before its header says so."""
    decoded_s = len(decoded.samples) / decoded.sample_rate_hz
    if min(wanted_s, decoded.promised_s) - decoded_s <= PADDING_SECONDS:
        return max(decoded.promised_s, decoded_s), {}
    note = f"damaged: the file promises {decoded.promised_s:.2f} s and ends after {decoded_s:.2f} s"
    return decoded_s, {"damaged": note}


def _require_sound(mono: np.ndarray) -> None:
    centred = mono - mono.mean() if mono.size else np.zeros(1)
    peak, rms = float(np.abs(centred).max()), float(np.sqrt(np.mean(np.square(centred, dtype=np.float64))))
    if peak < SILENCE_PEAK or rms < SILENCE_RMS:
        got = f"silence (peak {peak:.1e}, rms {rms:.1e} of full scale)"
        raise SilentAudio("a clip with speech in it", got, "check the microphone and cut leading silence")


def _decoded_part(source: AudioSource, part: tuple[float, float], seconds: float) -> _Decoded:
    """Decode the first `seconds` of a part; what the header promises is counted within the part too."""
    start_s, end_s = part
    decoded = _decode(source, start_s, min(seconds, end_s - start_s))
    promised_s = min(decoded.promised_s, end_s) - start_s
    if math.isfinite(end_s):  # decoders work in whole blocks
        decoded = replace(decoded, samples=decoded.samples[: round((end_s - start_s) * decoded.sample_rate_hz)])
    return replace(decoded, promised_s=promised_s)


def _decode(source: AudioSource, start_s: float, seconds: float) -> _Decoded:
    """Decode at least `seconds` from `start_s` on of any source."""
    if isinstance(source, tuple):
        return _from_array(source, start_s, seconds)
    if isinstance(source, bytes):
        return _from_stream(BytesIO(source), "these bytes", start_s, seconds)
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            raise AudioError("an audio file", f"the folder {path}", "name the files in it one by one")
        try:
            with path.open("rb") as stream:
                return _from_stream(stream, str(path), start_s, seconds)
        except FileNotFoundError as error:
            raise AudioMissing("an existing audio file", f"no file at {path}", "check the spelling") from error
        except OSError as error:
            reason = error.strerror or "an unreadable file"
            raise AudioError("a readable audio file", f"{path}: {reason}", "check its permissions") from error
    data = source.read() if hasattr(source, "read") else None
    if not isinstance(data, bytes):
        fix = "open files in binary mode and pass arrays as (array, rate)"
        raise AudioError("a path, bytes, a binary file or (array, rate)", type(source).__name__, fix)
    return _from_stream(BytesIO(data), "this file", start_s, seconds)


def _from_array(source: tuple[Any, Any], start_s: float, seconds: float) -> _Decoded:
    expected = "(array, rate) with an array (S,) or (S, C) of floats in [-1, 1] or integers, and a positive rate in Hz"
    fix = "put the array first, samples on its first axis and channels on its second"
    if len(source) != 2 or np.ndim(source[1]) != 0:
        raise AudioError(expected, f"a tuple of {', '.join(type(part).__name__ for part in source)}", fix)
    samples, rate = np.asarray(source[0]), int(source[1])
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= MAX_CHANNELS or rate <= 0 or samples.dtype.kind not in "fiu":
        raise AudioError(expected, f"{samples.dtype} of shape {np.shape(source[0])} at {rate} Hz", fix)
    duration = len(samples) / rate
    samples = samples[round(start_s * rate) :]
    if seconds < duration:
        samples = samples[: math.ceil(seconds * rate)]
    if samples.dtype.kind in "iu":
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        offset = half if samples.dtype.kind == "u" else 0.0
        return _Decoded((samples - offset) / half, rate, duration)
    return _Decoded(samples.astype(np.float32, copy=False), rate, duration)


def _from_stream(stream: BinaryIO, name: str, start_s: float, seconds: float) -> _Decoded:
    """Decode a seekable stream, soundfile first and PyAV second."""
    if not stream.read(1):
        raise AudioError("an audio file", f"{name} with zero bytes", "record or copy the clip again")
    stream.seek(0)
    try:
        with soundfile.SoundFile(stream) as file:
            first = min(round(start_s * file.samplerate), file.frames)
            early = min(first, round(WARM_UP_SECONDS * file.samplerate))
            if first:
                file.seek(first - early)
            frames = -1 if math.isinf(seconds) else early + math.ceil(seconds * file.samplerate)
            samples = file.read(frames, dtype="float32", always_2d=True)[early:]
            return _Decoded(samples, file.samplerate, file.frames / file.samplerate)
    except (soundfile.SoundFileError, TypeError):
        stream.seek(0)
    expected = "an audio file such as wav, flac, mp3, ogg, m4a or webm"
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        got = f"{name}, which soundfile cannot decode"
        raise AudioError(expected, got, "for m4a, webm and others install s2f[codecs]") from error
    try:
        return _from_pyav(av, stream, start_s, seconds)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        got = f"{name}, which is not audio or is damaged"
        raise AudioError(expected, got, "play it in a media player and export it again, best as wav") from error


def _from_pyav(av: ModuleType, stream: BinaryIO, start_s: float, seconds: float) -> _Decoded:
    """Decode with FFmpeg's libraries; playlists may not open other files or addresses."""
    with av.open(stream, metadata_errors="ignore", container_options={"protocol_whitelist": "none"}) as container:
        track = container.streams.audio[0]
        rate = track.codec_context.sample_rate
        track_s = float(track.duration * track.time_base) if track.duration else 0.0
        header_s = track_s or (container.duration or 0) / 1e6
        planar = av.AudioResampler(format="fltp", layout=track.codec_context.layout.name, rate=rate)
        blocks: list[np.ndarray] = []
        first, last = round(start_s * rate), (start_s + seconds) * rate
        dropped, count, end_s = 0, 0, 0.0
        for packet in container.demux(track):
            if count < last:
                new = _planes(av, planar, packet)
                blocks += new
                count += sum(block.shape[1] for block in new)
                while len(blocks) > 1 and dropped + blocks[0].shape[1] <= first:
                    dropped += blocks.pop(0).shape[1]
            elif header_s:
                break
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if not blocks:
        raise ValueError("no samples")
    ending = count < last
    if 0 < count / rate - track_s < PADDING_SECONDS:
        count = round(track_s * rate)
    samples = np.concatenate(blocks, axis=1).T[max(0, first - dropped) : max(0, count - dropped)]
    complete = ending and (header_s or end_s) - count / rate < PADDING_SECONDS
    return _Decoded(samples, rate, count / rate if complete else header_s or end_s)


def _planes(av: ModuleType, planar: Any, packet: Any) -> list[np.ndarray]:
    """Decode one packet to (C, S) float blocks, none if it is damaged; the empty last packet flushes the decoder."""
    try:
        return [block.to_ndarray() for frame in packet.decode() for block in planar.resample(frame)]
    except av.error.InvalidDataError:
        return []
