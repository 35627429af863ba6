"""One recording of somebody's dataset: a mono FLAC file and what is known about it."""

from __future__ import annotations

import importlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Float32

from s2f.audio import MIN_SECONDS, flac_bytes, load
from s2f.errors import AssetMissing, AudioError
from s2f.prepare.sources.found import VoiceSource

SPEECH_HZ = 16000
LITTLE_SPEECH_S = 1.0


@dataclass(frozen=True)
class Sound:
    """A written recording.

    Attributes:
        flac: the file, mono, 16 bit.
        start_s: the part to use begins here; 0 without voice activity.
        duration_s: and lasts this long; exactly a whole number of samples.
        flags: clipped, damaged, little_speech.
        speech_s: how long somebody speaks; None without voice activity.
    """

    flac: bytes
    start_s: float
    duration_s: float
    flags: tuple[str, ...] = ()
    speech_s: float | None = None


class SpeechFinder:
    """Silero's voice activity detector, from the model file within its package.

    Attributes:
        path: that file.

    Raises:
        AssetMissing: the package silero-vad is not installed.
    """

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch.jit.load
                self._silero: Any = importlib.import_module("silero_vad")
                self._model = self._silero.load_silero_vad()
        except ImportError as error:
            raise AssetMissing("the package silero-vad", "none", "install the extra s2f[vad]") from error
        finally:
            torch.set_num_threads(threads)  # the package sets it to one for the whole process
        self.path = Path(str(self._silero.__file__)).parent / "data" / "silero_vad.jit"

    def spans(self, waveform: Float32[np.ndarray, " S"], sample_rate_hz: int) -> list[tuple[float, float]]:
        """Find where somebody speaks.

        Args:
            waveform: (S,) mono in [-1, 1].
            sample_rate_hz: its rate.

        Returns:
            Start and end of every stretch of speech in seconds, in order.
        """
        if sample_rate_hz != SPEECH_HZ:
            waveform = soxr.resample(waveform, sample_rate_hz, SPEECH_HZ)
        found = self._silero.get_speech_timestamps(torch.from_numpy(waveform), self._model)
        return [(span["start"] / SPEECH_HZ, span["end"] / SPEECH_HZ) for span in found]


def read_sound(path: Path, source: VoiceSource, sample_rate_hz: int, finder: SpeechFinder | None) -> Sound:
    """Decode a recording, or its part `start_s` to `end_s`, and encode it as FLAC.

    Args:
        path: the file.
        source: which part of it.
        sample_rate_hz: rate of the FLAC file.
        finder: limits the part to use to where somebody speaks; the FLAC file stays whole. None: no search.

    Returns:
        The file and the facts.

    Raises:
        AudioError: see `s2f.audio.load`, or nobody speaks.
    """
    part = (source.start_s, math.inf if source.end_s is None else source.end_s)
    clip = load(path, sample_rate_hz, part=part)
    flac, seconds = flac_bytes(clip.waveform, sample_rate_hz), len(clip.waveform) / sample_rate_hz
    if finder is None:
        return Sound(flac, 0.0, seconds, clip.flags)
    spans = finder.spans(clip.waveform, sample_rate_hz)
    if not spans:
        fix = "prepare without --voice_activity if somebody does speak"
        raise AudioError("a recording in which somebody speaks", "no speech that silero-vad finds", fix)
    speech_s = sum(end - start for start, end in spans)
    start_s, end_s = _at_least_min_seconds(spans[0][0], min(spans[-1][1], seconds), seconds)
    first, last = round(start_s * sample_rate_hz), round(end_s * sample_rate_hz)
    little = ("little_speech",) if speech_s < LITTLE_SPEECH_S else ()
    used_s = (last - first) / sample_rate_hz
    return Sound(flac, first / sample_rate_hz, used_s, (*clip.flags, *little), round(speech_s, 3))


def _at_least_min_seconds(start_s: float, end_s: float, seconds: float) -> tuple[float, float]:
    """Widen a span within the recording until no tool refuses it as too short."""
    middle, half = (start_s + end_s) / 2, max(end_s - start_s, MIN_SECONDS) / 2
    start_s = min(max(0.0, middle - half), seconds - 2 * half)
    return start_s, start_s + 2 * half
