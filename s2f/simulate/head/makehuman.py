"""Read a MakeHuman checkout in its own layout: base mesh, shape targets and hair styles of the head.

MakeHuman's meshes and targets are CC0 1.0; its program is AGPL and is neither needed nor copied here.
Units are decimetres; x points to the person's left, y up, z out of the face.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from s2f.errors import AssetMissing, OutputError
from s2f.runtime.files import write_bytes

MODEL_VERSION = "4"
DETAIL_FOLDERS = ["head", "forehead", "eyebrows", "neck", "eyes", "nose", "mouth", "ears", "chin", "cheek", "asym"]
EXPRESSIONS = [
    *(f"eye-{side}-{unit}" for side in ("left", "right") for unit in ("slit", "opened-up")),
    *(f"eyebrows-{side}-{unit}" for side in ("left", "right") for unit in ("up", "down", "inner-up")),
    *(f"mouth-{unit}" for unit in ("corner-puller", "open", "compression", "depression", "protusion", "pursing")),
]
POLES = ("caucasian", "asian", "african")
LOWEST_Y_DM = 3.6
WIDEST_X_DM = 3.2


@dataclass(frozen=True)
class HairStyle:
    """One hair mesh hanging on the head.

    Attributes:
        reference: (k, 3) head vertices that each hair vertex hangs on.
        weight: (k, 3) their weights.
        offset: (k, 3) displacement in dm before scaling.
        scale_reference: (3, 2) head vertices whose distance along x, y, z is the yardstick.
        scale_length: (3,) that distance in the shape the style was made for, dm.
        uv: (k, 2) texture coordinates; u runs across the strands, v along them.
        triangles: (t, 3) hair vertices of each triangle.
    """

    reference: np.ndarray
    weight: np.ndarray
    offset: np.ndarray
    scale_reference: np.ndarray
    scale_length: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray

    def fit(self, vertices: np.ndarray) -> np.ndarray:
        """Place the hair on a head.

        Args:
            vertices: (n, 3) head vertices, dm.

        Returns:
            (k, 3) hair vertices, dm.
        """
        axis = np.arange(3)
        ends = self.scale_reference
        scale = np.abs(vertices[ends[:, 0], axis] - vertices[ends[:, 1], axis]) / self.scale_length
        return (vertices[self.reference] * self.weight[:, :, None]).sum(1) + self.offset * scale


@dataclass(frozen=True)
class HeadModel:
    """The head part of MakeHuman, ready to be morphed.

    Attributes:
        base: (n, 3) vertices of the base shape, dm.
        target_row: row of each target by name, a file's path without its ending.
        targets: (t, 3 n) sparse displacements at weight 1, dm.
        subdivision: (m, n) sparse; one Catmull-Clark step.
        quads: (q, 4) faces of the subdivided surface, counter-clockwise from outside.
        part: (q,) 0 skin, 1 left eye, 2 right eye.
        hair: hair styles by name; empty without the assets.
    """

    base: np.ndarray
    target_row: dict[str, int]
    targets: sp.csr_matrix
    subdivision: sp.csr_matrix
    quads: np.ndarray
    part: np.ndarray
    hair: dict[str, HairStyle]


def catmull_clark(quads: np.ndarray, vertices: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """One Catmull-Clark step of a mesh of quads as a matrix.

    New points are ordered: used vertices (ascending), edges, faces. Open borders stay in place as cubic B-splines.

    Args:
        quads: (q, 4) vertex numbers.
        vertices: number n of vertices of the mesh, used or not.

    Returns:
        Matrix (m, n) from old to new positions, and the (4 q, 4) new quads.
    """
    count = len(quads)
    sides = np.stack([quads, np.roll(quads, -1, 1)], -1)
    ends, edge_of = np.unique(np.sort(sides.reshape(-1, 2), 1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(count, 4)
    face_rows = np.repeat(np.arange(count), 4)
    face = sp.csr_matrix((np.full(4 * count, 0.25), (face_rows, quads.ravel())), (count, vertices))
    edges = len(ends)
    edge_rows = np.repeat(np.arange(edges), 2)
    middle = sp.csr_matrix((np.full(2 * edges, 0.5), (edge_rows, ends.ravel())), (edges, vertices))
    edge_face = sp.csr_matrix((np.ones(4 * count), (edge_of.ravel(), face_rows)), (edges, count))
    border = np.asarray(edge_face.sum(1)).ravel() != 2
    inner = sp.diags((~border).astype(float))
    edge_point = middle - 0.5 * (inner @ middle) + 0.25 * (inner @ edge_face @ face)
    vertex_point = _vertex_points(quads, ends, face, middle, border, vertices)
    used = np.unique(quads)
    place = np.full(vertices, -1)
    place[used] = np.arange(len(used))
    edge_number = len(used) + edge_of
    centre = np.broadcast_to((len(used) + edges + np.arange(count))[:, None], (count, 4))
    split = np.stack([place[quads], edge_number, centre, np.roll(edge_number, 1, 1)], -1).reshape(-1, 4)
    matrix = sp.vstack([vertex_point[used], edge_point, face]).tocsr().astype(np.float32)
    return matrix, split.astype(np.int32)


def _vertex_points(quads, ends, face, middle, border, vertices) -> sp.csr_matrix:
    """Rows of the moved old vertices: (F + 2 R + (n - 3) P) / n inside, 3/4 P + 1/4 border neighbours on a border."""
    count, edges = len(quads), len(ends)
    at_face = sp.csr_matrix((np.ones(4 * count), (quads.ravel(), np.repeat(np.arange(count), 4))), (vertices, count))
    at_edge = sp.csr_matrix((np.ones(2 * edges), (ends.ravel(), np.repeat(np.arange(edges), 2))), (vertices, edges))
    at_border = at_edge @ sp.diags(border.astype(float))
    border_count = np.asarray(at_border.sum(1)).ravel()
    n = np.maximum(np.asarray(at_edge.sum(1)).ravel(), 1)
    faces = np.maximum(np.asarray(at_face.sum(1)).ravel(), 1)
    inside = border_count == 0
    mixed = sp.diags(inside / (n * faces)) @ at_face @ face + sp.diags(2 * inside / n**2) @ at_edge @ middle
    rim = sp.diags(np.where(inside, 0, 0.5 / np.maximum(border_count, 1))) @ at_border @ middle
    # A border edge's middle holds half of the vertex itself, hence 1/2 here and not 3/4.
    return (mixed + rim + sp.diags(np.where(inside, (n - 3) / n, 0.5))).tocsr()


def read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one `.target` file.

    Args:
        path: file of lines `vertex dx dy dz`; `#` starts a comment line.

    Returns:
        (k,) vertex numbers and (k, 3) displacements in dm.

    Raises:
        AssetMissing: a line does not hold four numbers.
    """
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    try:
        values = np.array(" ".join(lines).split(), dtype=np.float64).reshape(len(lines), 4)
    except ValueError as error:
        expected = "lines 'vertex dx dy dz' in a target"
        raise AssetMissing(expected, f"{error} in {path}", "fetch the file again") from error
    return values[:, 0].astype(np.int64), values[:, 1:]


