"""The pictures of a person: one canonical, and wild ones in random pose, expression, light and place."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from s2f.simulate.head.appearance import look_of
from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.person import Person
from s2f.simulate.render.renderer import View, project, render, turn

JPEG_SHARE = 0.5
# name: share of the pictures; weights of MakeHuman's units (* stands for left and right); changes of shape sliders
EXPRESSIONS: dict[str, tuple[float, dict[str, float], dict[str, float]]] = {
    "neutral": (0.22, {}, {}),
    "smile": (0.24, {"mouth-corner-puller": 0.85, "eye-*-slit": 0.3}, {"mouth-angles": 0.2}),
    "laugh": (0.12, {"mouth-corner-puller": 0.9, "mouth-open": 0.4, "eye-*-slit": 0.5}, {"cheek-trans": 0.3}),
    "surprise": (0.08, {"eyebrows-*-up": 0.9, "mouth-open": 0.5, "eye-*-opened-up": 0.6}, {"eye-height2": 0.3}),
    "talk": (0.12, {"mouth-open": 0.4, "mouth-protusion": 0.3}, {"mouth-scale-horiz": -0.3}),
    "frown": (
        0.08,
        {"eyebrows-*-down": 0.7, "eye-*-slit": 0.4, "mouth-compression": 0.5},
        {"eyebrows-angle": -0.5, "eyebrows-trans": -0.4, "mouth-angles": -0.35},
    ),
    "sad": (
        0.07,
        {"eyebrows-*-inner-up": 0.7, "mouth-depression": 0.6},
        {"eyebrows-angle": 0.5, "mouth-angles": -0.6},
    ),
    "pout": (
        0.07,
        {"mouth-pursing": 0.6},
        {"mouth-scale-horiz": -0.6, "mouth-lowerlip-volume": 0.5, "mouth-upperlip-volume": 0.4},
    ),
}


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
    return render(mesh, look_of(person), view), _image_points(mesh.landmarks, view)


def canonical_landmarks(rig: HeadRig, person: Person, size_px: int = 224) -> np.ndarray:
    """Landmarks of the canonical picture without drawing it.

    Args:
        rig: the shared head.
        person: who.
        size_px: side of the image.

    Returns:
        (68, 2) float32 as from `render_canonical`.
    """
    return _image_points(rig.landmarks_of(person), View(size_px=size_px))


def _image_points(points: np.ndarray, view: View) -> np.ndarray:
    return project(turn(points, view), view) - np.float32(0.5)


def render_wild(
    rig: HeadRig, person: Person, rng: np.random.Generator, size_px: int = 112
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a person in a random pose, expression, light and place.

    Args:
        rig: the shared head.
        person: who.
        rng: source of everything random in this picture.
        size_px: side of the image.

    Returns:
        (H, W, 3) uint8 image, and (68, 2) float32 landmarks of the posed and moved face as from `render_canonical`;
        points may lie outside the image.
    """
    view, expression, moved = _sample_wild(person, rng, size_px)
    mesh = rig.mesh(moved, expression)
    image = render(mesh, look_of(person), view).astype(np.float32)
    if view.blur_px > 0.3:
        image = ndimage.gaussian_filter(image, (view.blur_px, view.blur_px, 0), truncate=2)
    image += rng.normal(0, 1, image.shape).astype(np.float32) * np.float32(view.noise)
    picture = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < JPEG_SHARE:
        picture = _jpeg(picture, int(rng.integers(30, 90)))
    return picture, _image_points(mesh.landmarks, view)


def wild_landmarks(rig: HeadRig, person: Person, rng: np.random.Generator, size_px: int = 112) -> np.ndarray:
    """Landmarks of a wild picture without drawing it.

    Args:
        rig: the shared head.
        person: who.
        rng: in the state that `render_wild` would get it.
        size_px: side of the image.

    Returns:
        (68, 2) float32 as from `render_wild`.
    """
    view, expression, moved = _sample_wild(person, rng, size_px)
    return _image_points(rig.landmarks_of(moved, expression), view)


def _sample_wild(person: Person, rng: np.random.Generator, size_px: int) -> tuple[View, dict[str, float], Person]:
    """View and expression of a wild picture, and the person with the sliders that the expression moves."""
    view = sample_view(rng, size_px)
    expression, moved = sample_expression(rng)
    sliders = {**person.sliders, **{name: person.sliders.get(name, 0.0) + x for name, x in moved.items()}}
    return view, expression, replace(person, sliders=sliders)


def sample_expression(rng: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
    """Draw an expression: one of `EXPRESSIONS`, more or less strong and not quite symmetric.

    Args:
        rng: source of randomness.

    Returns:
        Weights of MakeHuman's expression units, and changes of shape sliders, which complete the units.
    """
    shares = np.array([share for share, _, _ in EXPRESSIONS.values()])
    _, units, moved = list(EXPRESSIONS.values())[rng.choice(len(shares), p=shares / shares.sum())]
    strength = rng.uniform(0.35, 1.0)
    weights: dict[str, float] = {}
    for unit, weight in units.items():
        for side in ("left", "right") if "*" in unit else ("",):
            weights[unit.replace("*", side)] = float(np.clip(weight * strength * rng.normal(1, 0.12), 0, 1))
    for side in ("left", "right"):
        name = f"eyebrows-{side}-up"
        weights[name] = max(weights.get(name, 0.0), float(max(0, rng.normal(-0.1, 0.2))))
    return weights, {name: x * float(strength) for name, x in moved.items()}


def _jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


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
        zoom=float(np.exp(np.clip(rng.normal(0, 0.13), -0.28, 0.28))),
        shift_px=(float(rng.normal(0, 8)), float(rng.normal(0, 8))),
        key=(*(float(x) for x in direction), *(float(x) for x in key)),
        fill=(-0.8 * float(direction[0]), 0.15, 0.7, *(float(x) for x in fill)),
        sky=(float(sky[0]), float(sky[1]), float(sky[2])),
        background=_random_background(rng, 2 * size_px),
        noise=float(rng.uniform(0, 5)),
        blur_px=float(max(0, rng.normal(0.15, 0.35))),
    )


def _random_background(rng: np.random.Generator, side: int) -> np.ndarray:
    """A blurred room or street: a gradient and random shapes, linear RGB."""
    small = 48
    brightness = rng.uniform(25, 200)

    def colour() -> tuple[int, ...]:
        levels = brightness * np.exp(rng.normal(0, 0.45)) * (1 + rng.normal(0, 0.13, 3))
        return tuple(int(x) for x in np.clip(levels, 0, 235))

    ends = np.array([colour(), colour()], float)
    slope = np.linspace(0, 1, small)[:, None, None]
    ramp = np.broadcast_to(ends[0] * (1 - slope) + ends[1] * slope, (small, small, 3))
    picture = Image.fromarray(ramp.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 10))):
        x, y = rng.uniform(-8, small, 2)
        box = (x, y, x + rng.uniform(3, 30), y + rng.uniform(3, 40))
        (draw.ellipse if rng.random() < 0.3 else draw.rectangle)(box, fill=colour())
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 4))))
    picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return (np.asarray(picture, np.float32) / 255) ** 2.2
