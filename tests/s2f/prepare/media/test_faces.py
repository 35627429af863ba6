"""Squares around faces: geometry by hand with a detector of green rectangles, then dlib on drawn faces."""

import io

import numpy as np
import pytest
from PIL import Image

from s2f.errors import AssetMissing, ImageError
from s2f.faces.detection import FaceBox, find_faces
from s2f.faces.landmarks import DlibLandmarks
from s2f.prepare.config import PrepareConfig
from s2f.prepare.media.faces import FaceModels, cut_face, jpeg_bytes, read_picture
from s2f.prepare.sources.found import FaceSource
from tests.s2f.prepare.material import require_dlib, scene

GREEN = (0, 255, 0)


class GreenDetector:
    """Sees every green rectangle that no other touches; confidence is the share of red around it."""

    def __init__(self):
        self.searched = []

    def detect(self, image):
        from scipy.ndimage import find_objects, label

        self.searched.append(image.shape[:2])
        green = (image[..., 1] > 128) & (image[..., 0] < 128) & (image[..., 2] < 128)
        numbered, _ = label(green)
        return [
            FaceBox(x.start, y.start, x.stop, y.stop, 1 - k / 10) for k, (y, x) in enumerate(find_objects(numbered))
        ]


class GreenModels:
    def __init__(self):
        self.detector = GreenDetector()
        self.asked = []

    def landmarks(self, image, box):
        self.asked.append((image, box))
        return np.full((68, 2), 7.0, np.float32)


def picture(width, height, *rectangles, ground=(90, 90, 90)):
    """Rectangles (left, top, right, bottom) in green."""
    pixels = np.full((height, width, 3), ground, np.uint8)
    for left, top, right, bottom in rectangles:
        pixels[top:bottom, left:right] = GREEN
    return pixels


def cut(image, source=None, models=None, **settings):
    source = source or FaceSource("p", "a.jpg")
    return cut_face(image, source, PrepareConfig("x", "root", "out", **settings), models or GreenModels())


def is_green(pixels):
    return (pixels[..., 1] > 170) & (pixels[..., 0] < 60)


def green_box(pixels):
    """Edges of what is green, as shares of the side."""
    rows, columns = np.nonzero(is_green(pixels))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / len(pixels)


def test_square_around_a_face_by_hand():
    """A box of 60 x 100 px has a mean side of 80, so the square measures 128 px and begins at (166, 86)."""
    models = GreenModels()
    made = cut(picture(500, 400, (200, 100, 260, 200)), models=models, size_px=128)
    np.testing.assert_allclose(green_box(made.pixels), np.array([34, 14, 94, 114]) / 128)
    assert made.pixels.shape == (128, 128, 3)
    assert (made.face_px, made.faces_found, made.flags) == (80.0, 1, ())
    (image, box), *others = models.asked
    assert not others
    assert image is made.pixels
    assert box[:4] == (34, 14, 94, 114)
    assert made.landmarks.shape == (68, 2)


@pytest.mark.parametrize("crop_factor", [1.0, 1.6, 2.5])
def test_crop_factor_is_the_share_of_the_face(crop_factor):
    made = cut(picture(600, 600, (250, 250, 350, 350)), crop_factor=crop_factor, size_px=200)
    left, top, right, bottom = green_box(made.pixels)
    assert right - left == pytest.approx(1 / crop_factor, abs=0.01)
    assert bottom - top == pytest.approx(1 / crop_factor, abs=0.01)