def load_head(makehuman: str | Path, assets: str | Path | None, cache: str | Path) -> HeadModel:
    """Load the head, condensing MakeHuman's files once into the cache folder.

    Args:
        makehuman: a MakeHuman checkout, or its `makehuman` subfolder.
        assets: a makehuman-assets checkout with `base/hair`, or None for no hair meshes.
        cache: folder for the condensed arrays; made if absent.

    Returns:
        The head model.

    Raises:
        AssetMissing: the base mesh or the hair folder is absent, or a target is damaged.
        OutputError: the cache folder cannot be written.
    """
    data = _data_folder(Path(makehuman))
    hair_files = _hair_files(assets)
    target_files = _target_files(data / "targets")
    files = [data / "3dobjs" / "base.obj", *target_files.values(), *hair_files.values()]
    digest = hashlib.sha256(MODEL_VERSION.encode())
    for file in files:
        stat = file.stat()
        digest.update(f"{file}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    condensed = Path(cache) / f"makehuman-{digest.hexdigest()[:20]}.npz"
    if not condensed.exists():
        content = io.BytesIO()
        np.savez_compressed(content, **_condense(files[0], target_files, hair_files))  # type: ignore[arg-type]
        try:
            condensed.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(condensed, content.getvalue())
        except OSError as error:
            raise OutputError("a writable cache folder", f"{error} for {cache}", "give another cache folder") from error
    return _read_condensed(condensed)


def _data_folder(root: Path) -> Path:
    for data in (root / "makehuman" / "data", root / "data"):
        if (data / "3dobjs" / "base.obj").is_file():
            return data
    raise AssetMissing(
        "a MakeHuman checkout with makehuman/data/3dobjs/base.obj",
        f"{root} without it",
        "clone https://github.com/makehumancommunity/makehuman and give its folder",
    )


def _hair_files(assets: str | Path | None) -> dict[str, Path]:
    if assets is None:
        return {}
    folder = Path(assets) / "base" / "hair"
    files = {path.parent.name: path for path in sorted(folder.glob("*/*.mhclo"))}
    if not files:
        raise AssetMissing(
            "a makehuman-assets checkout with base/hair/<name>/<name>.mhclo",
            f"{assets} without any",
            "clone https://github.com/makehumancommunity/makehuman-assets, or leave the option out",
        )
    return files


def _target_files(folder: Path) -> dict[str, Path]:
    files = {
        f"{part}/{path.stem}": path for part in DETAIL_FOLDERS for path in sorted((folder / part).glob("*.target"))
    }
    for path in sorted((folder / "macrodetails").glob("*.target")):
        if path.stem.startswith((*POLES, "universal-female", "universal-male")):
            files[f"macrodetails/{path.stem}"] = path
    for pole in POLES:
        for unit in EXPRESSIONS:
            path = folder / "expression" / "units" / pole / f"{unit}.target"
            if path.is_file():
                files[f"expression/{pole}/{unit}"] = path
    return files


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, list], dict[str, list]]:
    """Vertices, texture coordinates, and per group the faces' vertex and texture numbers from 0."""
    vertices, uv = [], []
    faces: dict[str, list] = {}
    face_uv: dict[str, list] = {}
    group = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        head, _, rest = line.partition(" ")
        if head == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif head == "vt":
            uv.append([float(x) for x in rest.split()[:2]])
        elif head == "g":
            group = rest.strip()
        elif head == "f":
            corners = [corner.split("/") for corner in rest.split()]
            faces.setdefault(group, []).append([int(c[0]) - 1 for c in corners])
            face_uv.setdefault(group, []).append([int(c[1]) - 1 if len(c) > 1 and c[1] else 0 for c in corners])
    return np.array(vertices), np.array(uv), faces, face_uv


