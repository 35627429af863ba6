"""One picture of somebody's dataset: a square around the face, and what is known about it."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps

from s2f.checkpoints.loading import STARTER, packaged
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import ImageError
from s2f.faces.detection import FaceBox, FaceDetector, detector_path, face_detector, find_faces, require_rgb
from s2f.faces.images import Picture, resized
from s2f.faces.landmarks import COMPONENT, DlibLandmarks, StarterLandmarks, predictor_path
from s2f.prepare.config import PrepareConfig
from s2f.prepare.sources.found import FaceSource
from s2f.runtime.files import file_sha256

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # others may start programs
JPEG_QUALITY = 95


class _Square(NamedTuple):
    """Whole pixels; it may reach beyond the picture."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class FaceCut:
    """A square cut out of a picture.

    Attributes:
        pixels: (P, P, 3) uint8 RGB.
        flags: several_faces, small_face, no_face.
        faces_found: how many faces the detector sees where it looked.
        face_px: mean side of the face's box in pixels of the source; None without a face.
        landmarks: (68, 2) points (x, y) in pixels of the square; None without a face, or where nobody asked.
    """

    pixels: UInt8[np.ndarray, "P P 3"]
    flags: tuple[str, ...]
    faces_found: int
    face_px: float | None
    landmarks: Float32[np.ndarray, "68 2"] | None


class FaceModels:
    """Detector and landmark predictor of one process.

    Args:
        detector: auto, cnn or hog.
        landmarks: dlib, starter or none.
        gpu: see `s2f.faces.detection.face_detector`.

    Attributes:
        detector: the detector.
        facts: which ones they are, with the SHA-256 of their model files where they have one.

    Raises:
        AssetMissing: dlib or a model file is missing.
    """

    def __init__(
        self, detector: Literal["auto", "cnn", "hog"], landmarks: Literal["dlib", "starter", "none"], gpu: int = 0
    ) -> None:
        self.detector: FaceDetector
        self.detector, name = face_detector(detector, gpu)
        self._landmarks: DlibLandmarks | StarterLandmarks | None = None
        self.facts: dict[str, str] = {"detector": name}
        if name == "cnn":
            self.facts["detector_sha256"] = file_sha256(detector_path())
        if landmarks == "dlib":
            self._landmarks = DlibLandmarks(self.detector)
            self.facts["landmarks_sha256"] = file_sha256(predictor_path())
        elif landmarks == "starter":
            self._landmarks = StarterLandmarks()
            self.facts["landmarks_sha256"] = weights_sha256(packaged()[STARTER] / COMPONENT)

    def landmarks(self, image: Picture, box: FaceBox) -> Float32[np.ndarray, "68 2"] | None:
        """Points (68, 2) of the face in a box; None if nobody asked for landmarks."""
        if isinstance(self._landmarks, DlibLandmarks):
            return self._landmarks.landmarks_in(image, box)
        return None if self._landmarks is None else self._landmarks.landmarks(image, box)


