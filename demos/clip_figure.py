"""A picture of what the model heard: waveform and spectrogram of each clip, with the part that was used."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import stft

WINDOW_S, HOP_S = 0.025, 0.010  # those of the encoders' spectrograms
FLOOR_DB = -70.0  # below the loudest point
WIDTH_IN, HEIGHT_IN = 7.2, 2.75  # of one clip
COLUMNS = 1200  # of the drawn waveform
USED, UNUSED = "#2f74c0", "#7f7f88"


@dataclass(frozen=True)
class Heard:
    """The beginning of one clip.

    Attributes:
        waveform: (S,) in [-1, 1], as the file has it, at most as much as is drawn.
        sample_rate_hz: its rate.
        used_s: how much of it the model heard, from its beginning.
        source_s: how long the whole clip is.
    """

    waveform: Float[np.ndarray, " S"]
    sample_rate_hz: int
    used_s: float
    source_s: float

    @property
    def shown_s(self) -> float:
        """Seconds of `waveform`."""
        return len(self.waveform) / self.sample_rate_hz

    def sentence(self) -> str:
        """What was used, in words."""
        used = "all of it was heard" if self.used_s >= self.source_s else f"its first {self.used_s:g} s were heard"
        shown = "" if self.shown_s >= self.source_s else f", its first {self.shown_s:.3g} s are drawn"
        return f"A clip of {self.source_s:.1f} s: {used}{shown}."


def spectrogram_db(waveform: Float[np.ndarray, " S"], sample_rate_hz: int) -> Float[np.ndarray, "F T"]:
    """Power spectrogram in decibels below its loudest point, cut off at `FLOOR_DB`.

    Args:
        waveform: (S,) in [-1, 1], not all zero.
        sample_rate_hz: its rate.

    Returns:
        (F, T) in -70..0; F frequencies from 0 to half the rate, frames of 25 ms every 10 ms.
    """
    window, hop = round(WINDOW_S * sample_rate_hz), round(HOP_S * sample_rate_hz)
    values = np.abs(stft(waveform, sample_rate_hz, nperseg=window, noverlap=window - hop)[2])
    return np.maximum(20 * np.log10(np.maximum(values, 1e-12) / values.max()), FLOOR_DB)


def envelope(waveform: Float[np.ndarray, " S"], columns: int) -> Float[np.ndarray, "C 2"]:
    """Lowest and highest sample of each of C equal stretches, so that a short peak is still seen.

    Args:
        waveform: (S,).
        columns: wanted number of stretches; there are fewer where samples are.

    Returns:
        (C, 2) lowest and highest.
    """
    edges = np.linspace(0, len(waveform), min(columns, len(waveform)) + 1).astype(int)
    return np.stack([np.minimum.reduceat(waveform, edges[:-1]), np.maximum.reduceat(waveform, edges[:-1])], axis=1)


def draw(clips: Sequence[Heard]) -> bytes:
    """Draw clips below each other.

    Args:
        clips: one or more.

    Returns:
        A PNG file.
    """
    height = HEIGHT_IN * len(clips)
    figure = Figure(figsize=(WIDTH_IN, height), dpi=110)
    for place, clip in enumerate(clips):  # placed by hand: automatic layout takes as long as the model
        top = height - HEIGHT_IN * place
        boxes = ((top - 0.95, 0.7), (top - 2.3, 1.3))
        wave, spectrum = (
            figure.add_axes((0.45 / WIDTH_IN, bottom / height, 1 - 0.55 / WIDTH_IN, tall / height))
            for bottom, tall in boxes
        )
        _draw_clip(clip, wave, spectrum)
    content = io.BytesIO()
    figure.savefig(content, format="png", pil_kwargs={"compress_level": 1})
    return content.getvalue()


def _draw_clip(clip: Heard, wave: Axes, spectrum: Axes) -> None:
    low, high = envelope(clip.waveform, COLUMNS).T
    times = np.linspace(0, clip.shown_s, len(low))
    used = times <= clip.used_s
    reach = max(float(np.abs(clip.waveform).max()), 1e-3)
    for part, colour in ((used, USED), (~used, UNUSED)):
        wave.fill_between(times, low, high, where=part, color=colour, linewidth=0.4)
    wave.set(xlim=(0, clip.shown_s), ylim=(-reach, reach), yticks=[], xticks=[])
    wave.set_title(clip.sentence(), loc="left", fontsize=9)
    top_khz = clip.sample_rate_hz / 2000
    extent = (0.0, clip.shown_s, 0.0, top_khz)
    values = spectrogram_db(clip.waveform, clip.sample_rate_hz)
    spectrum.imshow(values, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest")
    if clip.used_s < clip.shown_s:
        spectrum.axvspan(clip.used_s, clip.shown_s, color="white", alpha=0.55, linewidth=0)
        spectrum.axvline(clip.used_s, color=USED)
    spectrum.set(yticks=np.arange(0, math.floor(top_khz) + 1, 2))
    spectrum.set_xlabel("seconds", fontsize=8)
    spectrum.set_ylabel("kHz", fontsize=8)
    spectrum.tick_params(labelsize=8)
