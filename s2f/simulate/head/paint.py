"""Colour of skin, eyes and hair as functions of the BASE shape's position, so that paint sticks to any head."""

import numpy as np
from numba import njit

from s2f.simulate.head.appearance import Look
from s2f.simulate.head.regions import (
    ALAR,
    CARDS,
    CHEEK,
    CHINBEARD,
    CREASE,
    CROW,
    EYEBAG,
    FOREHEAD,
    GLABELLA,
    LASH,
    LAYERS,
    LEFT_EYE,
    LIDSHADE,
    LIPLINE,
    LIPS,
    LOWER_LASH,
    MARIONETTE,
    MOUSTACHE,
    NASOLABIAL,
    NOSETIP,
    NOSTRIL,
    PIXELS_PER_DM,
    RIGHT_EYE,
    SHINE,
    SIDEBEARD,
    SKIN,
    SOCKET,
    TEETH,
    TOP_Y_DM,
    UNDEREYE,
)

_EYE_X, _EYE_Y = 0.30777, 7.28414


@njit(cache=True, inline="always")
def _hash(i: int, j: int, k: int) -> float:
    h = (i * 374761393 + j * 668265263 + k * 2147483647 + 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFF) / 65535.0


@njit(cache=True)
def noise3(x: float, y: float, z: float) -> float:
    """Smooth lattice noise, -1 to 1, one cell per unit."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for a in range(2):
        for b in range(2):
            near = (u if a else 1 - u) * (v if b else 1 - v)
            total += near * ((1 - w) * _hash(i + a, j + b, k) + w * _hash(i + a, j + b, k + 1))
    return 2 * total - 1


@njit(cache=True)
def smooth(low: float, high: float, x: float) -> float:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


_AZIMUTH = np.array([0.0, 0.35, 0.62, 0.78, 0.92, 1.04, 1.2, 1.4, 1.75, 1.95, 2.3, 3.2])
_HAIRLINE = np.array([0.49, 0.50, 0.46, 0.34, 0.12, -0.08, 0.06, 0.14, 0.10, -0.25, -0.62, -0.66])
_RECEDES = np.array([0.8, 1.2, 1.35, 1.1, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


@njit(cache=True)
def hairline_margin(x: float, y: float, z: float, recession: float) -> float:
    """How far inside the hairy scalp a base position lies, radians of elevation; negative outside."""
    azimuth = abs(np.arctan2(x, z - 0.35))
    elevation = np.arctan2(y - 7.45, np.sqrt(x * x + (z - 0.35) ** 2) + 1e-6)
    i = 0
    while i < 10 and _AZIMUTH[i + 1] < azimuth:
        i += 1
    t = min((azimuth - _AZIMUTH[i]) / (_AZIMUTH[i + 1] - _AZIMUTH[i]), 1.0)
    line = _HAIRLINE[i] + t * (_HAIRLINE[i + 1] - _HAIRLINE[i])
    return elevation - line - recession * (_RECEDES[i] + t * (_RECEDES[i + 1] - _RECEDES[i]))


@njit(cache=True)
def collar_drop(x: float, y: float, z: float) -> float:
    """How far below the shirt's collar a base position lies, dm; negative above it."""
    return 5.66 - 0.16 * smooth(0.2, 0.9, z) + 0.22 * smooth(0.15, 0.6, abs(x)) - y


@njit(cache=True)
def _mix(a, b, t):
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


@njit(cache=True)
def hair_colour(look: Look, strand: float, shade: float):
    """Linear RGB of a strand; `strand` and `shade` are noises from -1 to 1."""
    grey = smooth(0.0, 0.5, look.grey * 1.5 - 0.25 + 0.35 * strand) * min(1.0, 2 * look.grey)
    silver = 0.30 + 0.15 * strand
    t = 1.0 + 0.5 * shade
    base = (look.hair[0] * t, look.hair[1] * t, look.hair[2] * t)
    return _mix(base, (silver, silver, silver * 0.98), grey)