def test_beyond_the_picture_its_edge_is_repeated():
    """Left of the picture its first column goes on: grey beside red in the same rows."""
    image = picture(300, 300, (10, 110, 90, 190))
    image[:, 0] = (255, 0, 0)
    image[150:, 0] = (0, 0, 255)
    made = cut(image, size_px=160, crop_factor=2.0)  # from -30 to 130 and from 70 to 230
    assert (made.pixels[:80, :30] == (255, 0, 0)).all()
    assert (made.pixels[80:, :30] == (0, 0, 255)).all()
    np.testing.assert_array_equal(made.pixels[:, 30:], image[70:230, :130])
    turned = cut(image[::-1, ::-1].copy(), size_px=160, crop_factor=2.0)  # the same at the right
    np.testing.assert_array_equal(turned.pixels, made.pixels[::-1, ::-1])
    upright = cut(image.swapaxes(0, 1).copy(), size_px=160, crop_factor=2.0)  # and at the top
    np.testing.assert_array_equal(upright.pixels, made.pixels.swapaxes(0, 1))


def test_the_largest_face_or_the_one_at_the_centre():
    image = picture(640, 320, (50, 100, 130, 180), (300, 80, 420, 200), (500, 100, 580, 180))
    largest = cut(image, size_px=64)
    assert (largest.face_px, largest.faces_found, largest.flags) == (120.0, 3, ("several_faces",))
    for x, side in ((90 / 640, 80.0), (0.2, 80.0), (360 / 640, 120.0), (0.85, 80.0)):
        made = cut(image, FaceSource("p", "a.jpg", centre=(x, 0.45)), size_px=64)
        assert made.face_px == side
        assert abs(green_box(made.pixels)[[0, 2]].mean() - 0.5) < 0.03
    equal = picture(640, 320, (300, 100, 380, 180), (50, 100, 130, 180))
    models = GreenModels()
    cut(equal, models=models, size_px=64)
    assert models.asked[0][1].confidence == 1.0  # among faces of one size the surest


def test_somebody_elses_face_is_not_taken_for_the_one_at_the_centre():
    image = picture(640, 320, (50, 100, 130, 180))
    with pytest.raises(ImageError, match="a face where the dataset says it is, got the nearest of 1 elsewhere"):
        cut(image, FaceSource("p", "a.jpg", centre=(0.8, 0.45)))
    cut(image, FaceSource("p", "a.jpg", centre=(140 / 640, 0.45)))  # 50 px beside the middle, of 64 in the square


def test_a_scene_without_a_face():
    with pytest.raises(ImageError, match="a picture of a face, got none that the detector sees"):
        cut(picture(300, 200))


def test_a_given_box_is_used_and_what_it_shows_is_looked_at():
    image = picture(640, 320, (50, 100, 130, 180), (300, 80, 420, 200))
    models = GreenModels()
    made = cut(image, FaceSource("p", "a.jpg", box=(40, 90, 140, 190)), models, size_px=160, crop_factor=1.6)
    np.testing.assert_array_equal(made.pixels, image[60:220, 10:170])
    assert (made.face_px, made.faces_found, made.flags) == (100.0, 1, ())
    assert models.detector.searched == [(224, 224)]  # the square of 160 px, enlarged
    np.testing.assert_allclose(models.asked[0][1][:4], (40, 40, 120, 120), atol=1)
    nothing = cut(image, FaceSource("p", "a.jpg", box=(180, 90, 220, 130)), size_px=160)
    assert (nothing.face_px, nothing.faces_found, nothing.flags) == (40.0, 0, ("no_face",))
    assert nothing.landmarks is None


@pytest.mark.parametrize("box", [(9, 9, 5, 20), (700, 10, 800, 90), (-50, 10, 0, 90), (1, 2, 3, float("nan"))])
def test_a_given_box_that_is_none(box):
    with pytest.raises(ImageError, match="a face box within the picture"):
        cut(picture(640, 320), FaceSource("p", "a.jpg", box=box))


