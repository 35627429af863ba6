"""dlib's detectors on a drawn face, and what is said where they are not installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from s2f.errors import AssetMissing, ImageError
from s2f.faces import detection
from s2f.faces.detection import FIRST_BOX, FaceBox, FaceDetector, HogDetector, cnn_edges, face_detector
from s2f.faces.landmarks import DlibLandmarks


def drawn_face(size_px=200):
    """A frontal face from ellipses; nobody's likeness."""
    image = Image.new("RGB", (200, 200), (120, 130, 150))
    draw = ImageDraw.Draw(image)

    def ellipse(x, y, width, height, colour):
        draw.ellipse([x - width, y - height, x + width, y + height], fill=colour)

    ellipse(100, 95, 62, 78, (60, 40, 30))
    ellipse(100, 108, 52, 68, (224, 180, 150))
    for x in (78, 122):
        ellipse(x, 98, 12, 6, (250, 250, 250))
        ellipse(x, 98, 5.5, 5.5, (50, 35, 25))
        draw.line([(x - 14, 84), (x, 79), (x + 14, 84)], fill=(60, 40, 30), width=5)
    draw.polygon([(100, 95), (90, 128), (110, 128)], fill=(205, 155, 128))
    ellipse(94, 129, 4, 3, (130, 80, 65))
    ellipse(106, 129, 4, 3, (130, 80, 65))
    ellipse(100, 150, 22, 7, (180, 80, 80))
    draw.line([(78, 150), (122, 150)], fill=(110, 40, 45), width=2)
    return image.filter(ImageFilter.GaussianBlur(1.5)).resize((size_px, size_px), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("dlib")
    if detection.packaged_model("") is None:
        pytest.skip("face_recognition_models is not installed")
    return FaceDetector()


def test_drawn_face_is_found_where_it_is(detector):
    picture = Image.new("RGB", (420, 300), (90, 90, 90))
    picture.paste(drawn_face(), (180, 60))
    (box,) = detector.detect(np.asarray(picture))
    assert 200 < box.left < 260
    assert 300 < box.right < 360  # the drawn head spans x 228 to 332, y 108 to 236
    assert 90 < box.top < 150
    assert 190 < box.bottom < 250
    assert 0.5 < box.confidence < 2


def test_two_faces_most_confident_first(detector):
    picture = Image.new("RGB", (460, 240), (90, 90, 90))
    picture.paste(drawn_face(), (10, 20))
    picture.paste(drawn_face(160), (270, 40))
    boxes = detector.detect(np.asarray(picture))
    assert len(boxes) == 2
    assert boxes[0].confidence >= boxes[1].confidence
    assert sorted(box.left < 230 for box in boxes) == [False, True]


def test_no_face(detector):
    assert detector.detect(np.full((120, 120, 3), 128, np.uint8)) == []


def test_wrong_images_are_refused(detector):
    for image in (np.zeros((9, 9, 3)), np.zeros((9, 9), np.uint8), np.zeros((3, 9, 9), np.uint8), "face.png"):
        with pytest.raises(ImageError, match="expected a uint8 RGB image"):
            detector.detect(image)


def test_without_dlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dlib", None)
    (tmp_path / "model.dat").touch()
    with pytest.raises(AssetMissing, match=r"s2f\[dlib\]"):
        FaceDetector(tmp_path / "model.dat")


def test_without_the_model_package_the_extra_is_named(monkeypatch):
    monkeypatch.delenv(detection.DETECTOR_VARIABLE, raising=False)
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"no package face_recognition_models; install the extra s2f\[dlib\]"):
        FaceDetector()


def test_the_variable_names_the_file(monkeypatch, tmp_path):
    path = tmp_path / "mine.dat"
    monkeypatch.setenv(detection.DETECTOR_VARIABLE, str(path))
    with pytest.raises(AssetMissing, match=r"no file at .*mine\.dat"):
        detection.detector_path()
    path.touch()
    assert detection.detector_path() == path


def test_a_file_that_is_no_model(tmp_path):
    pytest.importorskip("dlib")
    (tmp_path / "model.dat").write_bytes(b"no model")
    with pytest.raises(AssetMissing, match="which dlib cannot read"):
        FaceDetector(tmp_path / "model.dat")


