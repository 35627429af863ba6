"""Face input: 68 iBUG landmarks of a picture, from dlib (extra `dlib`) or from the starter's own small network."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from encoders.face.landmarks import LandmarkRegressor
from s2f.checkpoints.loading import STARTER, load_network, packaged
from s2f.errors import AssetMissing, ImageError
from s2f.faces.detection import FIRST_BOX, INSTALL, FaceBox, FaceDetector, HogDetector, model_path, require_rgb

COMPONENT = "landmarks"  # sub-folder of a checkpoint
PREDICTOR_FILE = "shape_predictor_68_face_landmarks.dat"
PREDICTOR_VARIABLE = "S2F_LANDMARK_PREDICTOR"
ENLARGE = 2  # dlib answers in whole pixels
SECOND_CENTRE = (-0.11, 0.18)  # from the mean of points 17 to 67, in units of their standard deviation
SECOND_SIDE = 4.78  # in the same unit
JITTER = 0.015  # nine boxes, shifted by this share of the side
CANONICAL_SIDE = 2.33  # side of a canonical picture over that of the CNN box in it, median of 100 simulated people
CANONICAL_CENTRE = (0.02, -0.05)  # its centre minus the box's, in box sides


class LandmarkDetector(Protocol):
    """Anything that finds landmarks."""

    def landmarks(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "68 2"] | None:
        """Find the landmarks of the face in a picture.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (68, 2) points (x, y) in pixels, origin at the centre of the top left pixel; None where no face is seen.
        """


def landmark_detector(name: str | Path) -> DlibLandmarks | StarterLandmarks:
    """Make a landmark detector.

    Args:
        name: "dlib" (in the boxes of dlib's CNN detector), "dlib-hog" (in those of its HOG detector: some fifty times
            faster, frontal faces only), "starter", or the folder of a trained `LandmarkRegressor` or of a checkpoint
            that holds one.

    Returns:
        The detector, on the CPU.

    Raises:
        AssetMissing: something optional is not installed, or the starter has no landmark network.
        CheckpointError: see `s2f.checkpoints.loading.load_network`.
    """
    if str(name) == "dlib":
        return DlibLandmarks()
    if str(name) == "dlib-hog":
        return DlibLandmarks(HogDetector())
    return StarterLandmarks(None if str(name) == STARTER else name)


def predictor_path() -> Path:
    """Locate the 68-point predictor, see `model_path`; S2F_LANDMARK_PREDICTOR may name another file."""
    return model_path("predictor", PREDICTOR_FILE, PREDICTOR_VARIABLE)


class DlibLandmarks:
    """dlib's regression trees inside its CNN detector's box, which is corrected first.

    The predictor was trained on boxes of another detector: with the raw CNN box its error doubles. So it predicts once
    in a corrected box, once more in nine squares around what it found, and the median of the nine is returned. The
    model file was trained on iBUG 300-W, which excludes commercial use.

    Args:
        detector: face detector; None makes the usual one.
        predictor: model file; None locates it with `predictor_path`.

    Raises:
        AssetMissing: dlib is not installed, or a model file is missing or unreadable.
    """

    def __init__(self, detector: FaceDetector | None = None, predictor: str | Path | None = None) -> None:
        self._detector = detector or FaceDetector()
        path = Path(predictor) if predictor is not None else predictor_path()
        try:
            self._dlib: Any = importlib.import_module("dlib")
        except ImportError as error:
            raise AssetMissing("the package dlib", "none", INSTALL) from error
        try:
            self._predictor = self._dlib.shape_predictor(str(path))
        except RuntimeError as error:
            got = f"{path}, which dlib cannot read"
            raise AssetMissing(f"the predictor {PREDICTOR_FILE}", got, f"{INSTALL} again") from error

    def landmarks(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "68 2"] | None:
        """Find the landmarks of the most confident face.

        Args:
            image: (H, W, 3) uint8 RGB, the face at least about 80 px high.

        Returns:
            (68, 2) points (x, y) in pixels, origin at the centre of the top left pixel; None without a face.

        Raises:
            ImageError: not a uint8 RGB image.
        """
        boxes = self.boxes(image)
        return self.landmarks_in(image, boxes[0]) if boxes else None

    def boxes(self, image: UInt8[np.ndarray, "H W 3"]) -> list[FaceBox]:
        """Find faces.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The faces, most confident first, for `landmarks_in`.

        Raises:
            ImageError: not a uint8 RGB image.
        """
        return self._detector.detect(image)

    def landmarks_in(self, image: UInt8[np.ndarray, "H W 3"], box: FaceBox) -> Float32[np.ndarray, "68 2"]:
        """Find the landmarks of the face in a box of the CNN detector; the image and result are as in `landmarks`.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: where the CNN detector sees the face.

        Returns:
            (68, 2).

        Raises:
            ImageError: not a uint8 RGB image.
        """
        height, width = require_rgb(image).shape[:2]
        enlarged = Image.fromarray(image).resize((width * ENLARGE, height * ENLARGE), Image.Resampling.BICUBIC)
        pixels = np.asarray(enlarged)
        size = np.array([box.right - box.left, box.bottom - box.top] * 2, np.float64)
        edges = (np.array(box[:4], np.float64) + np.array(FIRST_BOX) * size) * ENLARGE
        inner = self._predict(pixels, edges)[17:]
        spread = inner.std(0).mean()
        centre = inner.mean(0) + np.array(SECOND_CENTRE) * spread
        half = SECOND_SIDE * spread / 2
        square = np.concatenate([centre - half, centre + half])
        shifts = [np.array([x, y, x, y]) * JITTER * 2 * half for x in (-1, 0, 1) for y in (-1, 0, 1)]
        points = np.median([self._predict(pixels, square + shift) for shift in shifts], axis=0)
        return ((points + 0.5) / ENLARGE - 0.5).astype(np.float32)

    def _predict(self, pixels: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Points (68, 2) in a box given by its left, top, right and bottom edges."""
        left, top, right, bottom = (round(float(edge)) for edge in edges)
        shape = self._predictor(pixels, self._dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.array([[point.x, point.y] for point in shape.parts()], np.float64)


class StarterLandmarks:
    """The starter's landmark regressor. It always answers: it cannot tell that there is no face.

    Args:
        folder: of a `LandmarkRegressor`, or of a checkpoint that holds one; None takes the starter's.
        device: where to compute.

    Attributes:
        network: the regressor.
        folder: where it came from.

    Raises:
        AssetMissing: the starter here has no landmark network.
        CheckpointError: see `s2f.checkpoints.loading.load_network`.
    """

    def __init__(self, folder: str | Path | None = None, device: str | torch.device = "cpu") -> None:
        path = Path(folder) if folder is not None else packaged()[STARTER] / COMPONENT
        if folder is None and not path.is_dir():
            fix = "install s2f again, or name the folder of a network trained with train_landmarks.py"
            raise AssetMissing("the starter's landmark network", f"no folder at {path}", fix)
        if (path / COMPONENT).is_dir():
            path = path / COMPONENT
        self.folder = path
        self.network = load_network(LandmarkRegressor, path).to(device)

    def landmarks(
        self, image: UInt8[np.ndarray, "H W 3"], box: FaceBox | None = None
    ) -> Float32[np.ndarray, "68 2"] | None:
        """Find the landmarks of one face.

        Args:
            image: (H, W, 3) uint8 RGB; without `box` square and framed about like a canonical face.
            box: where the CNN detector sees the face in a picture framed differently.

        Returns:
            (68, 2) points (x, y) in pixels, origin at the centre of the top left pixel; never None.

        Raises:
            ImageError: not a uint8 RGB image, or not square and no box.
        """
        if box is None:
            return self.batch([image])[0]
        corner, _ = canonical_frame(box)
        return self.batch([canonical_crop(image, box)])[0] + np.array(corner, np.float32)

    @torch.inference_mode()
    def batch(
        self, images: Sequence[UInt8[np.ndarray, "H H 3"]], batch_size: int = 64
    ) -> Float32[np.ndarray, "B 68 2"]:
        """Find the landmarks of many faces; the result does not depend on `batch_size`.

        Args:
            images: B pictures (H, H, 3) uint8 RGB framed about like canonical faces, or one array of them; their
                sizes may differ.
            batch_size: largest number of pictures per forward pass.

        Returns:
            (B, 68, 2) points (x, y) in pixels of each picture, origin at the centre of its top left pixel.

        Raises:
            ImageError: a picture that is not uint8 RGB or not square.
        """
        prepared, sides = [], []
        for image in images:
            if require_rgb(image).shape[0] != image.shape[1]:
                got = f"{image.shape[1]} x {image.shape[0]} px"
                raise ImageError("a square picture of one face", got, "crop it, or pass the face's box")
            sides.append(len(image))
            pixels = torch.tensor(image, device=self.network.device).permute(2, 0, 1)[None]
            prepared.append(self.network.prepare(pixels.float() / 255))
        if not prepared:
            return np.zeros((0, 68, 2), np.float32)
        cells = torch.cat([self.network.locate(part)[0] for part in torch.cat(prepared).split(batch_size)]).float()
        pairs = zip(cells.split(1), sides, strict=True)
        return torch.cat([self.network.to_pixels(cell, side) for cell, side in pairs]).cpu().numpy()


def canonical_frame(box: FaceBox) -> tuple[tuple[int, int], int]:
    """Square that shows the face of a CNN box as large and as central as in canonical pictures.

    Args:
        box: the detector's box.

    Returns:
        Top left corner (x, y) and side, in whole pixels; it may reach beyond the image.
    """
    face = ((box.right - box.left) + (box.bottom - box.top)) / 2
    side = max(1, round(CANONICAL_SIDE * face))
    x = (box.left + box.right) / 2 + CANONICAL_CENTRE[0] * face
    y = (box.top + box.bottom) / 2 + CANONICAL_CENTRE[1] * face
    return (round(x - side / 2), round(y - side / 2)), side


def canonical_crop(image: UInt8[np.ndarray, "H W 3"], box: FaceBox) -> UInt8[np.ndarray, "P P 3"]:
    """Cut out the square of `canonical_frame`; where it reaches beyond the image, the pixels at the edge are repeated.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: where the CNN detector sees the face.

    Returns:
        (P, P, 3) uint8 RGB.

    Raises:
        ImageError: not a uint8 RGB image.
    """
    (left, top), side = canonical_frame(box)
    columns = np.clip(np.arange(side) + left, 0, require_rgb(image).shape[1] - 1)
    rows = np.clip(np.arange(side) + top, 0, image.shape[0] - 1)
    return image[np.ix_(rows, columns)]
