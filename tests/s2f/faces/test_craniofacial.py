"""The measures, their other readings and their size-free form, on faces drawn by ruler."""

import numpy as np
import pytest

from s2f.errors import UsageError
from s2f.faces.craniofacial import (
    ALTERNATIVES,
    DIMENSIONS,
    MEASURES,
    alternative_measures,
    craniofacial_measures,
    inter_ocular,
    normalised_measures,
)
from tests.eval.schematic_faces import faces_of, measures_of, sizes_of_people

SIZES = sizes_of_people(20)
FACES = faces_of(SIZES)


def test_every_measure_is_the_size_it_is_named_after():
    found, expected = craniofacial_measures(FACES), measures_of(SIZES)
    assert tuple(expected) == MEASURES
    for name in MEASURES:
        np.testing.assert_allclose(found[name], expected[name], err_msg=name)
    np.testing.assert_allclose(found["face_width"], SIZES["face"])
    np.testing.assert_allclose(found["face_height"], SIZES["nose_height"] + SIZES["upper_lip_height"] + SIZES["chin"])


def test_other_readings_by_hand():
    found = alternative_measures(FACES)
    assert {(name, reading) for name, readings in ALTERNATIVES.items() for reading in readings} == set(found)
    down = SIZES["upper_lip_height"] - SIZES["upper_vermilion"]
    expected = {
        ("lateral_upper_lip_heights", "32-51 and 34-51"): np.hypot(SIZES["nose_width"] / 4, down),
        ("jaw_width", "5-11"): SIZES["jaw_low"],
        ("jaw_width", "3-13"): SIZES["jaw_high"],
        ("mandibular_index", "jaw 5-11"): SIZES["chin"] / SIZES["jaw_low"],
        ("mandibular_index", "jaw 3-13"): SIZES["chin"] / SIZES["jaw_high"],
        ("mouth_face_width_index", "face 0-16"): SIZES["mouth"] / SIZES["face_high"],
        ("mouth_face_width_index", "face 2-14"): SIZES["mouth"] / SIZES["face_low"],
        ("nose_area", "half width x height"): SIZES["nose_width"] * SIZES["nose_height"] / 2,
    }
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, err_msg=str(key))
    # pentagon 27, 31, 32, 34, 35: a triangle down to the alae and a trapezium of height 3 below it
    hull = SIZES["nose_width"] * ((SIZES["nose_height"] - 3) / 2 + 3 * (1 + 0.5) / 2)
    np.testing.assert_allclose(found["nose_area", "hull of 27-35"], hull)


def test_a_nose_on_one_line_has_no_hull():
    face = FACES[:1].copy()
    face[0, 27:36] = [(k, 2 * k) for k in range(9)]
    assert alternative_measures(face)["nose_area", "hull of 27-35"] == 0


def test_size_of_each_face_leaves_indices_and_normalised_measures_alone():
    grown = FACES * np.linspace(0.5, 3, len(FACES))[:, None, None] + 7
    before, after = craniofacial_measures(FACES), craniofacial_measures(grown)
    for name in (name for name in MEASURES if name.endswith("_index")):
        np.testing.assert_allclose(after[name], before[name], err_msg=name)
    sizes, same = normalised_measures(FACES), normalised_measures(grown)
    assert set(sizes) == {name for name in MEASURES if not name.endswith("_index")}
    for name, values in sizes.items():
        np.testing.assert_allclose(same[name], values, err_msg=name)
        assert not np.allclose(after[name], before[name])
        assert DIMENSIONS[name] == (2 if name == "nose_area" else 1)


def test_inter_ocular_distance_joins_the_centres_of_the_eyes():
    between = (SIZES["inner_eyes"] + SIZES["outer_eyes"]) / 2
    np.testing.assert_allclose(inter_ocular(FACES), between)
    np.testing.assert_allclose(normalised_measures(FACES)["jaw_width"], SIZES["jaw"] / between)
    area = SIZES["nose_width"] * SIZES["nose_height"] / 2
    np.testing.assert_allclose(normalised_measures(FACES)["nose_area"], area / between**2)


@pytest.mark.parametrize("measure", [craniofacial_measures, alternative_measures, inter_ocular, normalised_measures])
def test_other_shapes_are_refused(measure):
    with pytest.raises(UsageError, match=r"\(N, 68, 2\)"):
        measure(FACES[0])
