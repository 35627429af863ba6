"""Triangles of one person in one expression: skin, eyes, shirt and hair, in a common frame for the camera."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from s2f.simulate.faces import Person, head_vertices, landmark_vertices, macro_weights
from s2f.simulate.makehuman import HairStyle, HeadModel
from s2f.simulate.masks import CARDS, SHELL, SKIN
from s2f.simulate.paint import collar_drop, hairline_margin, noise3, smooth

# style: thickness dm, lumpiness dm, lumps per dm
SHELLS = {
    "crop": (0.075, 0.03, 5.0),
    "curls": (0.19, 0.09, 5.0),
    "fullcurls": (0.34, 0.10, 4.0),
    "afro": (0.40, 0.07, 4.0),
    "pulled": (0.055, 0.0, 3.0),
}
_NO_SHELL = ("buzz", "bald")


@dataclass(frozen=True)
class Mesh:
    """One renderable head; the frame's origin is midway between the eyes, units are normalised dm.

    Attributes:
        position: (n, 3) float32.
        normal: (n, 3) float32, unit length.
        base: (n, 3) float32, the same points on MakeHuman's base shape.
        uv: (n, 2) float32, across and along the strands of hair cards; 0 elsewhere.
        tangent: (n, 3) float32, direction of hair strands; 0 elsewhere.
        cut: (n,) float32; a pixel is dropped where this, roughened by noise, is above 0.
        triangles: (t, 3) int32.
        material: (t,) uint8, as numbered in `s2f.simulate.paint`.
        landmarks: (68, 3) float32.
    """

    position: np.ndarray
    normal: np.ndarray
    base: np.ndarray
    uv: np.ndarray
    tangent: np.ndarray
    cut: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    landmarks: np.ndarray


class HeadRig:
    """What all persons share: base surface, triangles, landmark vertices and the reference head size."""

    def __init__(self, model: HeadModel) -> None:
        """Prepare a model.

        Args:
            model: MakeHuman's head.
        """
        self.model = model
        self.base = (model.subdivision @ model.base).astype(np.float32)
        quads = model.quads
        self.triangles = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
        self.material = np.repeat(model.part, 2)
        self.landmarks = landmark_vertices(model)
        self.eyes = np.unique(quads[model.part > 0])
        self.drop = vertex_drop(self.base)
        self.reference_size = self._head_size(model.subdivision @ self._average_head())

    def _average_head(self) -> np.ndarray:
        weights = macro_weights(27.0, 0.5, (1 / 3, 1 / 3, 1 / 3), 0.5, 0.5)
        vector = np.zeros(len(self.model.target_row), np.float32)
        for name, value in weights.items():
            if name in self.model.target_row:
                vector[self.model.target_row[name]] = value
        return self.model.base + (self.model.targets.T @ vector).reshape(-1, 3)

    def _head_size(self, surface: np.ndarray) -> float:
        points = surface[self.landmarks]
        height = np.linalg.norm(surface[self.eyes].mean(0) - points[8])
        return float(np.sqrt(height * np.linalg.norm(points[1] - points[15])))

    def mesh(self, person: Person, expression: dict[str, float] | None = None) -> Mesh:
        """Build a person's mesh.

        Args:
            person: whose head.
            expression: weights of expression units, 0 to 1.

        Returns:
            The mesh, its size normalised by face height and width.
        """
        coarse = head_vertices(self.model, person, expression)
        surface = (self.model.subdivision @ coarse).astype(np.float32)
        eyes = surface[self.eyes].mean(0)
        scale = self.reference_size / self._head_size(surface)
        landmarks = (surface[self.landmarks] - eyes) * scale
        normal = vertex_normals(surface, self.triangles)
        clothed = surface + 0.035 * np.clip(self.drop / 0.05, 0, 1)[:, None] * normal
        n = len(surface)
        zeros = np.zeros((n, 3), np.float32)
        pieces: list[tuple[np.ndarray, ...]] = [
            (clothed, normal, self.base, zeros[:, :2], zeros, np.full(n, -9, np.float32))
        ]
        triangles, material = [self.triangles], [self.material]
        style = person.hair_style
        if style in self.model.hair:
            pieces.append(self._cards(self.model.hair[style], coarse, surface))
            triangles.append(self.model.hair[style].triangles + n)
        elif style not in _NO_SHELL:
            piece, faces = self._shell(surface, normal, person)
            pieces.append(piece)
            triangles.append(faces + n)
        if len(triangles) > 1:
            kind = CARDS if style in self.model.hair else SHELL
            material.append(np.full(len(triangles[1]), kind, np.uint8))
        fields = [np.ascontiguousarray(np.concatenate(column), np.float32) for column in zip(*pieces, strict=True)]
        fields[0] = ((fields[0] - eyes) * scale).astype(np.float32)
        faces = np.concatenate(triangles).astype(np.int32)
        position, normal, base, uv, tangent, cut = fields
        kinds = np.concatenate(material)
        return Mesh(position, normal, base, uv, tangent, cut, faces, kinds, landmarks.astype(np.float32))

    def _cards(self, style: HairStyle, coarse: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, ...]:
        """Hair cards: normals mostly radial (cards themselves are rough), tangents along v."""
        placed = style.fit(coarse).astype(np.float32)
        at_rest = style.fit(self.model.base).astype(np.float32)
        skull = surface[self.base[:, 1] > 7.0].mean(0)
        radial = placed - skull
        radial[:, 1] *= np.where(radial[:, 1] < 0, 0.15, 1)
        radial /= np.linalg.norm(radial, axis=1, keepdims=True) + 1e-6
        own = vertex_normals(placed, style.triangles)
        own *= np.sign((own * radial).sum(1, keepdims=True) + 1e-6)
        normal = 0.65 * radial + 0.35 * own
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
        x, y, z = at_rest.T
        fringe = 1.05 - (x / 0.60) ** 2 - ((y - 6.98) / 0.86) ** 2
        cut = np.where(z > 0.9, fringe * 1.5, -9).astype(np.float32)
        tangent = strand_tangents(placed, style.uv, style.triangles)
        return placed, normal.astype(np.float32), at_rest, style.uv, tangent, cut

    def _shell(self, surface: np.ndarray, normal: np.ndarray, person: Person) -> tuple[tuple, np.ndarray]:
        """A second skin over the scalp, lifted along the normals and cut at the hairline."""
        margin, lift = shell_lift(self.base, np.array(SHELLS[person.hair_style]), person.recession, person.texture_seed)
        skin = self.material == SKIN
        faces = self.triangles[skin & (margin[self.triangles].max(1) > -0.06)]
        kept, faces = np.unique(faces, return_inverse=True)
        faces = faces.reshape(-1, 3).astype(np.int32)
        placed = (surface[kept] + lift[kept, None] * normal[kept]).astype(np.float32)
        bent = vertex_normals(placed, faces)
        back = np.array([0, -0.35, -1], np.float32)
        tangent = back - (bent @ back)[:, None] * bent
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
        empty = np.zeros((len(kept), 2), np.float32)
        return (placed, bent, self.base[kept], empty, tangent, -margin[kept] * 9 + 0.1), faces


@njit(cache=True)
def vertex_normals(position: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals: sums of the triangles' cross products.

    Args:
        position: (n, 3).
        triangles: (t, 3).

    Returns:
        (n, 3) float32.
    """
    normal = np.zeros((len(position), 3), np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = position[b] - position[a]
        vx, vy, vz = position[c] - position[a]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normal[i, 0] += x
            normal[i, 1] += y
            normal[i, 2] += z
    for i in range(len(normal)):
        length = np.sqrt((normal[i] ** 2).sum()) + 1e-12
        normal[i] /= length
    return normal


@njit(cache=True)
def strand_tangents(position: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit directions of growing v on a textured mesh.

    Args:
        position: (n, 3).
        uv: (n, 2).
        triangles: (t, 3).

    Returns:
        (n, 3) float32.
    """
    tangent = np.zeros((len(position), 3), np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        u1, v1 = uv[b] - uv[a]
        u2, v2 = uv[c] - uv[a]
        area = u1 * v2 - u2 * v1
        if abs(area) > 1e-12:
            along = ((position[c] - position[a]) * u1 - (position[b] - position[a]) * u2) / area
            length = np.sqrt((along**2).sum()) + 1e-12
            for i in (a, b, c):
                tangent[i] += along / length
    for i in range(len(tangent)):
        tangent[i] /= np.sqrt((tangent[i] ** 2).sum()) + 1e-12
    return tangent


@njit(cache=True)
def shell_lift(base: np.ndarray, shape: np.ndarray, recession: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hairline margin and lift of the hair's shell at each base position.

    Args:
        base: (n, 3) base positions, dm.
        shape: thickness dm, lumpiness dm, lumps per dm.
        recession: radians.
        seed: start of the noise.

    Returns:
        (n,) margin in radians and (n,) lift in dm.
    """
    margin = np.empty(len(base), np.float32)
    lift = np.empty(len(base), np.float32)
    s = seed % 977
    for i in range(len(base)):
        x, y, z = base[i]
        m = hairline_margin(x, y, z, recession)
        margin[i] = m
        f = shape[2]
        lumps = noise3(x * f + s, y * f, z * f) + 0.5 * noise3(x * 2.3 * f, y * 2.3 * f + s, z * 2.3 * f)
        grow = smooth(-0.03, 0.30, m) * (0.5 + 0.5 * smooth(7.2, 8.1, y))
        lift[i] = grow * (shape[0] + shape[1] * lumps) + 0.008 * smooth(-0.03, 0.05, m) - 0.006
    return margin, lift


@njit(cache=True)
def vertex_drop(base: np.ndarray) -> np.ndarray:
    """How far below the collar each base position lies, (n,) dm."""
    drop = np.empty(len(base), np.float32)
    for i in range(len(base)):
        drop[i] = collar_drop(base[i, 0], base[i, 1], base[i, 2])
    return drop