def _read_hair(mhclo: Path) -> dict[str, np.ndarray]:
    """Arrays of a hair style, in MakeHuman's own vertex numbers."""
    scale = {}
    rows = []
    reading = False
    for line in mhclo.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0] in ("x_scale", "y_scale", "z_scale"):
            scale["xyz".index(words[0][0])] = (int(words[1]), int(words[2]), float(words[3]))
        elif words and words[0] == "verts":
            reading = True
        elif reading and words and words[0].isdigit():
            row = [float(x) for x in words]
            rows.append(row if len(row) == 9 else [row[0]] * 3 + [1.0, 0, 0, 0, 0, 0])
    hang = np.array(rows)
    _, uv, faces, face_uv = _read_obj(mhclo.with_suffix(".obj"))
    corners = [
        (polygon[i], texture[i])
        for group in faces
        for polygon, texture in zip(faces[group], face_uv[group], strict=True)
        for j in range(1, len(polygon) - 1)
        for i in (0, j, j + 1)
    ]
    pairs, triangles = np.unique(np.array(corners), axis=0, return_inverse=True)
    hang = hang[pairs[:, 0]]
    return {
        "reference": hang[:, :3].astype(np.int64),
        "weight": hang[:, 3:6].astype(np.float32),
        "offset": hang[:, 6:].astype(np.float32),
        "scale_reference": np.array([scale[c][:2] for c in range(3)]),
        "scale_length": np.array([scale[c][2] for c in range(3)], np.float32),
        "uv": uv[pairs[:, 1]].astype(np.float32),
        "triangles": triangles.reshape(-1, 3).astype(np.int32),
    }


