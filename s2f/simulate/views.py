"""The pictures of a person: one canonical, and wild ones in random pose, expression, light and place."""

from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import ndimage

from s2f.simulate.faces import Person
from s2f.simulate.look import look_of
from s2f.simulate.mesh import HeadRig, Mesh
from s2f.simulate.renderer import View, project, render, turn


def render_canonical(rig: HeadRig, person: Person, size_px: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """The frontal, neutral, evenly lit picture of a person.

    Args:
        rig: the shared head.
        person: who.
        size_px: side of the image.

    Returns:
        (H, W, 3) uint8 image, and (68, 2) float32 landmarks in pixel-centre coordinates as dlib counts (x, y), where
        (0, 0) is the centre of the top left pixel.
    """
    view = View(size_px=size_px)
    mesh = rig.mesh(person)
    return render(mesh, look_of(person), view), _image_landmarks(mesh, view)


def canonical_landmarks(rig: HeadRig, person: Person, size_px: int = 224) -> np.ndarray:
    """Landmarks of the canonical picture without drawing it.

    Args:
        rig: the shared head.
        person: who.
        size_px: side of the image.

    Returns:
        (68, 2) float32 as from `render_canonical`.
    """
    return _image_landmarks(rig.mesh(person), View(size_px=size_px))


def _image_landmarks(mesh: Mesh, view: View) -> np.ndarray:
    return project(turn(mesh.landmarks, view), view) - np.float32(0.5)


def render_wild(rig: HeadRig, person: Person, rng: np.random.Generator, size_px: int = 112) -> np.ndarray:
    """A picture of a person in a random pose, expression, light and place.

    Args:
        rig: the shared head.
        person: who.
        rng: source of everything random in this picture.
        size_px: side of the image.

    Returns:
        (H, W, 3) uint8 image.
    """
    view = sample_view(rng, size_px)
    smile = max(0.0, float(rng.normal(0.25, 0.4)))
    expression = {"mouth-corner-puller": min(smile, 1.0), "mouth-open": float(max(0, rng.normal(-0.1, 0.12)))}
    expression |= {f"eye-{side}-slit": 0.35 * min(smile, 1.0) for side in ("left", "right")}
    expression |= {f"eyebrows-{side}-up": float(max(0, rng.normal(0, 0.3))) for side in ("left", "right")}
    image = render(rig.mesh(person, expression), look_of(person), view).astype(np.float32)
    if view.blur_px > 0.3:
        image = ndimage.gaussian_filter(image, (view.blur_px, view.blur_px, 0), truncate=2)
    image += rng.normal(0, 1, image.shape).astype(np.float32) * np.float32(view.noise)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def sample_view(rng: np.random.Generator, size_px: int) -> View:
    """Draw a wild view.

    Args:
        rng: source of randomness.
        size_px: side of the image.

    Returns:
        The view, its background included.
    """
    azimuth, elevation = np.radians((rng.uniform(-80, 80), rng.uniform(-5, 65)))
    direction = (np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation))
    warm = rng.normal(0, 0.10)
    tint = np.array((1 + warm, 1 + rng.normal(0, 0.02), 1 - warm))
    key = rng.uniform(0.55, 1.05) * tint
    fill = rng.uniform(0.12, 0.35) * tint[::-1]
    sky = rng.uniform(0.25, 0.45) * (1 + rng.normal(0, 0.05, 3))
    plain = View(size_px=size_px, supersample=2)
    return replace(
        plain,
        yaw_deg=float(rng.uniform(-35, 35)),
        pitch_deg=float(rng.normal(0, 8)),
        roll_deg=float(rng.normal(0, 6)),
        distance_dm=float(rng.uniform(7, 16)),
        zoom=float(np.exp(np.clip(rng.normal(0, 0.12), -0.25, 0.25))),
        shift_px=(float(rng.normal(0, 8)), float(rng.normal(0, 8))),
        key=(*(float(x) for x in direction), *(float(x) for x in key)),
        fill=(-0.8 * float(direction[0]), 0.15, 0.7, *(float(x) for x in fill)),
        sky=(float(sky[0]), float(sky[1]), float(sky[2])),
        background=_random_background(rng, 2 * size_px),
        noise=float(rng.uniform(0, 5)),
        blur_px=float(max(0, rng.normal(0.15, 0.35))),
    )


def _random_background(rng: np.random.Generator, side: int) -> np.ndarray:
    """Blurred random shapes, linear RGB."""
    cells = int(rng.integers(2, 7))
    shade = rng.uniform(15, 230) * np.exp(rng.normal(0, 0.35, (cells, cells, 1)))
    colours = shade * (rng.uniform(0.8, 1.1, 3) + rng.normal(0, 0.08, (cells, cells, 3)))
    picture = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return (np.asarray(picture, np.float32) / 255) ** 2.2