def test_a_crop_keeps_its_framing():
    image = picture(300, 200, (110, 60, 170, 120), ground=(10, 20, 30))
    image[:, :50] = 255  # left and right of the middle square
    image[:, 250:] = 255
    models = GreenModels()
    made = cut(image, FaceSource("p", "a.jpg", framing="crop"), models, size_px=100)
    assert not (made.pixels == 255).all(-1).any()
    np.testing.assert_allclose(green_box(made.pixels), [0.3, 0.3, 0.6, 0.6], atol=0.01)
    assert (made.face_px, made.faces_found, made.flags) == (pytest.approx(60, abs=1), 1, ())
    np.testing.assert_allclose(models.asked[0][1][:4], (30, 30, 60, 60), atol=0.5)
    empty = cut(picture(90, 120), FaceSource("p", "a.jpg", framing="crop"), size_px=100)
    assert (empty.face_px, empty.faces_found, empty.flags, empty.landmarks) == (None, 0, ("no_face",), None)
    assert empty.pixels.shape == (100, 100, 3)


def test_of_several_faces_in_a_crop_the_one_in_the_middle_counts():
    image = picture(300, 300, (20, 10, 100, 90), (120, 120, 180, 180), (220, 200, 290, 270))
    models = GreenModels()
    made = cut(image, FaceSource("p", "a.jpg", framing="crop"), models, size_px=300)
    assert (made.face_px, made.faces_found, made.flags) == (60.0, 3, ("several_faces",))
    assert models.asked[0][1][:4] == (120, 120, 180, 180)


def test_the_framing_asked_for_beats_the_adaptors():
    image = picture(640, 320, (50, 100, 130, 180))
    scene_source, crop_source = FaceSource("p", "a.jpg"), FaceSource("p", "a.jpg", framing="crop")
    as_scene = cut(image, scene_source, size_px=64).pixels
    as_crop = cut(image, crop_source, size_px=64).pixels
    assert not np.array_equal(as_scene, as_crop)
    np.testing.assert_array_equal(cut(image, crop_source, framing="scene", size_px=64).pixels, as_scene)
    np.testing.assert_array_equal(cut(image, scene_source, framing="crop", size_px=64).pixels, as_crop)


def test_small_faces():
    image = picture(300, 300, (100, 100, 139, 139))
    assert cut(image).flags == ("small_face",)
    assert cut(image, min_face_px=39).flags == ()
    assert cut(image, FaceSource("p", "a.jpg", box=(90, 90, 120, 120))).flags == ("small_face",)


@pytest.mark.parametrize(
    ("size", "searched"),
    [((1920, 1080), (640, 360)), ((640, 480), (640, 480)), ((300, 225), (300, 225)), ((112, 84), (224, 168))],
)
def test_pictures_are_searched_at_a_bounded_size(size, searched):
    width, height = size
    box = tuple(round(share * side) for share, side in zip((0.25, 0.25, 0.5, 0.75), (width, height) * 2, strict=True))
    detector = GreenDetector()
    (found,) = find_faces(picture(width, height, box), detector, 640)
    assert detector.searched == [searched[::-1]]
    np.testing.assert_allclose(found[:4], box, atol=1.5 * max(1, width / 640))


@pytest.mark.slow
def test_landmarks_are_those_of_the_written_picture():
    """In the written picture itself dlib finds the same points, up to where it sees the box there."""
    require_dlib()
    models = FaceModels("cnn", "dlib")
    config = PrepareConfig("x", "root", "out")
    made = cut_face(scene((900, 640), (380, 240), 300), FaceSource("p", "a.jpg"), config, models)
    assert made.flags == ()
    again = DlibLandmarks(models.detector).landmarks(made.pixels)
    assert np.abs(made.landmarks - again).mean() < 2.0
    jaw, eyes, mouth = made.landmarks[8], made.landmarks[36:48].mean(0), made.landmarks[48:].mean(0)
    assert eyes[1] < mouth[1] < jaw[1]
    assert FaceModels("cnn", "none").landmarks(made.pixels, FaceBox(50, 50, 150, 150, 1.0)) is None