@njit(cache=True)
def eye_paint(look: Look, dx: float, dy: float, lid: float):
    """Albedo of an eyeball at (dx, dy) dm from its centre; `lid` is the upper lid's shadow, 0 to 1."""
    r = np.sqrt(dx * dx + dy * dy)
    white = 0.56 - 0.24 * smooth(0.085, 0.15, r)
    colour = (white, white * 0.93, white * 0.88)
    if r < 0.07:
        streak = 1 + 0.35 * noise3(12 * np.arctan2(dy, dx), r * 40, look.seed)
        ring = (1 - 0.75 * smooth(0.046, 0.063, r)) * streak * (0.8 + 0.5 * smooth(0.02, 0.05, r))
        iris = _mix(
            (look.iris[0] * ring, look.iris[1] * ring, look.iris[2] * ring),
            (0.006, 0.005, 0.005),
            1 - smooth(0.022, 0.027, r),
        )
        colour = _mix(iris, colour, smooth(0.0585, 0.066, r))
    dark = 1 - 0.66 * lid
    colour = (colour[0] * dark, colour[1] * dark, colour[2] * dark)
    spark = 1 - smooth(0.009, 0.015, np.sqrt((dx - 0.02) ** 2 + (dy - 0.024) ** 2))
    return _mix(colour, (1.0, 1.0, 1.0), spark * 0.9)


@njit(cache=True)
def brow_strength(look: Look, ax: float, y: float, strand: float) -> float:
    """Density of the brow at |x| = ax, 0 to 1."""
    t = (ax - 0.105) / 0.40
    if t < -0.08 or t > 1.05:
        return 0.0
    tt = min(max(t, 0.0), 1.0)
    centre = 7.432 + (0.046 + look.brow_arch) * np.sin(0.8 * np.pi * tt**1.15) + look.brow_lift * (1 - tt) ** 2
    thick = look.brow_thickness * (1.0 - 0.62 * tt**1.6) * (0.75 + 0.25 * smooth(0.0, 0.2, t))
    edge = smooth(-0.08, 0.1, t) * (1 - smooth(0.85, 1.05, t))
    return edge * np.exp(-((abs(y - centre) / thick) ** 2.6)) * (0.86 + 0.2 * strand)


