"""Simulated people: geometry against hand-computed cases, pictures and tables against their contract.

A tiny MakeHuman checkout (an ellipsoid with two eyes) is written on the spot; only the detector test needs real data.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2f.errors import UsageError
from s2f.simulate.head.appearance import look_of
from s2f.simulate.head.makehuman import catmull_clark, load_head, read_target
from s2f.simulate.head.mesh import HeadRig, vertex_normals
from s2f.simulate.head.person import detail_weights, head_vertices, macro_weights
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.render import views
from s2f.simulate.render.rasterizer import rasterise
from s2f.simulate.render.renderer import View
from s2f.simulate.render.views import canonical_landmarks, render_canonical, render_wild
from tests import CHECKOUT
from tests.s2f.simulate.small_makehuman import CUBE, CUBE_QUADS, ball, write_makehuman

DATA = CHECKOUT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return write_makehuman(tmp_path_factory.mktemp("checkout"), sliders=False)


@pytest.fixture(scope="module")
def rig(checkout, tmp_path_factory) -> HeadRig:
    return HeadRig(load_head(checkout, None, tmp_path_factory.mktemp("cache")))


def plain_person(gender="m", hair_style="buzz"):
    person = sample_person(np.random.default_rng(3), gender, 30.0, (0.6, 0.3, 0.1), hair_meshes=False)
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


def test_condensed_arrays_are_read_back(checkout, rig, tmp_path):
    load_head(checkout, None, tmp_path)
    again = load_head(checkout / "makehuman", None, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 1
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
    assert first[0].shape == (48, 48, 3)
    assert first[0].dtype == np.uint8
    assert first[1].dtype == np.float32
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.abs(first[0].astype(float) - other[0]).mean() > 5
    assert np.abs(first[1] - other[1]).mean() > 1


def test_landmarks_without_the_mesh_are_those_of_the_mesh(rig):
    for seed in range(4):
        person = sample_person(np.random.default_rng(seed), "fm"[seed % 2], 20.0 * (seed + 1), (0.2, 0.3, 0.5), False)
        np.testing.assert_allclose(rig.landmarks_of(person), rig.mesh(person).landmarks, atol=2e-5)
    assert rig.landmark_base.shape == (69, 3)
    assert rig.landmark_targets.shape == (len(rig.model.target_row), 69, 3)


def test_wild_landmarks_follow_the_pose(rig, monkeypatch):
    person = plain_person()
    monkeypatch.setattr(views, "sample_expression", lambda _: ({}, {}))

    def landmarks(**pose):
        monkeypatch.setattr(views, "sample_view", lambda _, size_px: View(size_px=size_px, **pose))
        return render_wild(rig, person, np.random.default_rng(0), 224)[1]

    plain = landmarks()
    np.testing.assert_allclose(plain, canonical_landmarks(rig, person), atol=1e-3)
    moved = landmarks(shift_px=(5.0, -3.0))
    np.testing.assert_allclose(moved - plain, np.tile((5, -3), (68, 1)), atol=1e-3)
    turned = landmarks(yaw_deg=30.0)
    eyes = (turned[36] + turned[45]) / 2
    assert turned[30, 0] - eyes[0] > 5  # the nose sticks out to image right
    np.testing.assert_allclose(landmarks(zoom=2.0)[27] - plain[27], plain[27] - (111.5, 0.47 * 224 - 0.5), atol=1e-3)
    tilted = landmarks(roll_deg=10.0)
    across = tilted[45] - tilted[36]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_expressions_stay_in_range(seed):
    drawn = [views.sample_expression(np.random.default_rng([seed, k])) for k in range(60)]
    assert all(0 <= weight <= 1 for units, _ in drawn for weight in units.values())
    assert all(abs(change) <= 1 for _, moved in drawn for change in moved.values())
    assert len({tuple(sorted(units)) for units, _ in drawn}) >= 5
    assert not any("*" in unit for units, _ in drawn for unit in units)


# --- ages -----------------------------------------------------------------------------------------------------------


def drawn_at(age, gender, count=60, hair_meshes=True):
    return [
        sample_person(np.random.default_rng([5, k]), gender, age, (0.4, 0.3, 0.3), hair_meshes) for k in range(count)
    ]


@pytest.mark.parametrize("gender", ["f", "m"])
def test_children_look_like_children(gender):
    children, adults = drawn_at(7.0, gender), drawn_at(30.0, gender)
    for p in children:
        assert (p.beard, p.lip_colour, p.eye_shadow, p.grey) == ("none", 0.0, 0.0, 0.0)
        assert not any(p.wrinkles)
        assert p.hair_style not in ("bald", "pulled", "fullcurls")
        assert look_of(p).stubble == look_of(p).moustache == look_of(p).chin == look_of(p).side == 0
        assert p.sliders["head-age"] == 0
    assert np.std([p.sliders["chin-width"] for p in children]) < 0.8 * np.std([p.sliders["chin-width"] for p in adults])
    assert np.mean([p.brow_thickness for p in children]) < np.mean([p.brow_thickness for p in adults])
    assert np.mean([p.muscle for p in children]) < np.mean([p.muscle for p in adults])
    styles = {p.hair_style for p in children}
    assert styles & ({"long01", "bob01"} if gender == "f" else {"short01", "short02"})


@pytest.mark.parametrize("gender", ["f", "m"])
def test_old_people_look_old(gender):
    old, young = drawn_at(78.0, gender), drawn_at(25.0, gender)
    assert all(min(p.wrinkles) > 0 and p.sliders["head-age"] > 0.05 for p in old)
    assert np.mean([sum(p.wrinkles) for p in old]) > 20 * np.mean([sum(p.wrinkles) for p in young])
    assert np.mean([p.grey > 0.4 for p in old]) > 0.6
    assert not any(p.grey for p in young)
    assert look_of(old[0]).brow_density < look_of(young[0]).brow_density
    if gender == "m":
        assert np.mean([p.recession for p in old]) > 2 * np.mean([p.recession for p in young])
        assert np.mean([p.hair_style == "bald" for p in old]) > np.mean([p.hair_style == "bald" for p in young])


def test_beards_come_with_age():
    assert all(p.beard == "none" for p in drawn_at(15.9, "m"))
    assert {p.beard for p in drawn_at(17.0, "m")} == {"none", "stubble"}
    assert {p.beard for p in drawn_at(30.0, "m")} == {"none", "stubble", "moustache", "goatee", "full"}
    assert all(p.beard == "none" for p in drawn_at(30.0, "f"))


@pytest.mark.parametrize(
    "change",
    [
        {"gender": "x"},
        {"age_years": 4.9},
        {"age_years": 85.1},
        {"age_years": float("nan")},
        {"mix": (0.5, 0.5, 0.5)},
        {"mix": (1.5, -0.5, 0.0)},
    ],
)
def test_bad_persons(change):
    good = {"gender": "f", "age_years": 30.0, "mix": (0.2, 0.3, 0.5), "hair_meshes": False}
    sample_person(np.random.default_rng(0), **good)
    with pytest.raises(UsageError, match=r"(?s)expected .*, got .*; \w+"):
        sample_person(np.random.default_rng(0), **(good | change))


def test_persons_of_a_seed():
    def person(number, gender="f"):
        rng = np.random.default_rng([0, number])
        age, mix = rng.uniform(18, 75), rng.dirichlet((0.35,) * 3)
        return sample_person(rng, gender, age, (mix[0], mix[1], mix[2]), False)

    assert person(3) == person(3)
    assert person(3) != person(4)
    people = [person(k, "fm"[k % 2]) for k in range(300)]
    widths = [p.sliders["chin-width"] for p in people]
    assert np.mean(widths[::2]) < np.mean(widths[1::2])
    assert all(np.isfinite([v for v in p.truth().values() if not isinstance(v, str)]).all() for p in people)


# --- with the real head ---------------------------------------------------------------------------------------------


@pytest.mark.slow
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
        image, points = render_canonical(
            rig, sample_person(np.random.default_rng(k), "fm"[k % 2], 7.0 + 12 * k, (0.3, 0.3, 0.4), True)
        )
        found = detector(image, 0)
        assert len(found) == 1
        box = found[0].rect
        inside = (points[17:] > (box.left(), box.top())) & (points[17:] < (box.right(), box.bottom()))
        assert inside.mean() > 0.9


# Coefficients of variation of 2000 draws of ICT FaceKit's own sampler, same distances between the 68 points. The upper
# lip is 51 to 62 and the lower lip 66 to 57: what is red, without the opening.
ICT_VARIATION = {
    (31, 35): 0.107,
    (4, 12): 0.062,
    (1, 15): 0.052,
    (27, 8): 0.056,
    (39, 42): 0.089,
    (48, 54): 0.077,
    (51, 62): 0.16,
    (66, 57): 0.18,
}


def test_adults_vary_as_much_as_those_of_another_head_model(real_head):
    rig = real_head
    points = []
    for k in range(400):
        rng = np.random.default_rng([21, k])
        age, mix = rng.uniform(18, 75), rng.dirichlet((0.35,) * 3)
        points.append(canonical_landmarks(rig, sample_person(rng, "fm"[k % 2], age, tuple(mix), False)))
    for (a, b), expected in ICT_VARIATION.items():
        length = np.linalg.norm(np.stack(points)[:, a] - np.stack(points)[:, b], axis=1)
        assert length.std() / length.mean() == pytest.approx(expected, rel=0.2), (a, b)
    person = sample_person(np.random.default_rng(0), "f", 30.0, (0.2, 0.3, 0.5), False)
    smile = {"mouth-corner-puller": 1.0, "mouth-open": 0.4}
    np.testing.assert_allclose(rig.landmarks_of(person, smile), rig.mesh(person, smile).landmarks, atol=2e-5)
    rest, moved = rig.landmarks_of(person), rig.landmarks_of(person, smile)
    assert np.linalg.norm(moved[48] - moved[54]) > 1.05 * np.linalg.norm(rest[48] - rest[54])
    gap = moved[[61, 62, 63], 1] - moved[[67, 66, 65], 1]
    assert (gap > 0.08).all()  # upper points stay up; once all six lay on the lower lip
    assert (rest[[61, 62, 63], 1] - rest[[67, 66, 65], 1] < 0.04).all()
    np.testing.assert_allclose(moved[36:46], rest[36:46], atol=0.02)  # the opening mouth does not shrink the face
