"""A small software renderer: z-buffer in numba, then deferred paint and light, float32 throughout.

Image x runs right, y down; the person's left is at image right. Camera space is the mesh's frame turned by the pose,
with the camera on the +z axis looking at the point between the eyes.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import ndimage

from s2f.simulate.head.appearance import Look
from s2f.simulate.head.mesh import Mesh
from s2f.simulate.head.paint import paint_pixels, smooth
from s2f.simulate.head.regions import CARDS, SHELL, SKIN, TEETH, region_masks
from s2f.simulate.render.rasterizer import rasterise

EYE_LINE = 0.47
PIXELS_PER_DM_AT_224 = 76.0
_PIVOT = np.array([0.0, -0.25, -0.75], np.float32)


@dataclass(frozen=True)
class View:
    """Pose, camera and light of one picture.

    Attributes:
        size_px: side of the square image.
        supersample: rays per pixel side.
        yaw_deg: positive turns the face to image right.
        pitch_deg: positive looks down.
        roll_deg: positive tilts clockwise.
        distance_dm: camera to eyes.
        zoom: extra scale, 1 for the canonical framing.
        shift_px: displacement right and down, in pixels of a 224 image.
        key: direction to the key light and its linear RGB strength.
        fill: the same of the fill light.
        sky: linear RGB strength of the even light.
        background: (H, W, 3) linear RGB, or None for the canonical grey.
        noise: standard deviation of sensor noise in 0 to 255 steps.
        blur_px: standard deviation of blur in pixels.
    """

    size_px: int = 224
    supersample: int = 2
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    distance_dm: float = 11.0
    zoom: float = 1.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    key: tuple[float, ...] = (0.22, 0.62, 0.80, 0.86, 0.84, 0.82)
    fill: tuple[float, ...] = (-0.6, 0.15, 0.7, 0.25, 0.26, 0.28)
    sky: tuple[float, float, float] = (0.33, 0.33, 0.34)
    background: np.ndarray | None = None
    noise: float = 0.0
    blur_px: float = 0.0


@njit(cache=True)
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = np.sqrt(x * x + y * y + z * z) + 1e-9
    return x / length, y / length, z / length


@njit(cache=True)
def _shadow(sheet: np.ndarray, kind: np.ndarray, i: int, j: int, light: np.ndarray, px_per_dm: float) -> float:
    """Share of the key light that gets through, by a short march over the depth buffer."""
    height, width = kind.shape
    z = sheet[i, j, 8]
    blocked = 0.0
    for step in range(1, 11):
        s = 0.045 * step
        y = int(i - light[1] * s * px_per_dm + 0.5)
        x = int(j + light[0] * s * px_per_dm + 0.5)
        if y < 0 or x < 0 or y >= height or x >= width:
            break
        if kind[y, x] >= 0:
            over = sheet[y, x, 8] - (z + light[2] * s)
            blocked += smooth(0.015, 0.06, over) * (1 - smooth(0.5, 0.9, over)) * (1.15 - 0.07 * step)
    return 1 - 0.62 * min(blocked / 2.2, 1.0)


@njit(cache=True)
def _bumped(kind: np.ndarray, sheet: np.ndarray, i: int, j: int, px_per_dm: float) -> tuple[float, float, float]:
    """Unit normal tilted by the slope of the relief."""
    height, width = kind.shape
    what, p = kind[i, j], sheet[i, j]
    gx = gy = 0.0
    if 0 < j < width - 1 and kind[i, j + 1] == what and kind[i, j - 1] == what:
        gx = (sheet[i, j + 1, 12] - sheet[i, j - 1, 12]) * 0.5 * px_per_dm
    if 0 < i < height - 1 and kind[i + 1, j] == what and kind[i - 1, j] == what:
        gy = (sheet[i - 1, j, 12] - sheet[i + 1, j, 12]) * 0.5 * px_per_dm
    return _unit(p[3] - min(max(gx, -0.8), 0.8), p[4] - min(max(gy, -0.8), 0.8), p[5])


@njit(cache=True)
def _highlight(what: int, half: float, along: float, lit: float) -> float:
    """Strength of the highlight: two lobes on skin, a strand's (Kajiya-Kay) on hair, a sharp one on eyes."""
    if what == SKIN:
        return 0.035 * half**10 + 0.05 * half**38
    if what in (CARDS, SHELL):
        return 0.06 * max(1 - along * along, 0.0) ** 14 * max(lit + 0.2, 0.0)
    if what == TEETH:
        return 0.02 * half**10
    return 0.25 * half**90


