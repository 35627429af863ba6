"""Draw persons from a generator: adults whose looks follow gender, age and a mix of MakeHuman's poles."""

import numpy as np

from s2f.errors import UsageError
from s2f.simulate.faces import ASYMMETRY, OUTLINES, Person, slider_rows

AGE_RANGE_YEARS = (18.0, 75.0)
SPREAD = 0.24
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


def sample_person(rng: np.random.Generator, gender: str, hair_meshes: bool) -> Person:
    """Draw one adult.

    Args:
        rng: the person's own generator.
        gender: "f" or "m".
        hair_meshes: whether MakeHuman's hair styles are at hand.

    Returns:
        The person.

    Raises:
        UsageError: gender is neither "f" nor "m".
    """
    if gender not in ("f", "m"):
        raise UsageError("gender 'f' or 'm'", repr(gender), "write f or m")
    woman = gender == "f"
    age = rng.uniform(*AGE_RANGE_YEARS)
    mix = rng.dirichlet((0.35, 0.35, 0.35))
    hair = _sample_hair(rng, woman, age, mix, hair_meshes)
    growth = float(np.clip(0.6 + 0.4 * (age - 6) / 14, 0.6, 1))
    onset = rng.uniform((28, 34, 30, 26, 32, 42), (46, 52, 48, 46, 50, 60))
    strength = rng.uniform(0.5, 1.2, 6) * (0.95, 0.45, 1, 0.9, 0.9, 0.6) * (0.7 if woman else 1)
    return Person(
        gender=gender,
        age_years=float(age),
        ethnic_mix=(float(mix[0]), float(mix[1]), float(mix[2])),
        maleness=float(np.clip((0 if woman else 1) + (1 if woman else -1) * abs(rng.normal(0, 0.05)), 0, 1)),
        muscle=float(np.clip(rng.normal(0.4 if woman else 0.62, 0.12), 0, 1)),
        weight=float(np.clip(rng.normal(0.52, 0.17), 0, 1)),
        sliders=_sample_sliders(rng, woman, age, growth),
        melanin=float(np.clip(mix @ rng.normal((0.22, 0.40, 1.40), (0.09, 0.11, 0.28)), 0.06, 2.3)),
        haemoglobin=float(np.clip(rng.normal(0.27, 0.05), 0.1, 0.45)),
        freckles=float(max(0, rng.normal(-0.2, 0.5)) * mix[0]),
        eye_colour=_sample_eye_colour(rng, mix),
        brow_thickness=float(rng.normal(0.021, 0.003) if woman else rng.normal(0.032, 0.005)),
        brow_arch=float(rng.normal(0.018, 0.007) if woman else rng.normal(0, 0.006)),
        beard="none" if woman else str(rng.choice(BEARDS, p=(0.25, 0.36, 0.09, 0.12, 0.18))),
        beard_density=float(rng.uniform(0.55, 1)),
        lip_colour=float(rng.uniform(0.3, 1) if woman else 0),
        eye_shadow=float(rng.uniform(0.2, 1) if woman else 0),
        wrinkles=tuple(float(w) for w in np.clip((age - onset) / 32, 0, 1) * strength),
        shirt=_sample_shirt(rng),
        texture_seed=int(rng.integers(1 << 16)),
        **hair,
    )


def _sample_sliders(rng: np.random.Generator, woman: bool, age: float, growth: float) -> dict[str, float]:
    sex = 1 if woman else -1
    sliders = {
        slider: float(np.clip(rng.normal(0, SPREAD * spread * growth) + sex * shift, -1, 1))
        for _, slider, _, _, spread, shift in slider_rows()
    }
    sliders["mouth-angles"] += 0.24
    sliders["eyebrows-angle"] += 0.10
    sliders["eye-height2"] += 0.12
    outlines = 0.45 * rng.dirichlet(np.full(8, 0.4))[:7]
    sliders |= {f"head-{name}": float(x) for name, x in zip(OUTLINES, outlines, strict=True)}
    sliders |= {f"asym-{name}": float(np.clip(rng.normal(0, 0.08), -1, 1)) for name in ASYMMETRY}
    sliders["head-age"] = float(np.interp(age, (40, 85), (0, 0.2 if woman else 0.3)) * rng.uniform(0.5, 1))
    return sliders


def _sample_hair(rng: np.random.Generator, woman: bool, age: float, mix: np.ndarray, meshes: bool) -> dict:
    """Style, colour, greying and recession."""
    if woman:
        styles = {"long01": 0.26, "bob01": 0.16, "bob02": 0.18, "ponytail01": 0.12, "braid01": 0.1} if meshes else {}
        styles |= {"pulled": 0.05 if meshes else 0.4, "fullcurls": 0.08 if meshes else 0.5, "afro": 0.25 * mix[2] ** 2}
        recession = abs(rng.normal(0, 0.015))
    else:
        styles = {"short01": 0.18, "short02": 0.16, "short04": 0.16} if meshes else {}
        styles |= {"crop": 0.3, "buzz": 0.1 + 0.25 * mix[2], "curls": 0.06 + 0.12 * mix[2], "afro": 0.1 * mix[2] ** 2}
        styles["bald"] = float(np.interp(age, (25, 70), (0.02, 0.25)))
        recession = abs(rng.normal(0, 0.03)) + rng.uniform(0, 0.16) * float(np.interp(age, (28, 70), (0, 1)))
    shares = np.array(list(styles.values()))
    dark = float(np.clip(rng.normal(0.97, 0.08) if rng.random() > mix[0] ** 2 else rng.beta(1.3, 1.5), 0, 1))
    red = rng.beta(1, 4) * mix[0] ** 2
    colour = np.exp(-(0.55 + 3.1 * dark) * np.array((0.86, 1.0, 1.2))) * np.array((0.92, 0.80, 0.66))
    colour *= 1 + red * np.array((0.8, -0.1, -0.4))
    start = rng.uniform(34, 62)
    dyed = woman and rng.random() < 0.55
    return {
        "hair_style": str(rng.choice(list(styles), p=shares / shares.sum())),
        "hair_colour": (float(colour[0]), float(colour[1]), float(colour[2])),
        "grey": 0.0 if dyed else float(np.clip((age - start) / 24, 0, 1)),
        "recession": float(recession),
    }


def _sample_eye_colour(rng: np.random.Generator, mix: np.ndarray) -> tuple[float, float, float]:
    colours = np.array([(0.10, 0.045, 0.02), (0.05, 0.022, 0.012), (0.10, 0.09, 0.035), (0.10, 0.20, 0.34)])
    light = float(mix[0] ** 2)
    pick = rng.choice(4, p=(0.5 * (1 - light) + 0.3 * light, 0.5 * (1 - light), 0.3 * light, 0.4 * light))
    colour = colours[pick] * rng.uniform(0.75, 1.3)
    return float(colour[0]), float(colour[1]), float(colour[2])


def _sample_shirt(rng: np.random.Generator) -> tuple[float, float, float]:
    colour = rng.uniform(0.02, 0.5) * (0.55 + 0.45 * rng.random(3))
    return float(colour[0]), float(colour[1]), float(colour[2])