def read_picture(path: Path) -> Picture:
    """Read a picture as it is meant to be seen: turned as its EXIF data say, in RGB.

    Args:
        path: JPEG, PNG, WebP, BMP or GIF.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: not such a picture, truncated, or so large that it may be an attack on the memory.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(stream, formats=FORMATS) as file:
                upright = ImageOps.exif_transpose(file)
                if upright.mode.startswith("I;16"):  # 16 bit grey
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                return np.array(upright.convert("RGB"))
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            got = "one that claims to be far larger"
            raise ImageError(f"a picture of at most {Image.MAX_IMAGE_PIXELS} pixels", got, "reduce it") from error
        except Image.UnidentifiedImageError as error:
            got = "a file that is none of these"
            raise ImageError(f"a picture as {', '.join(FORMATS)}", got, "convert it") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ImageError("a picture that can be decoded", f"{error}", "copy it again") from error


def cut_face(image: Picture, source: FaceSource, config: PrepareConfig, models: FaceModels) -> FaceCut:
    """Cut the square around the wanted face, at the size that is written.

    A "crop" keeps its own framing: the largest square in the middle of the picture. Otherwise the square lies around
    the box that the source names or, in a "scene", around the face nearest to the centre that it names, or around the
    largest face. Where the square reaches beyond the picture, the pixels at its edge are repeated.

    Args:
        image: (H, W, 3) uint8 RGB, turned upright.
        source: its hints.
        config: framing, sizes and limits.
        models: detector and landmark predictor.

    Returns:
        The square and the facts.

    Raises:
        ImageError: a scene in which no face is seen, or none where the source says it is; a box outside the picture.
    """
    framing = source.framing if config.framing == "auto" else config.framing
    given = _given(source, require_rgb(image)) if framing == "scene" else None
    if framing == "scene" and given is None:
        faces = _wanted_first(find_faces(image, models.detector, config.search_px), source, image, config.crop_factor)
        return _written(image, _square_around(faces[0], config.crop_factor), faces, faces[0].side, config, models)
    square = _square_around(given, config.crop_factor) if given else _middle(image)
    inside = find_faces(_cut(image, square), models.detector, config.search_px)
    middle = (square.side / 2, square.side / 2)
    central = sorted(inside, key=lambda box: math.dist(box.centre, middle))
    faces = [box.mapped(-square.left, -square.top, 1, 1) for box in central]
    known = [given] if given else faces[:1]
    return _written(image, square, faces, known[0].side if known else None, config, models)


def _written(
    image: Picture,
    square: _Square,
    faces: list[FaceBox],
    face_px: float | None,
    config: PrepareConfig,
    models: FaceModels,
) -> FaceCut:
    """The square at its final size, with flags, and with the landmarks of the first face."""
    pixels = resized(_cut(image, square), config.size_px, config.size_px, Image.Resampling.LANCZOS)
    scale = config.size_px / square.side
    points = models.landmarks(pixels, faces[0].mapped(square.left, square.top, scale, scale)) if faces else None
    flags = {
        "several_faces": len(faces) > 1,
        "small_face": face_px is not None and face_px < config.min_face_px,
        "no_face": not faces,
    }
    face_px = None if face_px is None else round(face_px, 1)
    return FaceCut(pixels, tuple(name for name, raised in flags.items() if raised), len(faces), face_px, points)


def jpeg_bytes(pixels: Picture) -> bytes:
    """JPEG file of a picture, quality 95."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def _wanted_first(found: list[FaceBox], source: FaceSource, image: Picture, crop_factor: float) -> list[FaceBox]:
    """The faces of a scene, the one it is about first; a centre must lie in the square around it. Ties: the surest."""
    if not found:
        raise ImageError("a picture of a face", "none that the detector sees", "leave it out, or try --detector cnn")
    if source.centre is None:
        return sorted(found, key=lambda box: -box.side)
    x, y = source.centre[0] * image.shape[1], source.centre[1] * image.shape[0]
    nearest, *others = sorted(found, key=lambda box: math.dist(box.centre, (x, y)))
    if max(abs(nearest.centre[0] - x), abs(nearest.centre[1] - y)) > crop_factor * nearest.side / 2:
        got = f"the nearest of {len(found)} elsewhere"
        raise ImageError("a face where the dataset says it is", got, "leave it out: it may be somebody else")
    return [nearest, *others]


def _given(source: FaceSource, image: Picture) -> FaceBox | None:
    """The box that the dataset gives."""
    if source.box is None:
        return None
    left, top, right, bottom = source.box
    height, width = image.shape[:2]
    if not (left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0):
        got = f"{source.box} in {width} x {height} px"
        raise ImageError("a face box within the picture", got, "correct the dataset's table")
    return FaceBox(left, top, right, bottom, 1.0)


def _square_around(box: FaceBox, crop_factor: float) -> _Square:
    side = max(1, round(crop_factor * box.side))
    return _Square(round(box.centre[0] - side / 2), round(box.centre[1] - side / 2), side)


def _middle(image: Picture) -> _Square:
    height, width = image.shape[:2]
    side = min(height, width)
    return _Square((width - side) // 2, (height - side) // 2, side)


def _cut(image: Picture, square: _Square) -> Picture:
    """The pixels of a square; beyond the picture those at its edge are repeated."""
    left, top, side = square
    if 0 <= left <= image.shape[1] - side and 0 <= top <= image.shape[0] - side:
        return image[top : top + side, left : left + side]
    columns = np.clip(np.arange(side) + left, 0, image.shape[1] - 1)
    rows = np.clip(np.arange(side) + top, 0, image.shape[0] - 1)
    return image[np.ix_(rows, columns)]