@njit(cache=True)
def light_pixels(
    kind: np.ndarray,
    sheet: np.ndarray,
    openness: np.ndarray,
    lights: np.ndarray,
    sky: np.ndarray,
    camera_dm: float,
    px_per_dm: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Light every covered pixel: diffuse light wrapped per channel, and highlights.

    Args:
        kind: (H, W) material, -1 where nothing is.
        sheet: (H, W, 14) as from `s2f.simulate.head.paint.paint_pixels`.
        openness: (H, W) ambient occlusion, 0 to 1.
        lights: (2, 6) key and fill: unit direction and linear RGB.
        sky: (3,) even light.
        camera_dm: distance of the camera from the origin.
        px_per_dm: scale of the picture.

    Returns:
        (H, W, 3) diffuse and (H, W, 3) highlight light, float32.
    """
    diffuse = np.zeros((*kind.shape, 3), np.float32)
    shine = np.zeros((*kind.shape, 3), np.float32)
    wrap = (0.38, 0.20, 0.14)
    for i in range(kind.shape[0]):
        for j in range(kind.shape[1]):
            what = kind[i, j]
            if what < 0:
                continue
            p, shade = sheet[i, j], openness[i, j]
            if what in (CARDS, SHELL):
                shade = 0.45 + 0.55 * shade
            nx, ny, nz = _bumped(kind, sheet, i, j, px_per_dm)
            vx, vy, vz = _unit(-p[6], -p[7], camera_dm - p[8])
            even = (0.62 + 0.38 * ny) * shade * (1.0 + 0.35 * max(nz, 0.0))
            for k in range(3):
                diffuse[i, j, k] = sky[k] * even
            for n in range(2):
                light = lights[n]
                through = _shadow(sheet, kind, i, j, light, px_per_dm) if n == 0 else 0.5 + 0.5 * shade
                lit = nx * light[0] + ny * light[1] + nz * light[2]
                hx, hy, hz = _unit(light[0] + vx, light[1] + vy, light[2] + vz)
                half = max(nx * hx + ny * hy + nz * hz, 0.0)
                spec = _highlight(what, half, p[9] * hx + p[10] * hy + p[11] * hz, lit) * p[13] * shade
                for k in range(3):
                    w = 0.35 if what in (CARDS, SHELL) else wrap[k]
                    soft = max((lit + w) / (1 + w), 0.0)
                    diffuse[i, j, k] += light[3 + k] * through * (soft * np.sqrt(np.sqrt(soft))) * (0.35 + 0.65 * shade)
                    shine[i, j, k] += light[3 + k] * through * spec
    return diffuse, shine


def _soft(image: np.ndarray, size_px: float) -> np.ndarray:
    """Two box blurs, in place of a wide Gaussian."""
    size = max(round(size_px), 1)
    once = ndimage.uniform_filter(image, size, mode="nearest")
    return ndimage.uniform_filter(once, size, mode="nearest")


def _ambient_occlusion(kind: np.ndarray, sheet: np.ndarray, px_per_dm: float) -> np.ndarray:
    """How open the surroundings are, 0 to 1, from the depth buffer blurred at three widths."""
    covered = (kind >= 0).astype(np.float32)
    depth = sheet[:, :, 8] * covered
    inside, z = _halved(covered), _halved(depth)
    result = covered
    for width_dm, strength, reach_dm in ((0.10, 0.45, 0.06), (0.30, 0.45, 0.2), (0.9, 0.28, 0.7)):
        width = width_dm * px_per_dm / 2
        mean = _doubled(_soft(z, width) / np.maximum(_soft(inside, width), 1e-3), depth.shape)
        result = result * (1 - strength * np.clip((mean - depth) / reach_dm, 0, 1))
    return result


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 blocks; an odd last row or column is repeated."""
    even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2)), mode="edge")
    return 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])


