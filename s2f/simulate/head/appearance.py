"""A person's paint as plain numbers, in the form that compiled code takes."""

from typing import NamedTuple

import numpy as np

from s2f.simulate.head.person import Person

PAINTED_STYLES = ("crop", "buzz", "curls", "fullcurls", "afro", "pulled", "bald")


class Look(NamedTuple):
    """A person's paint as plain numbers for the compiled painter; meanings as in `Person`."""

    melanin: float
    blood: float
    freckles: float
    age: float
    iris: tuple[float, float, float]
    hair: tuple[float, float, float]
    grey: float
    scalp: float
    recession: float
    curl: float
    brow_thickness: float
    brow_arch: float
    brow_lift: float
    crease: float
    moustache: float
    chin: float
    side: float
    stubble: float
    lip_colour: float
    eye_shadow: float
    lashes: float
    brow_density: float
    youth: float
    wrinkles: tuple[float, float, float, float, float, float]
    shirt: tuple[float, float, float]
    seed: float


def look_of(person: Person) -> Look:
    """Numbers for the painter.

    Args:
        person: whose face.

    Returns:
        The look.
    """
    d = person.beard_density
    beard = {"none": (0, 0, 0), "stubble": (0, 0, 0), "moustache": (d, 0, 0), "goatee": (d, d, 0), "full": (d, d, d)}
    moustache, chin, side = beard[person.beard]
    scalp = {"bald": 0.0, "buzz": 0.72}.get(person.hair_style, 0.95)
    woman = person.gender == "f"
    w = person.wrinkles
    grown = float(np.interp(person.age_years, (12, 20), (0, 1)))
    shaven = 0.0 if woman else 0.16 * float(np.interp(person.age_years, (16, 24), (0, 1)))
    return Look(
        melanin=person.melanin,
        blood=person.haemoglobin,
        freckles=person.freckles,
        age=person.age_years,
        iris=person.eye_colour,
        hair=person.hair_colour,
        grey=person.grey,
        scalp=scalp,
        recession=person.recession if person.hair_style in PAINTED_STYLES else -0.10,
        curl=1.0 if person.hair_style in ("curls", "fullcurls", "afro") else 0.0,
        brow_thickness=person.brow_thickness,
        brow_arch=person.brow_arch,
        brow_lift=0.026 + 0.014 * person.ethnic_mix[1],
        crease=0.42 - 0.3 * person.ethnic_mix[1],
        moustache=float(moustache),
        chin=float(chin),
        side=float(side),
        stubble=0.55 * d if person.beard == "stubble" else shaven,
        lip_colour=person.lip_colour,
        eye_shadow=person.eye_shadow,
        lashes=0.55 + (0.35 * (0.4 + 0.6 * grown) if woman else 0),
        brow_density=0.72 + 0.28 * grown - 0.3 * float(np.interp(person.age_years, (45, 85), (0, 1))),
        youth=1 - grown,
        wrinkles=(w[0], w[1], w[2], w[3], w[4], w[5]),
        shirt=person.shirt,
        seed=float(person.texture_seed % 977),
    )