def _condense(base: Path, target_files: dict[str, Path], hair_files: dict[str, Path]) -> dict[str, np.ndarray]:
    """Cut out the head and gather everything in arrays."""
    vertices, _, faces, _ = _read_obj(base)
    body = np.array(faces["body"])
    near = (vertices[:, 1] > LOWEST_Y_DM) & (np.abs(vertices[:, 0]) < WIDEST_X_DM)
    parts = [body[near[body].all(1)], np.array(faces["helper-l-eye"]), np.array(faces["helper-r-eye"])]
    quads = np.concatenate(parts)
    hair = {name: _read_hair(path) for name, path in hair_files.items()}
    hung = [h[key].ravel() for h in hair.values() for key in ("reference", "scale_reference")]
    kept = np.unique(np.concatenate([quads.ravel(), *hung]))
    place = np.full(len(vertices), -1)
    place[kept] = np.arange(len(kept))
    matrix, split = catmull_clark(place[quads], len(kept))
    part = np.repeat(np.arange(3), [4 * len(p) for p in parts])
    arrays = {"base": vertices[kept].astype(np.float32), "quads": split, "part": part.astype(np.uint8)}
    pointer, column, value = [0], [], []
    for path in target_files.values():
        index, delta = read_target(path)
        inside = place[index] >= 0
        column.append((3 * place[index[inside]][:, None] + np.arange(3)).ravel())
        value.append(delta[inside].ravel())
        pointer.append(pointer[-1] + len(column[-1]))
    arrays |= {"target_pointer": np.array(pointer), "target_column": np.concatenate(column).astype(np.int32)}
    arrays |= {"target_value": np.concatenate(value).astype(np.float32), "target_names": np.array(list(target_files))}
    arrays |= {"sub_data": matrix.data, "sub_indices": matrix.indices, "sub_indptr": matrix.indptr}
    for name, style in hair.items():
        style["reference"] = place[style["reference"]]
        style["scale_reference"] = place[style["scale_reference"]]
        arrays |= {f"hair|{name}|{key}": array for key, array in style.items()}
    return arrays


def _read_condensed(path: Path) -> HeadModel:
    with np.load(path) as stored:
        arrays = dict(stored)
    n = len(arrays["base"])
    names = [str(name) for name in arrays["target_names"]]
    targets = sp.csr_matrix(
        (arrays["target_value"], arrays["target_column"], arrays["target_pointer"]), (len(names), 3 * n)
    )
    rows = len(arrays["sub_indptr"]) - 1
    matrix = sp.csr_matrix((arrays["sub_data"], arrays["sub_indices"], arrays["sub_indptr"]), (rows, n))
    hair: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        if key.startswith("hair|"):
            _, style, field = key.split("|")
            hair.setdefault(style, {})[field] = array
    return HeadModel(
        base=arrays["base"],
        target_row={name: row for row, name in enumerate(names)},
        targets=targets,
        subdivision=matrix,
        quads=arrays["quads"],
        part=arrays["part"],
        hair={style: HairStyle(**fields) for style, fields in hair.items()},
    )
