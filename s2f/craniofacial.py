"""The twelve craniofacial measures of Speech2Face on the 68 iBUG landmarks.

Paper: Oh et al., "Speech2Face: Learning the Face Behind a Voice" (CVPR 2019), Fig. 5c. The paper names the measures and
their correlations between true and reconstructed faces; it prints no landmark indices. The indices here follow the
anthropometric definitions behind the names (Merler et al., "Diversity in Faces", 2019); nose area is not among those
and is the polygon nasion, right ala, subnasale, left ala.
"""

import numpy as np
from jaxtyping import Float

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
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise UsageError("landmarks of shape (N, 68, 2)", f"{points.shape}", "pass one row of 68 points per face")

    def apart(first: np.ndarray | int, second: np.ndarray | int) -> np.ndarray:
        a = points[:, first] if isinstance(first, int) else first
        b = points[:, second] if isinstance(second, int) else second
        return np.linalg.norm(a - b, axis=-1)

    stomion = points[:, [62, 66]].mean(1)
    jaw, face_width, mouth = apart(4, 12), apart(1, 15), apart(48, 54)
    nose_height, nose_width = apart(27, 33), apart(31, 35)
    x, y = points[:, [27, 31, 33, 35]].transpose(2, 0, 1)
    area = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1))
    return {
        "upper_lip_height": apart(33, stomion),
        "lateral_upper_lip_heights": (apart(32, 50) + apart(34, 52)) / 2,
        "jaw_width": jaw,
        "nose_height": nose_height,
        "nose_width": nose_width,
        "labio_oral_region": mouth,
        "mandibular_index": apart(stomion, 8) / jaw,
        "intercanthal_index": apart(39, 42) / apart(36, 45),
        "nasal_index": nose_width / nose_height,
        "vermilion_height_index": apart(51, stomion) / apart(stomion, 57),
        "mouth_face_width_index": mouth / face_width,
        "nose_area": area,
        "face_height": apart(27, 8),
        "face_width": face_width,
    }
