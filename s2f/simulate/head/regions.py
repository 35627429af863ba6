"""Regions of the face, drawn once on the frontal projection of the right half of the base face."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

PIXELS_PER_DM, TOP_Y_DM, WIDTH_DM, HEIGHT_DM = 220.0, 8.6, 0.9, 3.0
LIPS, LIPLINE, NOSTRIL, ALAR, CREASE, LASH, LOWER_LASH, CHEEK, NOSETIP, UNDEREYE, LIDSHADE, SHINE = range(12)
MOUSTACHE, CHINBEARD, SIDEBEARD, FOREHEAD, GLABELLA, CROW, EYEBAG, NASOLABIAL, MARIONETTE, SOCKET = range(12, 22)
LAYERS = 22
SKIN, LEFT_EYE, RIGHT_EYE, CARDS, SHELL, TEETH = range(6)

# Curves on the right half (x, y in dm) as "half width: x y, x y, ...".
_CURVES = {
    LIPLINE: ("0.007: 0 6.606, .06 6.607, .12 6.609, .18 6.607, .225 6.606",),
    ALAR: ("0.011: .150 6.838, .172 6.850, .190 6.880, .192 6.915, .178 6.945",),
    CREASE: ("0.012: .185 7.335, .21 7.352, .25 7.372, .30 7.379, .35 7.373, .40 7.356, .45 7.326",),
    LASH: ("0.012: .180 7.270, .205 7.296, .25 7.318, .30 7.331, .36 7.328, .41 7.308, .455 7.283, .475 7.290",),
    LOWER_LASH: ("0.008: .20 7.258, .25 7.240, .31 7.230, .37 7.235, .42 7.255, .445 7.278",),
    FOREHEAD: (
        "0.011: 0 7.910, .10 7.913, .20 7.905, .31 7.878",
        "0.010: 0 7.834, .10 7.836, .21 7.820, .28 7.808",
        "0.010: 0 7.765, .12 7.760, .24 7.742",
        "0.010: 0 7.690, .08 7.672, .20 7.680, .31 7.660",
        "0.009: 0 7.620, .10 7.610, .20 7.598, .30 7.592",
    ),
    GLABELLA: ("0.010: .052 7.385, .060 7.45, .066 7.525", "0.010: 0 7.324, .04 7.318"),
    CROW: (
        "0.008: .50 7.306, .56 7.330, .62 7.345",
        "0.008: .50 7.292, .56 7.298, .63 7.300",
        "0.008: .50 7.278, .56 7.270, .63 7.246",
        "0.008: .50 7.262, .56 7.240, .62 7.204",
    ),
    EYEBAG: (
        "0.012: .18 7.170, .23 7.140, .28 7.126, .33 7.127, .39 7.150, .44 7.178",
        "0.010: .18 7.110, .23 7.083, .28 7.068, .34 7.070, .38 7.085",
    ),
    NASOLABIAL: ("0.014: .205 6.925, .24 6.855, .27 6.805, .30 6.742, .325 6.67, .335 6.60",),
    MARIONETTE: ("0.013: .285 6.56, .305 6.50, .318 6.44, .322 6.375",),
}
# Gaussian spots: strength x y sx sy.
_SPOTS = {
    NOSTRIL: ((1.15, 0.092, 6.862, 0.024, 0.014),),
    CHEEK: ((1, 0.43, 6.98, 0.15, 0.15),),
    NOSETIP: ((1, 0, 6.93, 0.10, 0.10),),
    UNDEREYE: ((1, 0.29, 7.165, 0.13, 0.045), (0.5, 0.17, 7.18, 0.04, 0.05)),
    LIDSHADE: ((1, 0.31, 7.372, 0.12, 0.034),),
    SHINE: ((1, 0, 7.76, 0.28, 0.20), (0.9, 0, 7.1, 0.05, 0.2), (0.5, 0, 6.3, 0.1, 0.06), (0.4, 0.4, 7.06, 0.09, 0.08)),
    SOCKET: ((1, 0.19, 7.33, 0.07, 0.07), (0.7, 0.34, 7.40, 0.15, 0.03)),
}
# Bands between two curves: softness; x; lower y; upper y.
_BANDS = {
    LIPS: (
        0.010,
        (0, 0.04, 0.07, 0.10, 0.14, 0.18, 0.22, 0.26, 0.275),
        (6.497, 6.497, 6.499, 6.503, 6.517, 6.537, 6.560, 6.597, 6.605),
        (6.691, 6.703, 6.711, 6.703, 6.687, 6.660, 6.637, 6.612, 6.605),
    ),
    MOUSTACHE: (
        0.03,
        (0, 0.10, 0.15, 0.20, 0.25, 0.30, 0.34),
        (6.69, 6.70, 6.67, 6.635, 6.55, 6.52, 6.56),
        (6.79, 6.80, 6.785, 6.755, 6.70, 6.61, 6.56),
    ),
    CHINBEARD: (
        0.04,
        (0, 0.10, 0.20, 0.25, 0.30, 0.36),
        (6.08, 6.095, 6.12, 6.18, 6.25, 6.40),
        (6.47, 6.49, 6.515, 6.55, 6.57, 6.40),
    ),
    SIDEBEARD: (
        0.05,
        (0, 0.16, 0.28, 0.33, 0.40, 0.48, 0.56, 0.64, 0.70, 0.80),
        (6.06, 6.06, 6.08, 6.10, 6.14, 6.18, 6.22, 6.28, 6.34, 6.5),
        (6.22, 6.25, 6.30, 6.60, 6.70, 6.79, 6.91, 7.12, 7.33, 7.40),
    ),
}


@lru_cache(maxsize=1)
def region_masks() -> np.ndarray:
    """Masks of the face's regions on the right half of the base face.

    Returns:
        (rows, columns, LAYERS) float32, 0 to 1; x = column / PIXELS_PER_DM, y = TOP_Y_DM - row / PIXELS_PER_DM.
    """
    rows, columns = int(HEIGHT_DM * PIXELS_PER_DM), int(WIDTH_DM * PIXELS_PER_DM)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / PIXELS_PER_DM
    y = TOP_Y_DM - y
    masks = np.zeros((rows, columns, LAYERS), np.float32)
    for layer, curves in _CURVES.items():
        for curve in curves:
            np.maximum(masks[:, :, layer], _stroke(x, y, curve), out=masks[:, :, layer])
    for layer, spots in _SPOTS.items():
        for strength, cx, cy, sx, sy in spots:
            shape = strength * np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
            np.maximum(masks[:, :, layer], np.minimum(shape, 1), out=masks[:, :, layer])
    for layer, (soft, at, low, high) in _BANDS.items():
        inside = np.minimum(y - np.interp(x, at, low), np.interp(x, at, high) - y)
        inside = np.where(x > at[-1], -1, inside)
        masks[:, :, layer] = np.clip(0.5 + inside / soft, 0, 1)
    return masks


def _stroke(x: np.ndarray, y: np.ndarray, curve: str) -> np.ndarray:
    """Soft line of a given half width that thins out at its outer end."""
    width, _, path = curve.partition(":")
    points = np.array([[float(word) for word in pair.split()] for pair in path.split(",")])
    best = np.full(x.shape, np.inf, np.float32)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        np.minimum(best, (x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2, out=best)
    return np.exp(-best / float(width) ** 2)
