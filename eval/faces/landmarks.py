"""Landmarks of many pictures, kept by content: a call that was interrupted, or is repeated, goes on where it stopped.

The folder that keeps them has two files:

- `landmarks.json`: what found them (`landmarks`: dlib, dlib-hog or network; SHA-256 of the model files; version).
- `landmarks.csv`: a row for each picture, with the SHA-256 of the file's bytes, `height` of the picture in pixels,
  `trouble` (empty where there are points), `notes` (joined by "; ") and x0, y0, …, x67, y67, which read back exactly.

Rows are only ever added, each with one write that ends in a line feed. A last line without one was cut off: it is
removed before anything is added, and its picture is looked at again. Files that cannot be read are not kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image
from tqdm import tqdm

from encoders.face.landmarks import NUM_LANDMARKS
from eval.faces.pictures import decode_picture
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import ImageError, OutputError
from s2f.faces.detection import detector_path
from s2f.faces.landmarks import DlibLandmarks, StarterLandmarks, landmark_detector, predictor_path
from s2f.runtime.files import file_sha256, write_bytes, write_text, writing
from s2f.version import __version__

HEIGHT_PX = 224  # points are given at this height
TABLE, ABOUT = "landmarks.csv", "landmarks.json"
HEADER = ["sha256", "height", "trouble", "notes", *(f"{axis}{k}" for k in range(NUM_LANDMARKS) for axis in "xy")]
BATCH, BATCH_PIXELS = 64, 2**24  # pictures that the network sees at once, and no more pixels than this
LONGEST = 8  # times the shorter side; beyond it dlib's CNN fails, or memory does
FIX = "give another folder, or move that file away"

Points = Float[np.ndarray, "68 2"]


@dataclass(frozen=True)
class Found:
    """Landmarks of pictures; every picture is either in `points` or in `trouble`, in the order in which it was given.

    Attributes:
        points: (68, 2) x, y in pixels of the picture at a height of 224 px, origin at the centre of the top left pixel.
        trouble: "no face", "2 faces", "not square (W x H px)", "too wide …", "too narrow …" or "unreadable: …".
        notes: for the pictures in `points`, what was changed before they were looked at; often nothing.
    """

    points: dict[Path, Points]
    trouble: dict[Path, str]
    notes: dict[Path, tuple[str, ...]]


class _Seen(NamedTuple):
    """What became of a picture: its points, or why there are none."""

    height: int
    trouble: str
    notes: tuple[str, ...]
    points: Points | None


class _Waiting(NamedTuple):
    """A decoded picture."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def find_landmarks(pictures: Sequence[Path], landmarks: str, out: Path | None) -> Found:
    """Find the landmarks of many pictures, with a progress bar.

    Pictures of the same bytes are looked at once. dlib looks at every picture at a height of 224 px, because its
    detectors need faces of about 80 px: a face must fill about a third of the height. A picture in which it sees no
    face, or several, is left out and listed. The network takes square pictures that are framed about like canonical
    faces. It always answers: it cannot tell that there is no face, or two.

    Args:
        pictures: files; what cannot be used is listed in the result. A file given twice counts once.
        landmarks: "starter", "dlib" (in the boxes of the CNN detector), "dlib-hog" (in those of the faster HOG
            detector), or the folder of a network, see `s2f.faces.landmarks.landmark_detector`.
        out: folder that keeps what is found, made if absent; None keeps nothing. An interrupted call loses at most the
            picture at hand (with the network, the last 64).

    Returns:
        Points, or the reason why there are none, of every picture.

    Raises:
        AssetMissing: see `s2f.faces.landmarks.landmark_detector`.
        CheckpointError: see there.
        OutputError: `out` belongs to another detector, model or version, holds something else, or cannot be written.
    """
    detector = landmark_detector(landmarks)
    known = _Known(out, _made_with(landmarks, detector))
    batch = 1 if isinstance(detector, DlibLandmarks) else BATCH
    hashes: dict[Path, str] = {}
    unreadable: dict[Path, str] = {}
    waiting: dict[str, _Waiting] = {}
    for path in tqdm(dict.fromkeys(pictures), desc="landmarks", unit="picture"):
        try:
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            if sha256 not in known.seen and sha256 not in waiting:
                waiting[sha256] = _Waiting(*decode_picture(content))
            hashes[path] = sha256
        except (OSError, ImageError) as error:
            unreadable[path] = f"unreadable: {getattr(error, 'strerror', None) or error}"
        if len(waiting) >= batch or sum(item.pixels.size for item in waiting.values()) >= 3 * BATCH_PIXELS:
            known.add(_look(detector, waiting))
            waiting = {}
    known.add(_look(detector, waiting))
    return _found(pictures, {path: known.seen[sha256] for path, sha256 in hashes.items()}, unreadable)


def _found(pictures: Sequence[Path], seen: dict[Path, _Seen], unreadable: dict[Path, str]) -> Found:
    found = Found({}, {}, {})
    for path in pictures:
        if path in unreadable:
            found.trouble[path] = unreadable[path]
        elif (points := seen[path].points) is None:
            found.trouble[path] = seen[path].trouble
        else:
            found.points[path], found.notes[path] = points, seen[path].notes
    return found


def _made_with(landmarks: str, detector: DlibLandmarks | StarterLandmarks) -> dict[str, str]:
    """Content of landmarks.json; a network is the same wherever it lies."""
    if isinstance(detector, StarterLandmarks):
        return {"s2f": __version__, "landmarks": "network", "landmarks_sha256": weights_sha256(detector.folder)}
    made = {"s2f": __version__, "landmarks": landmarks, "landmarks_sha256": file_sha256(predictor_path())}
    return made | ({"detector_sha256": file_sha256(detector_path())} if landmarks == "dlib" else {})


