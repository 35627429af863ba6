"""Doing one job: read a file, write what it becomes, and say what happened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from s2f.datasets import Row
from s2f.errors import AssetMissing, DatasetError, ImageError, OutputError, S2fError
from s2f.faces.images import Picture
from s2f.prepare.config import PrepareConfig
from s2f.prepare.jobs.plan import Job, output_names, printable
from s2f.prepare.jobs.results import Media, Result, stamp
from s2f.prepare.media.audio import SpeechFinder, read_sound
from s2f.prepare.media.faces import FaceModels, cut_face, jpeg_bytes, read_picture
from s2f.prepare.media.video import Frame, film_frames
from s2f.prepare.sources.found import FaceSource, VoiceSource, is_film
from s2f.runtime.files import write_bytes, writing

ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")  # of an object in memory: another one in every run


class Made(NamedTuple):
    """A file to write.

    Attributes:
        content: its bytes.
        flags: quality flags.
        cells: what the tables say about it besides.
        landmarks: its row of landmarks.csv, without the path; empty without landmarks.
    """

    content: bytes
    flags: tuple[str, ...]
    cells: Row
    landmarks: str = ""


@dataclass(frozen=True)
class Worker:
    """What one process needs for its jobs.

    Attributes:
        config: the settings.
        out: the dataset folder.
        voices_root: what the paths of recordings are relative to.
        faces_root: what those of pictures and films are relative to.
        models: for faces; None if there are none.
        finder: voice activity; None if nobody asked.
    """

    config: PrepareConfig
    out: Path
    voices_root: Path
    faces_root: Path
    models: FaceModels | None = None
    finder: SpeechFinder | None = None

    def path(self, job: Job) -> Path:
        """The file that a job reads."""
        return self._root(job) / job.source.path

    def do(self, job: Job) -> Result:
        """Do a job. A file that cannot be used is no error of the run: its reason is part of the result.

        Args:
            job: the job.

        Returns:
            What was written, and what could not be used.

        Raises:
            OutputError: something cannot be written.
            AssetMissing: something optional is not installed.
            DatasetError: the root is gone.
        """
        path = self.path(job)
        try:
            size, mtime_ns = stamp(path)
        except OSError as error:
            if not self._root(job).is_dir():
                raise DatasetError(f"the folder {self._root(job)}", "none any more", "bring it back") from error
            return Result(size=None, mtime_ns=None, media=[], errors=[_reason(error, path, job.source.path)])
        result = Result(size=size, mtime_ns=mtime_ns, media=[], errors=[])
        names = output_names(job, self.config.frames_per_clip)
        try:
            for name, made in zip(names, self._make(job.source, path), strict=True):
                if isinstance(made, str):
                    result["errors"].append(made)
                else:
                    result["media"].append(self._write(name, made))
        except (MemoryError, AssetMissing, OutputError):
            raise
        except Exception as error:  # whatever a library raises on a damaged file is the reason against it
            result["errors"].append(_reason(error, path, job.source.path))
        return result

    def _root(self, job: Job) -> Path:
        return self.voices_root if job.kind == "voice" else self.faces_root

    def _make(self, source: VoiceSource | FaceSource, path: Path) -> Iterator[Made | str]:
        """What to write, in the order of the names, or a reason why not."""
        if isinstance(source, VoiceSource):
            yield self._left_out(self._voice(source, path))
        elif is_film(source.path):
            for frame in film_frames(path, self.config.frames_per_clip, source.start_s, source.end_s):
                yield self._film_face(source, frame)
        else:
            yield self._left_out(self._face(read_picture(path), source, source.frame_s))

    def _film_face(self, source: FaceSource, frame: Frame) -> Made | str:
        if frame.image is None:
            return f"expected a picture at {frame.wanted_s:.2f} s, got none; the film is damaged or ends too early"
        try:
            return self._left_out(self._face(frame.image, source, frame.shown_s))
        except ImageError as error:
            return f"{error} (at {frame.wanted_s:.2f} s)"

    def _voice(self, source: VoiceSource, path: Path) -> Made:
        sound = read_sound(path, source, self.config.sample_rate_hz, self.finder)
        cells = {"start_s": str(sound.start_s), "duration_s": str(sound.duration_s)}
        if sound.speech_s is not None:
            cells["speech_s"] = str(sound.speech_s)
        return Made(sound.flac, sound.flags, cells)

    def _face(self, image: Picture, source: FaceSource, second: float | None) -> Made:
        assert self.models is not None, "a face needs models"
        cut = cut_face(image, source, self.config, self.models)
        cells = {
            "frame_s": "" if second is None else str(second),
            "face_px": "" if cut.face_px is None else str(cut.face_px),
            "faces_found": str(cut.faces_found),
        }
        points = [] if cut.landmarks is None else [f"{value:.2f}" for value in cut.landmarks.ravel()]
        return Made(jpeg_bytes(cut.pixels), cut.flags, cells, ",".join(points))

    def _left_out(self, made: Made) -> Made | str:
        unwanted = [flag for flag in made.flags if flag in self.config.leave_out]
        return f"left out for its quality: {', '.join(unwanted)}" if unwanted else made

    def _write(self, name: str, made: Made) -> Media:
        path = self.out / name
        with writing(self.out):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, made.content)
        cells = made.cells | {"quality": ";".join(made.flags)}
        return Media(path=name, bytes=len(made.content), cells=cells, landmarks=made.landmarks)


def _reason(error: Exception, path: Path, source: str) -> str:
    """One sentence that is the same on every machine and in every run."""
    if isinstance(error, S2fError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{type(error).__name__}: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error}"
    return printable(ADDRESS.sub("0x…", " ".join(text.replace(str(path), source).split())))
