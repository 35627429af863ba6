"""Triangles of one person in one expression: skin, eyes, shirt and hair, in a common frame for the camera."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numba import njit

from s2f.simulate.head.makehuman import HairStyle, HeadModel
from s2f.simulate.head.paint import collar_drop, hairline_margin, noise3, smooth
from s2f.simulate.head.person import (
    Person,
    detail_weights,
    head_vertices,
    landmark_vertices,
    macro_weights,
    slider_rows,
    target_weights,
)
from s2f.simulate.head.regions import CARDS, SHELL, SKIN, TEETH

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
        material: (t,) uint8, as numbered in `s2f.simulate.head.paint`.
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
        self.landmark_base, self.landmark_targets = self._landmark_model()
        self.reference_size = _head_size(self.landmark_base + np.tensordot(self._average(), self.landmark_targets, 1))

    def _landmark_model(self) -> tuple[np.ndarray, np.ndarray]:
        """Base positions (69, 3) and displacements (t, 69, 3) per target of the landmarks and the eyes' centre."""
        matrix = self.model.subdivision
        picked = sp.vstack([matrix[self.landmarks], sp.csr_matrix(matrix[self.eyes].mean(0))]).T.tocsc()
        columns = self.model.targets.tocsc()
        moved = [(columns[:, axis::3] @ picked).toarray() for axis in range(3)]
        return picked.T @ self.model.base.astype(np.float64), np.stack(moved, -1).astype(np.float64)

    @cached_property
    def slider_moves(self) -> np.ndarray:
        """(2, s, 69, 3) displacements of the landmarks and the eyes' centre with each slider at +1, and at -1."""
        rows = self.model.target_row
        moves = np.zeros((2, len(slider_rows()), 69, 3))
        for side, ending in enumerate((1.0, -1.0)):
            for number, row in enumerate(slider_rows()):
                for name, weight in detail_weights({row[1]: ending}).items():
                    if name in rows:
                        moves[side, number] += weight * self.landmark_targets[rows[name]]
        return moves

    def _average(self) -> np.ndarray:
        vector = np.zeros(len(self.model.target_row))
        for name, value in macro_weights(27.0, 0.5, (1 / 3, 1 / 3, 1 / 3), 0.5, 0.5).items():
            if name in self.model.target_row:
                vector[self.model.target_row[name]] = value
        return vector

    def landmarks_of(self, person: Person, expression: dict[str, float] | None = None) -> np.ndarray:
        """Landmarks of a person's mesh without building it.

        They are `landmark_base` + weights x `landmark_targets` (rows 0 to 67; row 68 is the eyes' centre), in dm, then
        moved to the eyes' centre and scaled to the reference size.

        Args:
            person: whose head.
            expression: weights of expression units, 0 to 1.

        Returns:
            (68, 3) float32, as in `Mesh.landmarks`.
        """
        points = self._points(person, expression)
        scale = self._scale(person) if expression else self.reference_size / _head_size(points)
        return ((points[:68] - points[68]) * scale).astype(np.float32)

    def _points(self, person: Person, expression: dict[str, float] | None = None) -> np.ndarray:
        weights = target_weights(self.model, person, expression)
        return self.landmark_base + np.tensordot(weights, self.landmark_targets, 1)

    def _scale(self, person: Person) -> float:
        """Factor to the reference size; that of the resting face, so that an open mouth shrinks nothing."""
        return self.reference_size / _head_size(self._points(person))

    def mesh(self, person: Person, expression: dict[str, float] | None = None) -> Mesh:
        """Build a person's mesh.

        Args:
            person: whose head.
            expression: weights of expression units, 0 to 1.

        Returns:
            The mesh, its size normalised by the height and width of the resting face.
        """
        coarse = head_vertices(self.model, person, expression)
        surface = (self.model.subdivision @ coarse).astype(np.float32)
        eyes = surface[self.eyes].mean(0)
        scale = self._scale(person)
        landmarks = (surface[self.landmarks] - eyes) * scale
        normal = vertex_normals(surface, self.triangles)
        clothed = surface + 0.035 * np.clip(self.drop / 0.05, 0, 1)[:, None] * normal
        skin = _piece(clothed, normal, self.base)
        parts = [(skin, self.triangles, self.material), *self._hair(person, coarse, surface, normal)]
        if expression:
            parts.append(self._teeth(self._points(person)))
        starts = np.cumsum([0, *(len(piece[0]) for piece, _, _ in parts)])
        triangles = np.concatenate([faces + start for (_, faces, _), start in zip(parts, starts[:-1], strict=True)])
        columns = zip(*(piece for piece, _, _ in parts), strict=True)
        fields = [np.ascontiguousarray(np.concatenate(column), np.float32) for column in columns]
        fields[0] = ((fields[0] - eyes) * scale).astype(np.float32)
        position, normal, base, uv, tangent, cut = fields
        material = np.concatenate([np.broadcast_to(kind, len(faces)) for _, faces, kind in parts]).astype(np.uint8)
        faces = triangles.astype(np.int32)
        return Mesh(position, normal, base, uv, tangent, cut, faces, material, landmarks.astype(np.float32))

    def _hair(self, person: Person, coarse: np.ndarray, surface: np.ndarray, normal: np.ndarray) -> list[tuple]:
        """Vertex fields, triangles and material of the hair; nothing for painted styles."""
        style = person.hair_style
        if style in self.model.hair:
            return [(self._cards(self.model.hair[style], coarse, surface), self.model.hair[style].triangles, CARDS)]
        if style in _NO_SHELL:
            return []
        return [(*self._shell(surface, normal, person), SHELL)]

    def _teeth(self, points: np.ndarray) -> tuple[tuple, np.ndarray, int]:
        """An arc of upper teeth behind the resting lips: it shows when the mouth opens."""
        x = np.repeat(np.linspace(-0.14, 0.14, 13), 2)
        y = 0.04 - np.tile((0.0, 0.09), 13) * (1 - 35 * x**2)
        offset = np.stack([x, y, -0.09 - 2.5 * x**2], 1)
        width = np.linalg.norm(points[54] - points[48]) / 0.48
        placed = (points[62] + offset * (width, 1, width)).astype(np.float32)
        outward = np.stack([5.0 * x, 0 * x, np.ones_like(x)], 1)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        corners = np.array([(0, 1, 2), (1, 3, 2)])
        faces = (2 * np.arange(12)[:, None, None] + corners).reshape(-1, 3).astype(np.int32)
        return _piece(placed, outward.astype(np.float32), offset.astype(np.float32)), faces, TEETH

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


def _piece(position: np.ndarray, normal: np.ndarray, base: np.ndarray) -> tuple:
    """The vertex fields of a part without hair: no texture, no strands and no cut."""
    n = len(position)
    nothing = np.zeros((n, 3), np.float32)
    return position, normal, base, nothing[:, :2], nothing, np.full(n, -9, np.float32)


def _head_size(points: np.ndarray) -> float:
    """Size of a face from its 68 landmarks and the eyes' centre: root of height times width."""
    height = np.linalg.norm(points[68] - points[8])
    return float(np.sqrt(height * np.linalg.norm(points[1] - points[15])))


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
        ux, uy, uz = position[b, 0] - position[a, 0], position[b, 1] - position[a, 1], position[b, 2] - position[a, 2]
        vx, vy, vz = position[c, 0] - position[a, 0], position[c, 1] - position[a, 1], position[c, 2] - position[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normal[i, 0] += x
            normal[i, 1] += y
            normal[i, 2] += z
    for i in range(len(normal)):
        length = np.sqrt(normal[i, 0] ** 2 + normal[i, 1] ** 2 + normal[i, 2] ** 2) + 1e-12
        for k in range(3):
            normal[i, k] /= length
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