def test_the_model_package_is_never_imported(detector):
    assert "face_recognition_models" not in sys.modules


# --- the HOG detector, and the choice between the two -----------------------------------------------------------------


def test_map_between_the_two_boxes_is_undone_exactly():
    cnn = np.array([31.0, 47.0, 131.0, 167.0])  # 100 wide, 120 high
    size = np.array([100, 120] * 2)
    hog = cnn + np.array(FIRST_BOX) * size
    np.testing.assert_allclose(hog, [28, 57.8, 136, 185])  # by hand
    np.testing.assert_allclose(cnn_edges(*hog), cnn, atol=1e-12)


@pytest.mark.slow
def test_hog_boxes_are_like_the_cnns(detector):
    picture = Image.new("RGB", (420, 300), (90, 90, 90))
    picture.paste(drawn_face(), (180, 60))
    pixels = np.asarray(picture)
    (cnn,), (hog,) = detector.detect(pixels), HogDetector().detect(pixels)
    np.testing.assert_allclose(hog.centre, cnn.centre, atol=0.1 * cnn.side)
    assert 0.8 < hog.side / cnn.side < 1.2
    assert HogDetector().detect(np.full((120, 120, 3), 128, np.uint8)) == []
    with pytest.raises(ImageError, match="expected a uint8 RGB image"):
        HogDetector().detect(np.zeros((9, 9), np.uint8))


def test_two_hog_faces_most_confident_first():
    pytest.importorskip("dlib")
    picture = Image.new("RGB", (460, 240), (90, 90, 90))
    picture.paste(drawn_face(160), (10, 40))
    picture.paste(drawn_face(), (240, 20))
    boxes = HogDetector().detect(np.asarray(picture))
    assert len(boxes) == 2
    assert boxes[0].confidence >= boxes[1].confidence


@pytest.mark.slow
def test_landmarks_in_a_hog_box_start_from_the_hog_detectors_own(detector, monkeypatch):
    import dlib

    pixels = np.asarray(drawn_face())
    own = dlib.get_frontal_face_detector()(pixels)[0]
    points = DlibLandmarks(HogDetector())
    asked = []
    predict = points._predict
    monkeypatch.setattr(points, "_predict", lambda image, edges: asked.append(edges) or predict(image, edges))
    assert points.landmarks(pixels) is not None
    expected = [own.left(), own.top(), own.right() + 1, own.bottom() + 1]
    np.testing.assert_allclose(asked[0] / 2, expected, atol=1e-6)  # the picture is enlarged twice


def test_box_in_a_cut_and_scaled_picture():
    box = FaceBox(30, 50, 70, 110, 0.9)
    assert box.side == 50
    assert box.centre == (50, 80)
    assert box.mapped(10, 20, 2, 0.5) == FaceBox(40, 15, 120, 45, 0.9)


def test_choice_of_a_detector(detector, monkeypatch, tmp_path):
    assert [face_detector(name)[1] for name in ("auto", "cnn", "hog")] == ["cnn", "cnn", "hog"]
    assert type(face_detector("cnn")[0]) is FaceDetector
    monkeypatch.setenv(detection.DETECTOR_VARIABLE, str(tmp_path / "none.dat"))
    chosen, name = face_detector("auto")
    assert (type(chosen), name) == (HogDetector, "hog")
    with pytest.raises(AssetMissing, match=r"none\.dat"):
        face_detector("cnn")


def test_no_detector_without_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    for name in ("auto", "cnn", "hog"):
        with pytest.raises(AssetMissing, match=r"s2f\[dlib\]"):
            face_detector(name)


@pytest.mark.parametrize(("gpus", "asked"), [(2, [1]), (0, [])])
def test_each_process_has_its_gpu(monkeypatch, gpus, asked):
    chosen = []
    cuda = SimpleNamespace(set_device=chosen.append, get_num_devices=lambda: gpus)
    fake = SimpleNamespace(DLIB_USE_CUDA=True, cuda=cuda, get_frontal_face_detector=lambda: None)
    monkeypatch.setitem(sys.modules, "dlib", fake)
    face_detector("hog", gpu=3)
    assert chosen == asked
