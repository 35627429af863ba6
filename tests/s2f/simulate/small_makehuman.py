"""A MakeHuman checkout small enough for tests: an ellipsoid for a body, sliders that ripple its face."""

from pathlib import Path

import numpy as np

from s2f.simulate.head.makehuman import catmull_clark
from s2f.simulate.head.person import detail_weights, slider_rows

CUBE = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
CUBE_QUADS = np.array([(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)])


def ball(centre, radii, steps):
    """A ball of quads: the cube, subdivided and blown up."""
    points, quads = CUBE, CUBE_QUADS
    for _ in range(steps):
        matrix, quads = catmull_clark(quads, len(points))
        points = matrix @ points
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points * radii + centre, quads


def write_makehuman(root: Path, sliders: bool = True) -> Path:
    """A checkout whose men have a lower chin; with `sliders`, each slider moves the face in its own way."""
    data = root / "makehuman" / "data"
    parts = {
        "body": ball((0, 7.2, 0.5), (0.8, 1.15, 1.05), 4),
        "helper-l-eye": ball((0.30777, 7.284, 1.40), (0.147,) * 3, 2),
        "helper-r-eye": ball((-0.30777, 7.284, 1.40), (0.147,) * 3, 2),
    }
    lines, faces, start = ["vt 0 0"], [], 1
    for name, (points, quads) in parts.items():
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
        faces += [f"g {name}", *("f " + " ".join(f"{i + start}/1" for i in quad) for quad in quads)]
        start += len(points)
    (data / "3dobjs").mkdir(parents=True)
    (data / "3dobjs" / "base.obj").write_text("\n".join(lines + faces), encoding="utf-8")
    body = parts["body"][0]
    moved = [f"{i} 0 -.1 0" for i, point in enumerate(body) if point[1] < 6.6]
    for pole in ("caucasian", "asian", "african"):
        _write_target(data, f"macrodetails/{pole}-male-young", moved)
    for number, row in enumerate(slider_rows() if sliders else []):
        _write_slider(data, row[1], number, body)
    return root


def _write_slider(data: Path, slider: str, number: int, body: np.ndarray) -> None:
    rng = np.random.default_rng(number)
    waves, phase, push = rng.normal(0, 3, (3, 3)), rng.uniform(0, 6, 3), rng.normal(0, 0.03, 3)
    front = [(i, push * np.sin(waves @ point + phase)) for i, point in enumerate(body) if point[2] > 0.6]
    for ending in (-1.0, 1.0):
        moved = [f"{i} " + " ".join(f"{ending * x:.5f}" for x in by) for i, by in front]
        for name in detail_weights({slider: ending}):
            _write_target(data, name, moved)


def _write_target(data: Path, name: str, lines: list[str]) -> None:
    path = data / "targets" / f"{name}.target"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# basemesh\n" + "\n".join(lines), encoding="utf-8")
