"""Give a person wanted craniofacial measures by the smallest change of its shape sliders."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.person import Person, slider_rows, target_weights
from s2f.simulate.population.face_statistics import log_basis
from s2f.simulate.render.renderer import View, project

STEPS = 8
CLOSE = 1e-3
_PROBE = 0.05


def with_measures(rig: HeadRig, person: Person, log_measures: Float[np.ndarray, " 10"]) -> Person:
    """Move the sliders until the projected face has the wanted measures: Newton steps of least norm.

    The norm of a slider counts in units of its own natural spread, so every other trait of the person stays as natural
    as it was. Sliders stop at -1 and 1; what cannot be reached then stays unreached.

    Args:
        rig: the shared head.
        person: whose sliders to start from.
        log_measures: (10,) wanted logarithms of the measures of `s2f.simulate.population.face_statistics.BASIS`.

    Returns:
        The person with other sliders.
    """
    rows = slider_rows()
    names = [row[1] for row in rows]
    spread = np.array([row[4] for row in rows])
    x = np.array([person.sliders[name] for name in names])
    fixed = target_weights(rig.model, replace(person, sliders=person.sliders | dict.fromkeys(names, 0.0)))
    unmoved = rig.landmark_base + np.tensordot(fixed, rig.landmark_targets, 1)
    up, down = rig.slider_moves

    def measured(values: np.ndarray) -> np.ndarray:
        moved = np.tensordot(np.maximum(values, 0), up, 1) + np.tensordot(np.maximum(-values, 0), down, 1)
        return log_basis(_projected(rig, unmoved + moved))

    for _ in range(STEPS):
        probes = np.concatenate([x[None], x + _PROBE * np.where(x > 1 - _PROBE, -1, 1)[:, None] * np.eye(len(x))])
        values = measured(probes)
        missing = log_measures - values[0]
        if np.abs(missing).max() < CLOSE:
            break
        jacobian = (values[1:] - values[0]) / (probes[1:] - x).sum(1)[:, None]
        x = _step(x, jacobian, missing, spread)
    return replace(person, sliders=person.sliders | dict(zip(names, map(float, x), strict=True)))


def _projected(rig: HeadRig, points: np.ndarray) -> np.ndarray:
    """(N, 69, 3) raw landmarks and eye centres to (N, 68, 2) pixels of the canonical picture."""
    height = np.linalg.norm(points[:, 68] - points[:, 8], axis=1)
    size = np.sqrt(height * np.linalg.norm(points[:, 1] - points[:, 15], axis=1))
    normalised = (points[:, :68] - points[:, 68:]) * (rig.reference_size / size)[:, None, None]
    return project(normalised.reshape(-1, 3), View()).reshape(-1, 68, 2) - 0.5


def _step(x: np.ndarray, jacobian: np.ndarray, missing: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """One least-norm step; sliders that hit an end stop there and the others take over."""
    free = np.ones(len(x), bool)
    target = x.copy()
    for _ in range(4):
        scaled = jacobian[free].T * spread[free]
        left = missing - jacobian[~free].T @ (target - x)[~free]
        step = scaled.T @ np.linalg.solve(scaled @ scaled.T + 1e-6 * np.eye(len(missing)), left)
        target[free] = x[free] + spread[free] * step
        over = free & (np.abs(target) > 1)
        target = np.clip(target, -1, 1)
        if not over.any():
            break
        free &= ~over
    return target
