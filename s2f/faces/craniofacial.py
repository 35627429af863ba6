"""The twelve craniofacial measures of Speech2Face on the 68 iBUG landmarks.

Paper: Oh et al., "Speech2Face: Learning the Face Behind a Voice" (CVPR 2019), Fig. 5c. The paper names the measures and
their correlations between true and reconstructed faces; it prints no landmark indices. The indices here follow the
anthropometric definitions behind the names (Merler et al., "Diversity in Faces", 2019); nose area is not among those
and is the polygon nasion, right ala, subnasale, left ala. `ALTERNATIVES` are other readings, for a look at how much
hangs on the choice.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

from s2f.errors import UsageError

PUBLISHED_CORRELATIONS = {
    "upper_lip_height": 0.16,
    "lateral_upper_lip_heights": 0.26,
    "jaw_width": 0.11,
    "nose_height": 0.14,
    "nose_width": 0.35,
    "labio_oral_region": 0.17,
    "mandibular_index": 0.20,
    "intercanthal_index": 0.21,
    "nasal_index": 0.38,
    "vermilion_height_index": 0.29,
    "mouth_face_width_index": 0.20,
    "nose_area": 0.28,
}
MEASURES = tuple(PUBLISHED_CORRELATIONS)
DIMENSIONS = {name: 2 if name == "nose_area" else 0 if name.endswith("_index") else 1 for name in MEASURES}  # of length
ALTERNATIVES = {
    "lateral_upper_lip_heights": ("32-51 and 34-51",),
    "jaw_width": ("5-11", "3-13"),
    "mandibular_index": ("jaw 5-11", "jaw 3-13"),
    "mouth_face_width_index": ("face 0-16", "face 2-14"),
    "nose_area": ("hull of 27-35", "half width x height"),
}
EYES = (slice(36, 42), slice(42, 48))


def craniofacial_measures(landmarks: Float[np.ndarray, "N 68 2"]) -> dict[str, Float[np.ndarray, " N"]]:
    """Measure faces.

    Args:
        landmarks: (N, 68, 2) iBUG points, x and y in pixels.

    Returns:
        (N,) float64 by name: the twelve `MEASURES` (heights and widths in pixels, indices without unit, nose area in
        square pixels), and `face_height` (nasion to chin, 27-8) and `face_width` (1-15) in pixels.

    Raises:
        UsageError: landmarks of another shape.

    Paper:
        Speech2Face, Fig. 5c. Vermilion height index and the like are ratios of the distances named there.
    """
    points = _checked(landmarks)
    stomion = _stomion(points)
    jaw, face_width, mouth = (_apart(points, *ends) for ends in ((4, 12), (1, 15), (48, 54)))
    nose_height, nose_width = _apart(points, 27, 33), _apart(points, 31, 35)
    x, y = points[:, [27, 31, 33, 35]].transpose(2, 0, 1)
    area = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1))
    return {
        "upper_lip_height": _apart(points, 33, stomion),
        "lateral_upper_lip_heights": (_apart(points, 32, 50) + _apart(points, 34, 52)) / 2,
        "jaw_width": jaw,
        "nose_height": nose_height,
        "nose_width": nose_width,
        "labio_oral_region": mouth,
        "mandibular_index": _apart(points, 8, stomion) / jaw,
        "intercanthal_index": _apart(points, 39, 42) / _apart(points, 36, 45),
        "nasal_index": nose_width / nose_height,
        "vermilion_height_index": _apart(points, 51, stomion) / _apart(points, 57, stomion),
        "mouth_face_width_index": mouth / face_width,
        "nose_area": area,
        "face_height": _apart(points, 27, 8),
        "face_width": face_width,
    }


def alternative_measures(landmarks: Float[np.ndarray, "N 68 2"]) -> dict[tuple[str, str], Float[np.ndarray, " N"]]:
    """Measure faces by other readings of the same names.

    Args:
        landmarks: (N, 68, 2) iBUG points, x and y in pixels.

    Returns:
        (N,) float64 by measure and reading, the keys those of `ALTERNATIVES`; units as in `craniofacial_measures`.
        The hull of a flat nose has no area.

    Raises:
        UsageError: landmarks of another shape.

    Paper:
        Speech2Face, Fig. 5c, prints no indices. The gonion is taken one point lower or higher on the jaw, the zygion
        likewise, the upper lip at its middle instead of its peaks; nose area is in none of the sources at all.
    """
    points = _checked(landmarks)
    chin, mouth = _apart(points, 8, _stomion(points)), _apart(points, 48, 54)
    lips = (_apart(points, 32, 51) + _apart(points, 34, 51)) / 2
    found = {("lateral_upper_lip_heights", "32-51 and 34-51"): lips}
    for first, last in ((5, 11), (3, 13)):
        found["jaw_width", f"{first}-{last}"] = _apart(points, first, last)
        found["mandibular_index", f"jaw {first}-{last}"] = chin / _apart(points, first, last)
    for first, last in ((0, 16), (2, 14)):
        found["mouth_face_width_index", f"face {first}-{last}"] = mouth / _apart(points, first, last)
    found["nose_area", "hull of 27-35"] = np.array([_hull_area(face[27:36]) for face in points])
    found["nose_area", "half width x height"] = _apart(points, 31, 35) * _apart(points, 27, 33) / 2
    return {(name, reading): found[name, reading] for name, readings in ALTERNATIVES.items() for reading in readings}


def inter_ocular(landmarks: Float[np.ndarray, "N 68 2"]) -> Float[np.ndarray, " N"]:
    """Distance in pixels between the centres of the eyes, the means of points 36 to 41 and 42 to 47.

    Args:
        landmarks: (N, 68, 2) iBUG points, x and y in pixels.

    Returns:
        (N,) float64.

    Raises:
        UsageError: landmarks of another shape.
    """
    points = _checked(landmarks)
    right, left = (points[:, eye].mean(1) for eye in EYES)
    return np.linalg.norm(right - left, axis=-1)


def normalised_measures(landmarks: Float[np.ndarray, "N 68 2"]) -> dict[str, Float[np.ndarray, " N"]]:
    """The measures that depend on a face's size, in units of its inter-ocular distance (areas: of its square).

    Args:
        landmarks: (N, 68, 2) iBUG points, x and y in pixels.

    Returns:
        (N,) float64 by name, without unit; the five indices, which this leaves as they are, are not among them.

    Raises:
        UsageError: landmarks of another shape.

    Paper:
        Not in Speech2Face, whose pictures are normalised faces; the check that a correlation is not one of size.
    """
    unit, values = inter_ocular(landmarks), craniofacial_measures(landmarks)
    return {name: values[name] / unit**power for name, power in DIMENSIONS.items() if power}


def _checked(landmarks: Float[np.ndarray, "N 68 2"]) -> Float[np.ndarray, "N 68 2"]:
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise UsageError("landmarks of shape (N, 68, 2)", f"{points.shape}", "pass one row of 68 points per face")
    return points


def _apart(points: np.ndarray, first: int, second: int | np.ndarray) -> Float[np.ndarray, " N"]:
    """Distance of a landmark from another one, or from (N, 2) points."""
    other = points[:, second] if isinstance(second, int) else second
    return np.linalg.norm(points[:, first] - other, axis=-1)


def _stomion(points: np.ndarray) -> Float[np.ndarray, "N 2"]:
    """Where the lips meet."""
    return points[:, [62, 66]].mean(1)


def _hull_area(points: Float[np.ndarray, "K 2"]) -> float:
    try:
        return float(ConvexHull(points).volume)  # of a plane figure the volume is the area
    except QhullError:
        return 0.0