@pytest.mark.slow
def test_hog_and_cnn_cut_alike():
    require_dlib()
    config = PrepareConfig("x", "root", "out")
    image = scene((900, 640), (380, 240), 300)
    cuts = [cut_face(image, FaceSource("p", "a"), config, FaceModels(name, "dlib")) for name in ("cnn", "hog")]
    assert 0.8 < cuts[0].face_px / cuts[1].face_px < 1.25


def test_landmarks_of_the_starter():
    require_dlib()
    try:
        models = FaceModels("hog", "starter")
    except AssetMissing as error:
        pytest.skip(str(error))
    made = cut_face(scene((900, 640), (380, 240), 300), FaceSource("p", "a"), PrepareConfig("x", "r", "o"), models)
    dlibs = FaceModels("hog", "dlib").landmarks(made.pixels, models.detector.detect(made.pixels)[0])
    assert np.abs(made.landmarks - dlibs).mean() < 15  # it was trained on rendered faces, this one is drawn


def test_models_say_which_they_are():
    require_dlib()
    facts = FaceModels("auto", "dlib").facts
    assert facts["detector"] == "cnn"
    assert len(facts["detector_sha256"]) == len(facts["landmarks_sha256"]) == 64
    assert FaceModels("hog", "none").facts == {"detector": "hog"}


# --- reading and writing ----------------------------------------------------------------------------------------------


def saved(folder, image, name, **options):
    image.save(folder / name, **options)
    return folder / name


GRADIENT = Image.fromarray(np.arange(60 * 40 * 3, dtype=np.uint16).reshape(40, 60, 3).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "CMYK", "1"])
def test_every_kind_of_colour_becomes_rgb(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    pixels = read_picture(saved(tmp_path, GRADIENT.convert(mode), name))
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(pixels, np.asarray(GRADIENT))


def test_16_bit_grey_keeps_its_tones(tmp_path):
    steps = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    pixels = read_picture(saved(tmp_path, Image.fromarray(steps), "a.png"))
    np.testing.assert_array_equal(pixels[..., 0], steps >> 8)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.gif"])
def test_formats(tmp_path, name):
    grey = Image.new("RGB", (60, 40), (99, 99, 99))
    assert np.abs(read_picture(saved(tmp_path, grey, name)).astype(int) - 99).max() <= 1


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (0, 0, 30, 20))  # white at the top left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    pixels = read_picture(saved(tmp_path, image, "a.jpg", exif=exif, quality=100))
    assert pixels.shape == (60, 40, 3)
    assert pixels[:20, 30:].min() > 200  # now at the top right
    assert pixels[:, :15].max() < 50


def test_what_is_no_picture(tmp_path, recwarn):
    whole = saved(tmp_path, Image.effect_noise((300, 300), 90), "whole.jpg").read_bytes()
    cases = {
        "text.jpg": (b"This is a letter. " * 99, "got a file that is none of these; convert it"),
        "empty.jpg": (b"", "got a file that is none of these"),
        "truncated.jpg": (whole[: len(whole) // 2], "expected a picture that can be decoded, got image file is trunc"),
        "header.jpg": (whole[:200], "expected a picture"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "none of these"),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError) as caught:
            read_picture(tmp_path / name)
        assert words in str(caught.value), name
        assert "0x" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.jpg")
    assert not recwarn.list


@pytest.mark.parametrize("most", [100, 700])
def test_pictures_that_would_fill_the_memory(tmp_path, monkeypatch, most):
    """Twice Pillow's limit it raises an error, beyond the limit it only warns."""
    path = saved(tmp_path, Image.new("L", (40, 30)), "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(ImageError, match=f"a picture of at most {most} pixels"):
        read_picture(path)


def test_jpeg_is_the_same_every_time_and_close_to_the_picture():
    pixels = scene((224, 224), (12, 12))
    data = jpeg_bytes(pixels)
    assert data == jpeg_bytes(pixels.copy())
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 2
        assert max(image.quantization[0]) < 15  # at quality 75 it is 61
