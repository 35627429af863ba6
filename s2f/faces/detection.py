"""Finding faces with dlib's CNN or HOG detector; dlib and the CNN's model file are optional (extra `dlib`)."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from s2f.errors import AssetMissing, ImageError
from s2f.faces.images import Picture, resized

DETECTOR_FILE = "mmod_human_face_detector.dat"
DETECTOR_VARIABLE = "S2F_FACE_DETECTOR"
INSTALL = "install the extra s2f[dlib]"
FIRST_BOX = (-0.03, 0.09, 0.05, 0.15)  # the HOG detector's left, top, right, bottom edges, in shares of the CNN's box
LEAST_SEARCH_PX = 224


class FaceBox(NamedTuple):
    """A detected face in pixels, `right` and `bottom` exclusive; it may reach beyond the image."""

    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def side(self) -> float:
        """Mean of width and height."""
        return (self.right - self.left + self.bottom - self.top) / 2

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def mapped(self, x: float, y: float, scale_x: float, scale_y: float) -> FaceBox:
        """The box in a picture that was cut at (x, y) and then scaled."""
        left, right = ((edge - x) * scale_x for edge in (self.left, self.right))
        top, bottom = ((edge - y) * scale_y for edge in (self.top, self.bottom))
        return FaceBox(left, top, right, bottom, self.confidence)


def packaged_model(file_name: str) -> Path | None:
    """Say where the package face_recognition_models keeps a file, without importing it (its import fails today).

    Args:
        file_name: for example "mmod_human_face_detector.dat".

    Returns:
        The path, existing or not; None if the package is not installed.
    """
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "models" / file_name


def model_path(kind: str, file_name: str, variable: str) -> Path:
    """Locate a model file of dlib's: the one that an environment variable names, else face_recognition_models' one.

    Args:
        kind: what it is, for the message.
        file_name: its name in the package.
        variable: environment variable that may name another file.

    Returns:
        An existing file.

    Raises:
        AssetMissing: there is none.
    """
    named = os.environ.get(variable)
    path = Path(named) if named else packaged_model(file_name)
    if path is None or not path.is_file():
        got = f"no file at {path}" if path else "no package face_recognition_models"
        raise AssetMissing(f"the {kind} {file_name}", got, f"{INSTALL} or point {variable} at it")
    return path


def _dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise AssetMissing("the package dlib", "none", INSTALL) from error


def detector_path() -> Path:
    """Locate the CNN detector, see `model_path`; S2F_FACE_DETECTOR may name another file."""
    return model_path("face detector", DETECTOR_FILE, DETECTOR_VARIABLE)


def require_rgb(image: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) as it is.

    Raises:
        ImageError: not a uint8 RGB image.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}"
        raise ImageError("a uint8 RGB image (H, W, 3)", got, "convert with np.asarray(picture.convert('RGB'))")
    return image


class FaceDetector:
    """dlib's CNN (max-margin) face detector: several times slower than HOG, and finds turned faces too.

    Args:
        path: model file; None locates it with `detector_path`.
        upsample: how often the image is doubled first; 0 finds faces from about 80 px, 1 from about 40 px.

    Raises:
        AssetMissing: dlib is not installed, or the model file is missing or unreadable.
    """

    def __init__(self, path: str | Path | None = None, upsample: int = 0):
        model = Path(path) if path is not None else detector_path()
        dlib = _dlib()
        try:
            self._detector = dlib.cnn_face_detection_model_v1(str(model))
        except RuntimeError as error:
            got = f"{model}, which dlib cannot read"
            raise AssetMissing(f"the face detector {DETECTOR_FILE}", got, f"{INSTALL} again") from error
        self.upsample = upsample

    def detect(self, image: np.ndarray) -> list[FaceBox]:
        """Find faces.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The faces, most confident first.

        Raises:
            ImageError: not a uint8 RGB image.
        """
        found = self._found(np.ascontiguousarray(require_rgb(image)))
        return sorted(found, key=lambda box: -box.confidence)

    def _found(self, image: np.ndarray) -> list[FaceBox]:
        return [
            FaceBox(d.rect.left(), d.rect.top(), d.rect.right() + 1, d.rect.bottom() + 1, float(d.confidence))
            for d in self._detector(image, self.upsample)
        ]


class HogDetector(FaceDetector):
    """dlib's detector by histograms of oriented gradients: fast, frontal faces only, and it needs no model file.

    Its boxes are given as the CNN detector would draw them, which is what the crops and landmarks of s2f expect.

    Args:
        upsample: as for `FaceDetector`.

    Raises:
        AssetMissing: dlib is not installed.
    """

    def __init__(self, upsample: int = 0):
        self._detector = _dlib().get_frontal_face_detector()
        self.upsample = upsample

    def _found(self, image: np.ndarray) -> list[FaceBox]:
        found, scores, _ = self._detector.run(image, self.upsample, 0.0)
        return [
            FaceBox(*cnn_edges(rect.left(), rect.top(), rect.right() + 1, rect.bottom() + 1), float(score))
            for rect, score in zip(found, scores, strict=True)
        ]


def cnn_edges(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """Edges of the CNN detector's box around a face, from those of the HOG detector: undoes `FIRST_BOX`."""
    width = (right - left) / (1 + FIRST_BOX[2] - FIRST_BOX[0])
    height = (bottom - top) / (1 + FIRST_BOX[3] - FIRST_BOX[1])
    return (
        left - FIRST_BOX[0] * width,
        top - FIRST_BOX[1] * height,
        right - FIRST_BOX[2] * width,
        bottom - FIRST_BOX[3] * height,
    )


def gpus() -> int:
    """How many GPUs the installed dlib computes on; 0 for one built without CUDA, like the wheels of dlib-bin.

    Raises:
        AssetMissing: dlib is not installed.
    """
    dlib = _dlib()
    return int(dlib.cuda.get_num_devices()) if dlib.DLIB_USE_CUDA else 0


def face_detector(name: Literal["auto", "cnn", "hog"], gpu: int = 0) -> tuple[FaceDetector, Literal["cnn", "hog"]]:
    """Make a face detector.

    Args:
        name: "cnn", "hog", or "auto": the CNN if its model file is here.
        gpu: which GPU a dlib built with CUDA computes on; beyond the last one they are counted again from the first.

    Returns:
        The detector, and which one it is.

    Raises:
        AssetMissing: dlib is not installed, or the CNN was asked for and its model file is missing or unreadable.
    """
    if count := gpus():
        _dlib().cuda.set_device(gpu % count)
    if name == "auto":
        try:
            detector_path()
            name = "cnn"
        except AssetMissing:
            name = "hog"
    return (FaceDetector(), "cnn") if name == "cnn" else (HogDetector(), "hog")


def find_faces(image: Picture, detector: FaceDetector, search_px: int) -> list[FaceBox]:
    """Find faces in a picture of any size.

    Args:
        image: (H, W, 3) uint8 RGB.
        detector: the detector.
        search_px: a longer side is reduced to this first; one below 224 px is enlarged to 224.

    Returns:
        The faces in pixels of `image`, most confident first.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = min(max(longer, LEAST_SEARCH_PX), search_px) / longer
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    searched = resized(image, new_width, new_height, Image.Resampling.BILINEAR)
    return [box.mapped(0, 0, width / new_width, height / new_height) for box in detector.detect(searched)]
