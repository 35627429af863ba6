"""Draw persons from a generator: looks that follow a given gender, age and mix of MakeHuman's poles."""

import numpy as np

from s2f.errors import UsageError
from s2f.simulate.head.person import ASYMMETRY, OUTLINES, Person, slider_rows

AGE_LIMITS_YEARS = (5.0, 85.0)
BEARD_AGE_YEARS = 16.0
CHILD_HAIR_YEARS = 14.0
MAKE_UP_AGE_YEARS = 15.0
SPREAD = 0.24
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


def sample_person(
    rng: np.random.Generator, gender: str, age_years: float, mix: tuple[float, float, float], hair_meshes: bool
) -> Person:
    """Draw one person of a given gender, age and ethnic mix.

    Args:
        rng: the person's own generator.
        gender: "f" or "m".
        age_years: 5 to 85.
        mix: shares of MakeHuman's caucasian, asian and african poles; they sum to 1.
        hair_meshes: whether MakeHuman's hair styles are at hand.

    Returns:
        The person.

    Raises:
        UsageError: gender is neither "f" nor "m", an age out of range, or shares that do not sum to 1.
    """
    if gender not in ("f", "m"):
        raise UsageError("gender 'f' or 'm'", repr(gender), "write f or m")
    if not AGE_LIMITS_YEARS[0] <= age_years <= AGE_LIMITS_YEARS[1]:
        raise UsageError("an age from 5 to 85 years", f"{age_years}", "give an age in that range")
    shares = np.array(mix, float)
    if shares.shape != (3,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UsageError("three shares of at least 0 that sum to 1", f"{mix}", "divide the shares by their sum")
    woman = gender == "f"
    age = float(age_years)
    grown = float(np.interp(age, (11, 18), (0, 1)))
    hair = _sample_hair(rng, woman, age, shares, hair_meshes)
    onset = rng.uniform((28, 34, 30, 26, 32, 42), (46, 52, 48, 46, 50, 60))
    strength = rng.uniform(0.5, 1.2, 6) * (0.95, 0.45, 1, 0.9, 0.9, 0.6) * (0.7 if woman else 1)
    return Person(
        gender=gender,
        age_years=age,
        ethnic_mix=(float(shares[0]), float(shares[1]), float(shares[2])),
        maleness=float(np.clip((0 if woman else 1) + (1 if woman else -1) * abs(rng.normal(0, 0.05)), 0, 1)),
        muscle=float(np.clip(rng.normal(0.36 + (0.04 if woman else 0.26) * grown, 0.12), 0, 1)),
        weight=float(np.clip(rng.normal(0.52, 0.17), 0, 1)),
        sliders=_sample_sliders(rng, woman, age, shares),
        melanin=float(np.clip(shares @ rng.normal((0.22, 0.40, 1.40), (0.09, 0.11, 0.28)), 0.06, 2.3)),
        haemoglobin=float(np.clip(rng.normal(0.27, 0.05), 0.1, 0.45)),
        freckles=float(max(0, rng.normal(-0.2, 0.5)) * shares[0]),
        eye_colour=_sample_eye_colour(rng, shares),
        brow_thickness=_sample_brow(rng, woman, grown),
        brow_arch=float(rng.normal(0.018, 0.007) * (0.4 + 0.6 * grown) if woman else rng.normal(0, 0.006)),
        **_sample_finish(rng, woman, age),
        wrinkles=tuple(float(w) for w in np.clip((age - onset) / 32, 0, 1) * strength),
        shirt=_sample_shirt(rng),
        texture_seed=int(rng.integers(1 << 16)),
        **hair,
    )


def _sample_brow(rng: np.random.Generator, woman: bool, grown: float) -> float:
    adult = rng.normal(0.021, 0.003) if woman else rng.normal(0.032, 0.005)
    return float(0.019 + (adult - 0.019) * (0.35 + 0.65 * grown))


def _sample_finish(rng: np.random.Generator, woman: bool, age: float) -> dict:
    """Beard and make-up; the draws do not depend on the age, so that a person ages in place."""
    beard = "none" if woman else str(rng.choice(BEARDS, p=(0.25, 0.36, 0.09, 0.12, 0.18)))
    density, lips, shadow = rng.uniform(0.55, 1), rng.uniform(0.3, 1), rng.uniform(0.2, 1)
    if age < BEARD_AGE_YEARS:
        beard = "none"
    elif age < BEARD_AGE_YEARS + 4 and beard != "none":
        beard = "stubble"
        density *= 0.6
    painted = float(np.interp(age, (MAKE_UP_AGE_YEARS, 19, 55, 80), (0, 1, 1, 0.5))) if woman else 0.0
    return {
        "beard": beard,
        "beard_density": float(density),
        "lip_colour": float(lips * painted),
        "eye_shadow": float(shadow * painted),
    }


def _sample_sliders(rng: np.random.Generator, woman: bool, age: float, mix: np.ndarray) -> dict[str, float]:
    growth = float(np.clip(0.6 + 0.4 * (age - 6) / 14, 0.6, 1))
    sex = (1 if woman else -1) * float(np.interp(age, (11, 18), (0.25, 1)))
    sliders = {
        slider: float(np.clip(rng.normal(0, SPREAD * spread * growth) + sex * shift, -1, 1))
        for _, slider, _, _, spread, shift in slider_rows()
    }
    sliders["mouth-angles"] += 0.32
    sliders["mouth-upperlip-height"] -= 0.5 * mix[1]  # that pole's upper lip alone is far higher than the others'
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
        styles = {"long01": 0.30, "bob01": 0.18, "bob02": 0.20, "ponytail01": 0.08, "braid01": 0.05} if meshes else {}
        styles |= {"pulled": 0.0 if meshes else 0.4, "fullcurls": 0.06 * (1 - mix[1]) if meshes else 0.5}
        styles |= {"afro": 0.25 * mix[2] ** 2}
        if meshes and age < CHILD_HAIR_YEARS:
            styles |= {"pulled": 0.0, "fullcurls": 0.0, "ponytail01": 0.2}
        recession = abs(rng.normal(0, 0.015))
    else:
        styles = {"short01": 0.18, "short02": 0.16, "short04": 0.16} if meshes else {}
        styles |= {"crop": 0.3, "buzz": 0.1 + 0.25 * mix[2], "curls": 0.06 + 0.12 * mix[2], "afro": 0.1 * mix[2] ** 2}
        styles["bald"] = float(np.interp(age, (20, 25, 70), (0, 0.02, 0.25)))
        if age < CHILD_HAIR_YEARS:
            styles |= {"crop": 0.2, "buzz": 0.02 + 0.1 * mix[2], "afro": 0.05 * mix[2] ** 2}
        recession = abs(rng.normal(0, 0.03)) + rng.uniform(0, 0.16) * float(np.interp(age, (28, 70), (0, 1)))
    shares = np.array(list(styles.values()))
    dark = float(np.clip(rng.normal(0.97, 0.08) if rng.random() > mix[0] ** 2 else rng.beta(1.3, 1.5), 0, 1))
    red = rng.beta(1, 4) * mix[0] ** 2
    colour = np.exp(-(0.55 + 3.6 * dark) * np.array((0.86, 1.0, 1.2))) * np.array((0.92, 0.80, 0.66))
    colour *= 1 + red * np.array((0.8, -0.1, -0.4))
    start = rng.uniform(34, 62)
    dyed = rng.random() < (float(np.interp(age, (60, 80), (0.55, 0.2))) if woman else 0)
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
