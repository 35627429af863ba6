"""Faces of 68 points whose measures are set one by one."""

import numpy as np

SIZES = {
    "nose_height": 40.0,
    "nose_width": 20.0,
    "upper_lip_height": 15.0,
    "right_lateral_lip": 9.0,
    "left_lateral_lip": 12.0,
    "jaw": 80.0,
    "jaw_low": 70.0,
    "jaw_high": 90.0,
    "mouth": 35.0,
    "chin": 30.0,
    "inner_eyes": 20.0,
    "outer_eyes": 60.0,
    "upper_vermilion": 5.0,
    "lower_vermilion": 8.0,
    "face": 100.0,
    "face_high": 104.0,
    "face_low": 96.0,
}


def schematic_face(**sizes: float) -> np.ndarray:
    """(68, 2) points of a face of `SIZES`, but for those given."""
    size = SIZES | sizes
    points = np.zeros((68, 2))
    nose, lips = size["nose_height"], size["nose_height"] + size["upper_lip_height"]
    for first, last, name, y in (
        (31, 35, "nose_width", nose - 3),
        (4, 12, "jaw", lips),
        (5, 11, "jaw_low", lips + 10),
        (3, 13, "jaw_high", lips - 10),
        (48, 54, "mouth", lips),
        (39, 42, "inner_eyes", 0),
        (36, 45, "outer_eyes", 0),
        (1, 15, "face", 10),
        (0, 16, "face_high", 0),
        (2, 14, "face_low", 20),
    ):
        points[first], points[last] = (-size[name] / 2, y), (size[name] / 2, y)
    quarter = (size["inner_eyes"] + size["outer_eyes"]) / 4
    points[[37, 38, 40, 41]], points[[43, 44, 46, 47]] = (-quarter, 0), (quarter, 0)
    points[[37, 41, 43, 47], 0] += (2, -2, 2, -2)  # no point of an eye is its centre
    points[28:31] = [(0, nose * share) for share in (0.25, 0.5, 0.75)]
    points[33], points[8] = (0, nose), (0, lips + size["chin"])
    points[32], points[34] = (-size["nose_width"] / 4, nose), (size["nose_width"] / 4, nose)
    points[50] = points[32] + (0, size["right_lateral_lip"])
    points[52] = points[34] + (0, size["left_lateral_lip"])
    points[62], points[66] = (0, lips - 1), (0, lips + 1)
    points[51], points[57] = (0, lips - size["upper_vermilion"]), (0, lips + size["lower_vermilion"])
    return points + np.array([112, 80])


def sizes_of_people(people: int, seed: int = 0) -> dict[str, np.ndarray]:
    """(people,) sizes by name, independent of one another, within a tenth of `SIZES`."""
    random = np.random.default_rng(seed)
    return {name: size * random.uniform(0.9, 1.1, people) for name, size in SIZES.items()}


def faces_of(sizes: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 68, 2) points of people of given sizes."""
    count = len(next(iter(sizes.values())))
    return np.stack([schematic_face(**{name: values[k] for name, values in sizes.items()}) for k in range(count)])


def measures_of(sizes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The twelve measures, from the sizes."""
    s = sizes
    return {
        "upper_lip_height": s["upper_lip_height"],
        "lateral_upper_lip_heights": (s["right_lateral_lip"] + s["left_lateral_lip"]) / 2,
        "jaw_width": s["jaw"],
        "nose_height": s["nose_height"],
        "nose_width": s["nose_width"],
        "labio_oral_region": s["mouth"],
        "mandibular_index": s["chin"] / s["jaw"],
        "intercanthal_index": s["inner_eyes"] / s["outer_eyes"],
        "nasal_index": s["nose_width"] / s["nose_height"],
        "vermilion_height_index": s["upper_vermilion"] / s["lower_vermilion"],
        "mouth_face_width_index": s["mouth"] / s["face"],
        "nose_area": s["nose_width"] * s["nose_height"] / 2,
    }