def _doubled(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_halved` for smooth images, interpolated between block centres."""
    wide = np.pad(image, 1, mode="edge")
    rows = np.empty((2 * image.shape[0], wide.shape[1]), image.dtype)
    rows[::2] = 0.75 * wide[1:-1] + 0.25 * wide[:-2]
    rows[1::2] = 0.75 * wide[1:-1] + 0.25 * wide[2:]
    full = np.empty((2 * image.shape[0], 2 * image.shape[1]), image.dtype)
    full[:, ::2] = 0.75 * rows[:, 1:-1] + 0.25 * rows[:, :-2]
    full[:, 1::2] = 0.75 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    return full[: shape[0], : shape[1]]


def _scatter(diffuse: np.ndarray, kind: np.ndarray, px_per_dm: float) -> np.ndarray:
    """Let light bleed inside the skin, red furthest."""
    skin = (kind == SKIN).astype(np.float32)
    result = diffuse.copy()
    for channel, sigma_dm in enumerate((0.0174, 0.0087, 0.0054)):
        sigma = sigma_dm * px_per_dm
        if sigma > 0.5:
            weight = ndimage.gaussian_filter(skin, sigma, truncate=2)
            blurred = ndimage.gaussian_filter(diffuse[:, :, channel] * skin, sigma, truncate=2)
            mixed = 0.35 * diffuse[:, :, channel] + 0.65 * blurred / np.maximum(weight, 1e-3)
            result[:, :, channel] = np.where(skin > 0, mixed, diffuse[:, :, channel])
    return result


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Rotation matrix of a pose.

    Args:
        yaw_deg: about the upward axis.
        pitch_deg: about the axis to image right.
        roll_deg: about the viewing axis.

    Returns:
        (3, 3) float32; columns are multiplied from the left.
    """
    y, p, r = np.radians((yaw_deg, pitch_deg, -roll_deg))
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def project(points: np.ndarray, view: View) -> np.ndarray:
    """Image positions of camera-space points.

    Args:
        points: (n, 3) camera space, dm.
        view: the view.

    Returns:
        (n, 2) x and y in pixels of the final image; the top left corner of the image is (0, 0).
    """
    unit = view.size_px / 224
    focal = PIXELS_PER_DM_AT_224 * unit * view.zoom * view.distance_dm
    away = view.distance_dm - points[:, 2]
    x = view.size_px / 2 + view.shift_px[0] * unit + focal * points[:, 0] / away
    y = view.size_px * EYE_LINE + view.shift_px[1] * unit - focal * points[:, 1] / away
    return np.stack([x, y], 1).astype(np.float32)


def turn(points: np.ndarray, view: View) -> np.ndarray:
    """Turn mesh-frame points into camera space about a pivot inside the head.

    Args:
        points: (n, 3) mesh frame.
        view: the view.

    Returns:
        (n, 3) float32.
    """
    return (points - _PIVOT) @ rotation(view.yaw_deg, view.pitch_deg, view.roll_deg).T + _PIVOT


def render(mesh: Mesh, look: Look, view: View) -> np.ndarray:
    """Draw one picture.

    Args:
        mesh: the head.
        look: its paint.
        view: pose, camera and light.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    side = view.size_px * view.supersample
    turned = rotation(view.yaw_deg, view.pitch_deg, view.roll_deg).T
    position = turn(mesh.position, view)
    xy = project(position, view) * np.float32(view.supersample)
    raster = rasterise(xy, position[:, 2].copy(), mesh.triangles, mesh.cut, mesh.uv[:, 0].copy(), side, side)
    arrays = (position, mesh.normal @ turned, mesh.base, mesh.uv, mesh.tangent @ turned, mesh.triangles, mesh.material)
    kind, sheet = paint_pixels(raster.triangle, raster.bary, arrays, look, region_masks())
    px_per_dm = PIXELS_PER_DM_AT_224 * view.zoom * side / 224
    occlusion = _ambient_occlusion(kind, sheet, px_per_dm)
    lights = np.stack([_light(view.key), _light(view.fill)])
    sky = np.array(view.sky, np.float32)
    diffuse, shine = light_pixels(kind, sheet, occlusion, lights, sky, view.distance_dm, px_per_dm)
    colour = sheet[:, :, :3] * _scatter(diffuse, kind, px_per_dm) + shine
    behind = _grey(side) if view.background is None else view.background
    colour = np.where((kind >= 0)[:, :, None], colour, behind)
    colour = colour.reshape(view.size_px, view.supersample, view.size_px, view.supersample, 3).mean((1, 3))
    return _encode(colour)


def _light(source: tuple[float, ...]) -> np.ndarray:
    light = np.array(source, np.float32)
    light[:3] /= np.linalg.norm(light[:3])
    return light


def _grey(side: int) -> np.ndarray:
    """The canonical background: grey with a slight vignette."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    level = 0.36 - 0.09 * (axis[:, None] ** 2 + axis[None, :] ** 2)
    return np.repeat(level[:, :, None], 3, 2) * np.array((0.98, 1.0, 1.03), np.float32)


def _encode(linear: np.ndarray) -> np.ndarray:
    """Linear light to 8-bit sRGB with a soft shoulder."""
    x = np.maximum(linear, 0)
    x = np.where(x > 0.8, 0.8 + 0.2 * (1 - np.exp(-(x - 0.8) / 0.2)), x)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
    return np.clip(srgb * 255 + 0.5, 0, 255).astype(np.uint8)