@njit(cache=True)
def skin_paint(look: Look, x: float, y: float, z: float, m: np.ndarray):
    """Albedo (3), height dm and gloss of skin, brows, beard, painted scalp or shirt at a base position.

    `m` holds the region masks there.
    """
    s = look.seed
    drop = collar_drop(x, y, z)
    if drop > 0:
        weave = 0.93 + 0.07 * noise3(x * 45, y * 45, z * 45)
        seam = weave * (1 - 0.3 * np.exp(-(((drop - 0.075) / 0.012) ** 2)))
        return (look.shirt[0] * seam, look.shirt[1] * seam, look.shirt[2] * seam, 0.0, 0.0)
    if abs(x) < 0.26 and 6.29 < y < 6.78 and 0.3 < z < (1.25 if y > 6.47 else 1.0):  # inside the mouth
        return (0.06, 0.012, 0.012, 0.0, 0.3)
    coarse = noise3(x * 5 + s, y * 5, z * 5)
    fine = noise3(x * 26, y * 26 + s, z * 26)
    grain = noise3(x * 62, y * 62 + s, z * 62)
    old = smooth(35, 80, look.age)
    rough = 1 - 0.7 * look.youth
    broad = noise3(x * 2.1, y * 2.1 + s, z * 2.1)
    mel = look.melanin * (1 + (0.06 * coarse + 0.05 * broad + 0.04 * fine + 0.03 * grain) * rough)
    blood = look.blood * (1 + (0.14 * coarse + 0.10 * fine) * rough) + 0.13 * m[NOSETIP]
    blood += (0.17 + 0.07 * look.youth) * m[CHEEK] * (1 + 0.4 * coarse)
    mel += 0.10 * m[UNDEREYE] * (0.6 + old - 0.4 * look.youth) + 0.05 * m[SOCKET]
    blood += 0.10 * m[UNDEREYE] + 0.22 * m[LIDSHADE] * (0.25 + look.eye_shadow)
    mel += 0.32 * m[LIDSHADE] * look.eye_shadow
    spots = smooth(0.35, 0.7, noise3(x * 33 + s, y * 33, z * 33)) * smooth(-0.2, 0.4, coarse)
    mel += 0.4 * spots * look.freckles * (0.3 + m[CHEEK] + m[NOSETIP])
    mel += 0.10 * old * smooth(0.3, 0.9, noise3(x * 9, y * 9 + s, z * 9) + 0.25 * fine)
    if old > 0.4:
        spot = noise3(x * 15 + s, y * 15, z * 15) + 0.15 * grain + 0.25 * broad
        mel += 0.20 * smooth(0.4, 1.0, old) * smooth(0.72, 0.86, spot) * (1 - m[LIPS])
    lips = m[LIPS]
    mel += lips * (-0.2 * look.melanin + 0.04)
    blood += lips * (0.50 + 0.85 * look.lip_colour - 0.15 * old)
    rouge = lips * look.lip_colour
    r = 0.82 * np.exp(-mel - 0.08 * blood - 0.18 * rouge)
    g = 0.64 * np.exp(-1.25 * mel - 0.80 * blood - 0.12 * rouge)
    b = 0.54 * np.exp(-1.42 * mel - 0.90 * blood + 0.28 * rouge + 0.1 * lips)
    w = look.wrinkles
    patch = smooth(-0.55, 0.45, noise3(x * 4 + s, y * 11, 3.5))
    lines = (
        0.9 * w[0] * m[FOREHEAD] * patch + w[1] * m[GLABELLA] + w[2] * m[CROW] + w[3] * m[EYEBAG] + w[4] * m[NASOLABIAL]
    )
    lines = min(lines + w[5] * m[MARIONETTE] + 0.12 * (m[NASOLABIAL] + m[EYEBAG]) * rough, 1.0)
    dark = (1 - 0.62 * m[LIPLINE]) * (1 - 0.82 * m[NOSTRIL]) * (1 - 0.36 * m[ALAR]) * (1 - look.crease * m[CREASE])
    dark *= (1 - look.lashes * m[LASH]) * (1 - 0.4 * look.lashes * m[LOWER_LASH]) * (1 - 0.24 * lines)
    r, g, b = r * dark, g * dark * (1 - 0.1 * lines), b * dark * (1 - 0.1 * lines)
    height = -0.011 * lines + (0.0015 * grain * (1 - lips) + 0.0011 * fine * (1 + 2 * old)) * rough
    gloss = 0.5 + 0.7 * m[SHINE] + lips * (0.3 + 0.8 * look.lip_colour)
    strand = noise3(x * 95, y * 34 + s, z * 34)
    fuzz = noise3(x * 130, y * 52 + s, z * 80)
    cover = brow_strength(look, abs(x), y, strand) * (z > 0.25) * look.brow_density
    brow = cover
    beard = max(look.moustache * m[MOUSTACHE], max(look.chin * m[CHINBEARD], look.side * m[SIDEBEARD]))
    beard *= max(smooth(0.88, 1.08, z), smooth(6.55, 6.75, y)) * smooth(0.56, 0.70, z)
    beard = smooth(0.08, 0.85, beard * (0.85 + 0.30 * fuzz)) * (0.86 + 0.10 * fuzz)
    cover = max(cover, beard * (1 - 0.85 * lips))
    margin = hairline_margin(x, y, z, look.recession) + 0.03 * fine + 0.02 * strand
    cover = max(cover, look.scalp * smooth(-0.02, 0.09, margin) * (0.86 + 0.2 * strand))
    shadow = (
        look.stubble
        * max(m[MOUSTACHE], max(m[CHINBEARD], m[SIDEBEARD]))
        * (1 - lips)
        * smooth(0.5, 1.0, z)
        * (0.7 + 0.5 * grain)
    )
    r, g, b = r * (1 - 0.62 * shadow), g * (1 - 0.55 * shadow), b * (1 - 0.48 * shadow)
    hair = hair_colour(look, strand, 0.6 * fuzz + 0.4 * fine)
    tone = 0.8 - 0.48 * smooth(0.1, 0.6, brow) * min(1.0, 2 * look.grey)
    r, g, b = _mix((r, g, b), (hair[0] * tone, hair[1] * tone, hair[2] * tone), min(cover, 1.0))
    return (r, g, b, height + 0.004 * cover * fuzz, gloss * (1 - 0.8 * min(cover, 1.0)))


