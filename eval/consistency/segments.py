"""Parts of recordings: which ones are heard, and the features predicted from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from eval.faces.recordings import Recording
from s2f import audio
from s2f.errors import AudioTooShort, DatasetError, SilentAudio
from s2f.reconstruction.pipeline import Speech2FacePipeline

BATCH = 8  # windows of one forward pass, as in the pipeline


class Window(NamedTuple):
    """A part of a recording: its place in the list of recordings, its first sample and its number of samples."""

    recording: int
    first: int
    samples: int


@dataclass(frozen=True)
class Parts:
    """Which parts of N recordings are to be heard.

    Attributes:
        recordings: the recordings.
        sizes: (N,) number of samples of each, 0 of one that cannot be heard.
        rate: samples per second.
    """

    recordings: Sequence[Recording]
    sizes: list[int]
    rate: int

    def segments(self, seconds: float) -> list[list[Window]]:
        """Whole, non-overlapping segments of each recording that has at least two."""
        count = round(seconds * self.rate)
        every = [[Window(i, first, count) for first in range(0, size - count + 1, count)] for i, size in self._known()]
        return [windows for windows in every if len(windows) > 1]

    def clips(self, seconds: float) -> list[list[Window]]:
        """First segment of the first long enough recording of each source, of each person with several sources."""
        count = round(seconds * self.rate)
        found: dict[str, dict[str, Window]] = defaultdict(dict)
        for i, size in self._known():
            if size >= count:
                one = self.recordings[i]
                found[one.person].setdefault(one.source, Window(i, 0, count))
        return [list(windows.values()) for windows in found.values() if len(windows) > 1]

    def sweep(self, lengths: Sequence[float]) -> list[list[Window]]:
        """First seconds of each recording that is long enough for all lengths, by length.

        Args:
            lengths: in seconds, increasing.

        Raises:
            DatasetError: fewer than two speakers have one.
        """
        usable = [i for i, size in self._known() if size >= round(lengths[-1] * self.rate)]
        if len({self.recordings[i].speaker for i in usable}) < 2:
            raise self._too_short(lengths)
        return [[Window(i, 0, round(length * self.rate)) for length in lengths] for i in usable]

    def _known(self) -> Iterable[tuple[int, int]]:
        return ((i, size) for i, size in enumerate(self.sizes) if size)

    def _too_short(self, lengths: Sequence[float]) -> DatasetError:
        """Says which lengths to drop: those that the second speaker's longest recording does not reach."""
        longest: dict[str, int] = defaultdict(int)
        for i, size in self._known():
            longest[self.recordings[i].speaker] = max(longest[self.recordings[i].speaker], size)
        reach_s = sorted(longest.values())[-2] / self.rate
        drop = [length for length in lengths if round(length * self.rate) > round(reach_s * self.rate)]
        fix = f"drop {', '.join(f'{length:g}' for length in drop)} from --lengths"
        if len(lengths) - len(drop) < 2:
            fix = f"give --lengths of up to {reach_s:.2f} s, or longer recordings"
        got = f"fewer; only one speaker has one longer than {reach_s:.2f} s"
        return DatasetError(f"recordings of at least {lengths[-1]:g} s by two speakers", got, fix)


def durations(recordings: Sequence[Recording], sample_rate_hz: int) -> list[int]:
    """Number of samples of each recording; 0 of what the audio door refuses as silent or too short as a whole."""
    found = []
    for recording in tqdm(recordings, "lengths", unit="voice", leave=False, delay=2):
        try:
            found.append(len(recording.read(sample_rate_hz)))
        except (SilentAudio, AudioTooShort):
            found.append(0)
    return found


@torch.inference_mode()
def predicted_features(
    pipeline: Speech2FacePipeline, recordings: Sequence[Recording], windows: Iterable[Window]
) -> dict[Window, np.ndarray]:
    """Face features predicted from parts of recordings; every different part is heard once.

    A part goes through the audio door like a clip of its own: one that is shorter than the encoder's shortest input is
    repeated up to that length, a silent one is refused.

    Args:
        pipeline: the checkpoint.
        recordings: what `Window.recording` counts.
        windows: the parts, each at least `s2f.audio.MIN_SECONDS` long and within its recording.

    Returns:
        (D,) float32 of every part that is not silent, as the encoder gives it.
    """
    encoder = pipeline.voice_encoder
    rate, shortest_s = encoder.sample_rate_hz, encoder.min_seconds
    wanted = by_recording(windows)
    waiting: dict[int, list[tuple[Window, np.ndarray]]] = defaultdict(list)
    found: dict[Window, np.ndarray] = {}

    def encode(batch: list[tuple[Window, np.ndarray]]) -> None:
        waveforms = torch.from_numpy(np.stack([waveform for _, waveform in batch])).to(pipeline.device)
        features = encoder.encode(waveforms).float().cpu().numpy()
        found.update({window: feature for (window, _), feature in zip(batch, features, strict=True)})
        batch.clear()

    with tqdm(total=sum(map(len, wanted.values())), desc="voices", unit="part") as progress:
        for place, parts in wanted.items():
            whole = recordings[place].read(rate)
            for window in parts:
                sound = whole[window.first : window.first + window.samples]
                progress.update()
                try:
                    clip = audio.load((sound, rate), rate, max(window.samples / rate, shortest_s))
                except SilentAudio:
                    continue
                batch = waiting[len(clip.waveform)]
                batch.append((window, clip.waveform))
                if len(batch) == BATCH:
                    encode(batch)
        for batch in waiting.values():
            if batch:
                encode(batch)
    return found


def by_recording(windows: Iterable[Window]) -> dict[int, list[Window]]:
    """Different windows of each recording, in order."""
    found: dict[int, list[Window]] = defaultdict(list)
    for window in sorted(set(windows)):
        found[window.recording].append(window)
    return dict(found)