def _look(detector: DlibLandmarks | StarterLandmarks, waiting: dict[str, _Waiting]) -> dict[str, _Seen]:
    """What became of each picture."""
    images = [item.pixels for item in waiting.values()]
    if isinstance(detector, DlibLandmarks):
        answers = [_look_with_dlib(detector, image) for image in images]
    else:
        answers = _look_with_network(detector, images)
    seen = {}
    for (sha256, (pixels, notes)), answer in zip(waiting.items(), answers, strict=True):
        height, width = pixels.shape[:2]
        if height != HEIGHT_PX:
            notes = (*notes, f"{width} x {height} px, measured at the scale of {HEIGHT_PX} px height")
        found = (answer, None) if isinstance(answer, str) else ("", answer)
        seen[sha256] = _Seen(height, found[0], notes, found[1])
    return seen


def _look_with_dlib(detector: DlibLandmarks, image: np.ndarray) -> Points | str:
    """Points (68, 2) at a height of 224 px, or why there are none."""
    height, width = image.shape[:2]
    if max(width, height) > LONGEST * min(width, height):
        return f"too {'wide' if width > height else 'narrow'} ({width} x {height} px)"
    scaled_width = max(1, round(width * HEIGHT_PX / height))
    if height != HEIGHT_PX:
        size = (scaled_width, HEIGHT_PX)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    boxes = detector.boxes(image)
    if len(boxes) != 1:
        return f"{len(boxes)} faces" if boxes else "no face"
    points = detector.landmarks_in(image, boxes[0]).astype(np.float64)
    points[:, 0] = _scaled(points[:, 0], width * HEIGHT_PX / height / scaled_width)  # undoes the rounding of the width
    return points


def _look_with_network(detector: StarterLandmarks, images: Sequence[np.ndarray]) -> list[Points | str]:
    """Points (68, 2) at a height of 224 px, or why there are none."""
    square = [image.shape[0] == image.shape[1] for image in images]
    points = iter(detector.batch([image for image, fits in zip(images, square, strict=True) if fits]))
    return [
        _scaled(next(points).astype(np.float64), HEIGHT_PX / len(image))
        if fits
        else f"not square ({image.shape[1]} x {image.shape[0]} px)"
        for image, fits in zip(images, square, strict=True)
    ]


def _scaled(positions: np.ndarray, scale: float) -> np.ndarray:
    """Positions in a picture scaled by `scale`: pixel centres lie at whole numbers, edges at halves."""
    return (positions + 0.5) * scale - 0.5


class _Known:
    """What is known by SHA-256, in memory and, with a folder, on disk.

    Args:
        out: the folder, or None.
        made_with: content of landmarks.json.
    """

    def __init__(self, out: Path | None, made_with: dict[str, str]) -> None:
        self._out = out
        self.seen: dict[str, _Seen] = {}
        if out is not None:
            with writing(out):
                _claim(out, made_with)
                self.seen = _read_table(out / TABLE)

    def add(self, seen: dict[str, _Seen]) -> None:
        """Keep what was found, row by row."""
        self.seen |= seen
        if self._out is not None:
            with writing(self._out), (self._out / TABLE).open("ab") as file:
                for sha256, (height, trouble, notes, points) in seen.items():
                    cells = [""] * (2 * NUM_LANDMARKS) if points is None else map(float, points.ravel())
                    file.write(_line([sha256, height, trouble, "; ".join(notes), *cells]))
                    file.flush()


def _claim(out: Path, made_with: dict[str, str]) -> None:
    """Store what finds the landmarks, or compare it with what an earlier call stored."""
    stored = out / ABOUT
    if not stored.exists():
        if (out / TABLE).exists() or (out.exists() and not out.is_dir()):
            raise OutputError("a new folder, or one that an earlier call began", f"{out} with other content", FIX)
        out.mkdir(parents=True, exist_ok=True)
        write_text(stored, json.dumps(made_with, indent=2) + "\n")
        return
    try:
        before: dict[str, Any] = dict(json.loads(stored.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise OutputError(f"one JSON object in {stored}", "other content", FIX) from error
    if changed := sorted(name for name in made_with if before.get(name) != made_with.get(name)):
        got = f"another {', '.join(changed)}"
        raise OutputError(f"what found the landmarks in {out} so far", got, "repeat that, or give another folder")


def _read_table(path: Path) -> dict[str, _Seen]:
    """Rows of an earlier call; afterwards there is a table, and it ends where a row ends."""
    header, content = _line(HEADER), path.read_bytes() if path.exists() else b""
    if not content.startswith(header) and not header.startswith(content):
        raise OutputError(f"landmarks as an earlier call wrote them in {path}", "other columns", FIX)
    whole = content[: content.rfind(b"\n") + 1] or header
    lines = whole.decode(errors="replace").split("\n")[1:-1]
    rows = dict(_row(path, number, line) for number, line in enumerate(lines, 2))
    if whole != content:
        write_bytes(path, whole)
    return rows


def _row(path: Path, number: int, line: str) -> tuple[str, _Seen]:
    try:
        sha256, height, trouble, notes, *values = next(csv.reader([line]))
        points = None if trouble else np.array([float(value) for value in values]).reshape(NUM_LANDMARKS, 2)
        if points is not None and not np.isfinite(points).all():
            raise ValueError("points that are not finite")
        return sha256, _Seen(int(height), trouble, tuple(notes.split("; ")) if notes else (), points)
    except (ValueError, csv.Error) as error:
        got = f"a damaged line {number} ({error})"
        raise OutputError(f"landmarks as an earlier call wrote them in {path}", got, FIX) from error


def _line(cells: Sequence[object]) -> bytes:
    """A line of the table; floats are written as `repr` does."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
