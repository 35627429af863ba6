"""A z-buffer rasteriser: which triangle is nearest under each pixel, and where in it."""

from typing import NamedTuple

import numpy as np
from numba import njit

from s2f.simulate.head.paint import noise3


class Raster(NamedTuple):
    """Visible triangle per pixel.

    Attributes:
        triangle: (H, W) int32, -1 where nothing is.
        bary: (H, W, 2) float32 weights of the second and third corner.
        depth: (H, W) float32 nearness (larger is nearer), -inf where nothing is.
    """

    triangle: np.ndarray
    bary: np.ndarray
    depth: np.ndarray


@njit(cache=True)
def rasterise(
    xy: np.ndarray,
    near: np.ndarray,
    triangles: np.ndarray,
    cut: np.ndarray,
    strand: np.ndarray,
    height: int,
    width: int,
) -> Raster:
    """Find the nearest triangle under every pixel centre.

    Args:
        xy: (n, 2) float32 positions in pixels; pixel (row i, column j) has its centre at (j + 0.5, i + 0.5).
        near: (n,) float32, larger is nearer.
        triangles: (t, 3) int32; both orientations are drawn.
        cut: (n,) float32; a pixel is skipped where the interpolated value plus strand noise is above 0.
        strand: (n,) float32 coordinate across the strands, for that noise.
        height: rows.
        width: columns.

    Returns:
        The raster.
    """
    owner = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 2), np.float32)
    depth = np.full((height, width), -np.inf, np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, bx, by, cx, cy = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                px, py = j + 0.5 - ax, i + 0.5 - ay
                v = (px * (cy - ay) - (cx - ax) * py) / area
                w = ((bx - ax) * py - px * (by - ay)) / area
                if v < -1e-6 or w < -1e-6 or v + w > 1.000001:
                    continue
                z = near[a] + v * (near[b] - near[a]) + w * (near[c] - near[a])
                if z <= depth[i, j]:
                    continue
                edge = cut[a] + v * (cut[b] - cut[a]) + w * (cut[c] - cut[a])
                if edge > -1.0:
                    across = strand[a] + v * (strand[b] - strand[a]) + w * (strand[c] - strand[a])
                    if edge + 0.35 * noise3(across * 240, 0.5, 0.5) > 0:
                        continue
                depth[i, j] = z
                owner[i, j] = t
                bary[i, j, 0] = v
                bary[i, j, 1] = w
    return Raster(owner, bary, depth)
