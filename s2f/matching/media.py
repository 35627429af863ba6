"""What a matching item reads: clips of voices at one length and speed, pictures and dynamic images of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import soxr
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2f.datasets import DatasetFolder, Recording, Row, name_of, recording_of
from s2f.errors import AudioError, BadFile, DatasetError, RecipeError
from s2f.faces.dynamic_images import Formulation, as_picture, dynamic_image, windows
from s2f.faces.images import load_image, to_bytes


class Media:
    """Reads the clips and pictures of rows; nothing is random but what the given generators draw.

    A face is a tuple of rows: one picture, or with `dynamic` the frames of one track (`People.read(..., tracks=True)`).
    """

    def __init__(
        self,
        data: DatasetFolder,
        sample_rate_hz: int,
        prepare: Callable[[Tensor], Tensor],
        *,
        seconds: float,
        crop: Literal["start", "random"] = "start",
        speed: Sequence[float] | None = None,
        dynamic: Formulation | None = None,
        window_stride: int = 10,
        cached_clips: int = 0,
        cached_faces: int = 0,
    ) -> None:
        """Set what is read; nothing is read yet.

        Args:
            data: the folder.
            sample_rate_hz: of the voice encoder.
            prepare: the face encoder's: (1, 3, H, H) RGB in [0, 1] to its size h.
            seconds: length of every clip; shorter recordings are repeated.
            crop: use the first `seconds` of a recording or a random part of it.
            speed: smallest and largest factor of speed, drawn uniformly; pitch and tempo change together. None leaves
                the speed alone.
            dynamic: which dynamic images go with a face: one of the whole `single` track, those of `multiple` windows,
                or that of one random window of the `dense` ones. None: no dynamic image.
            window_stride: frames between the beginnings of dense windows.
            cached_clips: decoded recordings kept in memory by each loading process, the first ones it meets.
            cached_faces: pictures kept in the same way, as bytes at the encoder's size.

        Raises:
            RecipeError: speeds that are not 0 < smallest <= largest.
        """
        if speed is not None and not (len(speed) == 2 and 0 < speed[0] <= speed[1]):
            raise RecipeError("speed [smallest, largest] above 0", str(list(speed)), "for example [0.95, 1.05]")
        self.data, self.sample_rate_hz, self.prepare = data, sample_rate_hz, prepare
        self.length, self.crop, self.speed = round(seconds * sample_rate_hz), crop, speed
        self.dynamic, self.window_stride = dynamic, window_stride
        self.cached_clips, self.cached_faces = cached_clips, cached_faces
        self.clips: dict[Recording, np.ndarray] = {}
        self.pictures: dict[str, Tensor] = {}

    def voice(self, row: Row, random: np.random.Generator) -> Float[Tensor, " S"]:
        """Clip of a recording: its speed changed, repeated if too short, then cut.

        Args:
            row: row of voices.csv.
            random: draws the speed and the place of the cut.

        Returns:
            (S,) float32 in [-1, 1].

        Raises:
            BadFile: it cannot be used.
        """
        waveform = self.recording(row)
        if self.speed is not None:
            factor = random.uniform(self.speed[0], self.speed[1])
            waveform = soxr.resample(waveform, factor * self.sample_rate_hz, self.sample_rate_hz).clip(-1.0, 1.0)
        if len(waveform) < self.length:
            waveform = np.resize(waveform, self.length)
        spare = len(waveform) - self.length if self.crop == "random" else 0
        first = int(random.integers(0, spare + 1))
        return torch.from_numpy(waveform[first : first + self.length].copy())

    def face(self, rows: Sequence[Row], random: np.random.Generator) -> dict[str, UInt8[Tensor, "..."]]:
        """Picture of a face, and its dynamic images.

        With dynamic images the picture is the middle frame of the track, or with `dense` that of the window. They are
        made from frames at the encoder's size, rounded to bytes.

        Args:
            rows: rows of faces.csv: one, or those of a track.
            random: draws the dense window.

        Returns:
            `face` (3, h, h) and, with dynamic images, `dynamic` (k, 3, h, h): k = 1, for `multiple` 10.

        Raises:
            BadFile: a picture cannot be read, or is not square.
        """
        choices = self.choices(rows)
        return self.seen(rows, choices[int(random.integers(len(choices)))])

    def choices(self, rows: Sequence[Row]) -> list[list[range]]:
        """The ways to see a face, each as the frames of its dynamic images: one way, but with `dense` one a window."""
        if self.dynamic is None:
            return [[]]
        found = windows(len(rows), self.dynamic, stride=self.window_stride)
        return [[window] for window in found] if self.dynamic == "dense" else [found]

    def seen(self, rows: Sequence[Row], spans: Sequence[range]) -> dict[str, UInt8[Tensor, "..."]]:
        """A face, see `face`, in one of the ways that `choices` gives."""
        if not spans:
            return {"face": self._picture(rows[0])}
        images = [as_picture(dynamic_image(torch.stack([self._picture(rows[k]) for k in span]))) for span in spans]
        return {"face": self._picture(rows[middle(rows, spans)]), "dynamic": torch.stack(images)}

    def recording(self, row: Row) -> np.ndarray:
        """Whole waveform (S,) of a voice; raises BadFile where it cannot be used."""
        recording = recording_of(row)
        if recording in self.clips:
            return self.clips[recording]
        try:
            waveform = self.data.voice(row, self.sample_rate_hz)
        except (AudioError, DatasetError) as error:
            raise BadFile.of(name_of(row), error) from error
        if len(self.clips) < self.cached_clips:
            self.clips[recording] = waveform
        return waveform

    def _picture(self, row: Row) -> Tensor:
        path = row["path"]
        if path in self.pictures:
            return self.pictures[path]
        try:
            picture = to_bytes(self.prepare(load_image(self.data.path(row))[None]))[0]
        except ValueError as error:
            raise BadFile.of(path, error) from error
        if len(self.pictures) < self.cached_faces:
            self.pictures[path] = picture
        return picture


def middle(rows: Sequence[Row], spans: Sequence[range]) -> int:
    """Number of the frame that is shown: the middle one of the only window, else of the whole track."""
    shown = spans[0] if len(spans) == 1 else range(len(rows))
    return shown[len(shown) // 2]