@njit(cache=True)
def _lookup(masks: np.ndarray, x: float, y: float, z: float, out: np.ndarray) -> None:
    """Bilinear region masks at a base position; 0 behind the face and off the sheet."""
    column, row = abs(x) * PIXELS_PER_DM, (TOP_Y_DM - y) * PIXELS_PER_DM
    out[:] = 0
    if z < 0.25 or row < 0 or row >= masks.shape[0] - 1 or column >= masks.shape[1] - 1:
        return
    i, j = int(row), int(column)
    v, u = row - i, column - j
    for k in range(LAYERS):
        upper = masks[i, j, k] * (1 - u) + masks[i, j + 1, k] * u
        lower = masks[i + 1, j, k] * (1 - u) + masks[i + 1, j + 1, k] * u
        out[k] = upper * (1 - v) + lower * v


@njit(cache=True)
def _hair_paint(look: Look, material: int, base: np.ndarray, uv: np.ndarray):
    """Colour and relief of a hair card or of the scalp's shell."""
    x, y, z = base[0], base[1], base[2]
    s = look.seed
    if material == CARDS:
        strand = 0.7 * noise3(uv[0] * 210 + s, uv[1] * 3, 0.5) + 0.5 * noise3(uv[0] * 430, uv[1] * 4 + s, 3.5)
        lock = noise3(uv[0] * 38 + s, uv[1] * 2, 7.5)
    elif look.curl > 0:
        strand = noise3(x * 34 + s, y * 34, z * 34)
        lock = noise3(x * 13, y * 13 + s, z * 13)
    else:
        strand = noise3(x * 70 + s, y * 14, z * 14)
        lock = noise3(x * 18, y * 5 + s, z * 5)
    colour = hair_colour(look, 0.6 * strand + 0.4 * lock, 0.6 * strand + 0.8 * lock)
    relief = (0.02 if look.curl > 0 else 0.007) * (0.6 * strand + 0.6 * lock)
    return colour[0], colour[1], colour[2], relief, 0.55 + 0.45 * strand


@njit(cache=True)
def paint_pixels(
    owner: np.ndarray, bary: np.ndarray, mesh: tuple, look: Look, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paint every covered pixel.

    Args:
        owner: (H, W) visible triangle, -1 where nothing is.
        bary: (H, W, 2) weights of its second and third corner.
        mesh: position, normal, base, uv, tangent (all per vertex), triangles, material, in camera space.
        look: the person's paint.
        masks: region masks.

    Returns:
        (H, W) int8 material, -1 where nothing is, and (H, W, 14) float32: albedo 0-2, normal 3-5, position 6-8,
        tangent 9-11, relief 12, gloss 13.
    """
    position, normal, base, uv, tangent, triangles, material = mesh
    height, width = owner.shape
    kind = np.full((height, width), -1, np.int8)
    sheet = np.zeros((height, width, 14), np.float32)
    regions = np.zeros(LAYERS, np.float32)
    for i in range(height):
        for j in range(width):
            t = owner[i, j]
            if t < 0:
                continue
            a, b, c = triangles[t]
            v, w = bary[i, j, 0], bary[i, j, 1]
            u = 1 - v - w
            what = material[t]
            kind[i, j] = what
            out = sheet[i, j]
            at = u * base[a] + v * base[b] + w * base[c]
            for k in range(3):
                out[3 + k] = u * normal[a, k] + v * normal[b, k] + w * normal[c, k]
                out[6 + k] = u * position[a, k] + v * position[b, k] + w * position[c, k]
                out[9 + k] = u * tangent[a, k] + v * tangent[b, k] + w * tangent[c, k]
            if what == SKIN:
                _lookup(masks, at[0], at[1], at[2], regions)
                out[0], out[1], out[2], out[12], out[13] = skin_paint(look, at[0], at[1], at[2], regions)
            elif what in (LEFT_EYE, RIGHT_EYE):
                dx = at[0] - (_EYE_X if what == LEFT_EYE else -_EYE_X)
                dy = at[1] - _EYE_Y
                out[0], out[1], out[2] = eye_paint(look, dx, dy, smooth(-0.01, 0.055, dy))
                out[13] = 1.2
            elif what == TEETH:
                gap = 1 - 0.25 * np.exp(-((abs(at[0] * 19 - np.floor(at[0] * 19 + 0.5)) / 0.10) ** 2))
                out[0], out[1], out[2], out[13] = 0.44 * gap, 0.40 * gap, 0.34 * gap, 1.0
            else:
                across = u * uv[a] + v * uv[b] + w * uv[c]
                out[0], out[1], out[2], out[12], out[13] = _hair_paint(look, what, at, across)
    return kind, sheet
