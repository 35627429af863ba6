"""Faces drawn from voices in chunks, with a progress bar."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from eval.faces.conditions import degrade_voice
from eval.faces.recordings import Recording
from s2f.reconstruction.pipeline import Speech2FaceOutput, Speech2FacePipeline

CHUNK = 32  # faces drawn between two steps of the progress bar


def drawn(
    pipeline: Speech2FacePipeline, voices: Sequence[Recording], seconds: float, condition: str | None = None
) -> Iterator[tuple[Sequence[Recording], Speech2FaceOutput]]:
    """Draw faces in chunks, with a progress bar.

    Args:
        pipeline: the checkpoint.
        voices: whom to hear.
        seconds: how much of each recording is heard.
        condition: one of `CONDITIONS`: the heard part is degraded by it, seeded by the voice's name.

    Yields:
        Some of the voices, in order, and what the pipeline made of them.
    """
    rate = pipeline.voice_encoder.sample_rate_hz

    def hear(voice: Recording) -> tuple[np.ndarray, int]:
        waveform = voice.read(rate)
        if condition is not None:
            heard = waveform[: round(seconds * rate)]
            waveform = degrade_voice(heard, rate, condition, zlib.crc32(voice.name.encode()))
        return waveform, rate

    with tqdm(total=len(voices), desc=condition or "voices", unit="voice") as progress:
        for first in range(0, len(voices), CHUNK):
            chunk = voices[first : first + CHUNK]
            yield chunk, pipeline([hear(voice) for voice in chunk], seconds=seconds)
            progress.update(len(chunk))
