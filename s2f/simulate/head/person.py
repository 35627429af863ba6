"""Persons: latents drawn from a generator, and the head shape they stand for.

Ethnic poles are MakeHuman's three coarse ones, used only as shape and skin directions; they are not human categories.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from s2f.simulate.head.makehuman import POLES, HeadModel

# folder, slider, ending at -1, ending at +1, spread factor, shift of women (men get the opposite)
_SLIDER_TABLE = """
head head-scale-horiz decr incr 1.26 0
head head-scale-vert decr incr 1.1 0
head head-scale-depth decr incr 0.7 0
head head-fat decr incr 0.9 0
head head-angle in out 0.4 0
forehead forehead-nubian decr incr 0.5 0
forehead forehead-scale-vert decr incr 0.8 0
forehead forehead-temple decr incr 1.0 0
forehead forehead-trans backward forward 0.6 -.05
eyebrows eyebrows-angle down up 0.8 .12
eyebrows eyebrows-trans down up 0.8 .12
eyes eye-bag decr incr 0.7 0
eyes eye-corner1 down up 0.7 0
eyes eye-corner2 down up 0.8 .05
eyes eye-epicanthus in out 0.7 0
eyes eye-eyefold-angle down up 0.7 0
eyes eye-height1 decr incr 0.6 0
eyes eye-height2 decr incr 0.6 .08
eyes eye-height3 decr incr 0.6 0
eyes eye-push1 in out 0.6 0
eyes eye-scale decr incr 0.8 .22
eyes eye-trans-vert down up 0.5 0
eyes eye-trans-side in out 0.9 0
nose nose-base down up 0.8 0
nose nose-compression compress uncompress 0.8 0
nose nose-curve concave convex 1.0 -.08
nose nose-flaring decr incr 0.7 0
nose nose-greek decr incr 0.6 0
nose nose-hump decr incr 0.9 -.1
nose nose-nostrils-angle down up 0.8 0
nose nose-nostrils-width decr incr 0.5 -.08
nose nose-point down up 1.0 .05
nose nose-point-width decr incr 1.25 -.1
nose nose-scale-depth decr incr 0.9 0
nose nose-scale-horiz decr incr 0.65 -.08
nose nose-scale-vert decr incr 1.4 0
nose nose-septumangle decr incr 0.6 0
nose nose-trans down up 0.5 0
nose nose-volume decr incr 0.8 -.08
nose nose-width1 decr incr 1.0 -.1
nose nose-width2 decr incr 1.0 -.1
nose nose-width3 decr incr 0.45 -.06
mouth mouth-angles down up 0.5 .05
mouth mouth-cupidsbow decr incr 0.8 .05
mouth mouth-cupidsbow-width decr incr 0.6 0
mouth mouth-laugh-lines in out 0.5 0
mouth mouth-lowerlip-height decr incr 0.55 .12
mouth mouth-lowerlip-volume decr incr 0.7 .12
mouth mouth-lowerlip-width decr incr 0.6 0
mouth mouth-philtrum-volume decr incr 0.8 0
mouth mouth-scale-horiz decr incr 0.9 -.05
mouth mouth-scale-depth decr incr 0.6 0
mouth mouth-trans down up 0.6 0
mouth mouth-upperlip-height decr incr 0.25 0
mouth mouth-upperlip-volume decr incr 0.45 .08
mouth mouth-upperlip-width decr incr 0.6 0
ears ear-flap decr incr 0.8 0
ears ear-lobe decr incr 0.8 0
ears ear-scale decr incr 0.9 -.1
ears ear-scale-vert decr incr 0.8 0
ears ear-wing decr incr 0.8 0
chin chin-bones decr incr 1.3 -.22
chin chin-cleft decr incr 0.5 -.05
chin chin-height decr incr 1.6 -.05
chin chin-jaw-drop decr incr 1.4 -.12
chin chin-prognathism decr incr 0.6 0
chin chin-prominent decr incr 0.8 -.08
chin chin-width decr incr 1.6 -.22
cheek cheek-bones decr incr 1.0 .15
cheek cheek-inner decr incr 0.8 0
cheek cheek-volume decr incr 0.8 0
cheek cheek-trans down up 0.8 0
neck neck-double decr incr 0.6 0
neck neck-scale-depth decr incr 0.6 -.1
neck neck-scale-horiz decr incr 0.8 -.2
"""
_AGE_ROWS = {"baby": (1, 0, 0, 0), "child": (0, 1, 0, 0), "young": (0, 0, 1, 0), "old": (0, 0, 0, 1)}
OUTLINES = ["oval", "round", "rectangular", "square", "triangular", "invertedtriangular", "diamond"]
ASYMMETRY = ["brown-1", "cheek-1", "ear-1", "eye-1", "eye-4", "jaw-1", "mouth-1", "nose-1", "nose-4", "temple-1"]
_PAIRED = ("eyes", "ears", "cheek")

# The right half of dlib's 68 points on the base shape, dm: 0..8, 17..21, 27..33, 36..41, 48..51, 57..62, 66, 67.
_HALF_POINTS = """
0 -.719 7.367 .671;1 -.711 7.171 .682;2 -.694 7.005 .744;3 -.642 6.820 .881;4 -.567 6.644 .993;5 -.475 6.498 1.106
6 -.357 6.350 1.203;7 -.193 6.219 1.163;8 0 6.166 1.278;17 -.560 7.435 1.229;18 -.464 7.495 1.337;19 -.345 7.510 1.418
20 -.227 7.496 1.471;21 -.122 7.461 1.499;27 0 7.330 1.506;28 0 7.213 1.526;29 0 7.094 1.586;30 0 6.968 1.666
31 -.128 6.847 1.517;32 -.059 6.816 1.553;33 0 6.801 1.570;36 -.441 7.285 1.354;37 -.359 7.331 1.401
38 -.266 7.316 1.393;39 -.187 7.267 1.376;40 -.273 7.239 1.398;41 -.372 7.239 1.391;48 -.240 6.604 1.420
49 -.145 6.679 1.546;50 -.059 6.699 1.593;51 0 6.680 1.600;57 0 6.490 1.537;58 -.062 6.498 1.532
59 -.151 6.529 1.495;60 -.196 6.599 1.455;61 -.052 6.615 1.546;62 0 6.613 1.550;66 0 6.593 1.545;67 -.056 6.599 1.533
"""
_OPPOSITE = {
    **{i: 16 - i for i in range(8)},
    **{i: 43 - i for i in range(17, 22)},
    31: 35, 32: 34, 36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46,
    48: 54, 49: 53, 50: 52, 58: 56, 59: 55, 60: 64, 61: 63, 67: 65,
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Everything that one synthetic face is made of.

    Attributes:
        gender: "f" or "m".
        age_years: age.
        ethnic_mix: shares of MakeHuman's caucasian, asian and african poles; they sum to 1.
        maleness: MakeHuman's gender factor, 0 to 1.
        muscle: 0 to 1, average 0.5.
        weight: 0 to 1, average 0.5.
        sliders: shape sliders by name, -1 to 1 (head outlines 0 to 1).
        melanin: skin melanin density.
        haemoglobin: skin blood density.
        freckles: 0 to 1.
        eye_colour: linear RGB of the iris.
        hair_style: a MakeHuman hair style, or crop, buzz, curls, fullcurls, afro, pulled or bald.
        hair_colour: linear RGB before greying.
        grey: share of grey hair, 0 to 1.
        recession: how far the hairline has receded, radians of elevation.
        brow_thickness: half thickness of a brow, dm.
        brow_arch: extra arch of a brow, dm.
        beard: none, stubble, moustache, goatee or full.
        beard_density: 0 to 1.
        lip_colour: strength of lip make-up, 0 to 1.
        eye_shadow: strength of eye make-up, 0 to 1.
        wrinkles: strength of the forehead, glabella, crow's feet, under-eye, nasolabial and marionette lines.
        shirt: linear RGB.
        texture_seed: start of the skin and hair noise.
    """

    gender: str
    age_years: float
    ethnic_mix: tuple[float, float, float]
    maleness: float
    muscle: float
    weight: float
    sliders: dict[str, float]
    melanin: float
    haemoglobin: float
    freckles: float
    eye_colour: tuple[float, float, float]
    hair_style: str
    hair_colour: tuple[float, float, float]
    grey: float
    recession: float
    brow_thickness: float
    brow_arch: float
    beard: str
    beard_density: float
    lip_colour: float
    eye_shadow: float
    wrinkles: tuple[float, ...]
    shirt: tuple[float, float, float]
    texture_seed: int

    @property
    def ethnicity(self) -> str:
        """Name of the largest share among MakeHuman's poles."""
        return POLES[int(np.argmax(self.ethnic_mix))]

    def truth(self) -> dict[str, object]:
        """All latents as one flat row.

        Returns:
            Column name to a number or a word; tuples are spread over numbered columns.
        """
        row: dict[str, object] = {"ethnicity": self.ethnicity}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                row |= value
            elif isinstance(value, tuple):
                row |= {f"{name}_{i}": x for i, x in enumerate(value)}
            else:
                row[name] = value
        return row


@lru_cache(maxsize=1)
def slider_rows() -> list[tuple[str, str, str, str, float, float]]:
    """The paired sliders.

    Returns:
        Rows of folder, slider, ending at -1, ending at +1, spread factor, shift of women.
    """
    words = [line.split() for line in _SLIDER_TABLE.split("\n") if line]
    return [(w[0], w[1], w[2], w[3], float(w[4]), float(w[5])) for w in words]


def macro_weights(age_years: float, maleness: float, mix: tuple, muscle: float, weight: float) -> dict[str, float]:
    """Weights of MakeHuman's macro targets: products of the numbers of the words in a target's name.

    Args:
        age_years: age, 1 to 90.
        maleness: 0 to 1.
        mix: shares of the poles.
        muscle: 0 to 1.
        weight: 0 to 1.

    Returns:
        Target name to weight; targets of weight 0 are left out.
    """
    age = {name: float(np.interp(age_years, (1, 10, 25, 90), row)) for name, row in _AGE_ROWS.items()}
    sex = {"female": 1 - maleness, "male": maleness}
    tone = {"minmuscle": max(0, 1 - 2 * muscle), "maxmuscle": max(0, 2 * muscle - 1)}
    tone["averagemuscle"] = 1 - sum(tone.values())
    mass = {"minweight": max(0, 1 - 2 * weight), "maxweight": max(0, 2 * weight - 1)}
    mass["averageweight"] = 1 - sum(mass.values())
    weights: dict[str, float] = {}
    for s, ws in sex.items():
        for a, wa in age.items():
            weights |= {f"macrodetails/{p}-{s}-{a}": wp * ws * wa for p, wp in zip(POLES, mix, strict=True)}
            weights |= {
                f"macrodetails/universal-{s}-{a}-{t}-{k}": ws * wa * wt * wk
                for t, wt in tone.items()
                for k, wk in mass.items()
            }
    return {name: value for name, value in weights.items() if value > 0}


def detail_weights(sliders: dict[str, float]) -> dict[str, float]:
    """Weights of the detail targets that a set of sliders stands for.

    Args:
        sliders: values by slider name as in `Person.sliders`.

    Returns:
        Target name to weight, 0 to 1.
    """
    weights: dict[str, float] = {}
    for folder, slider, low, high, _, _ in slider_rows():
        x = sliders.get(slider, 0.0)
        stem = slider.removesuffix("-vert").removesuffix("-side") if "trans" in slider else slider
        for side in ("l-", "r-") if folder in _PAIRED else ("",):
            weights[f"{folder}/{side}{stem}-{high if x > 0 else low}"] = abs(x)
    weights |= {f"head/head-{name}": sliders.get(f"head-{name}", 0.0) for name in OUTLINES}
    for name in ASYMMETRY:
        x = sliders.get(f"asym-{name}", 0.0)
        weights[f"asym/asym-{name}-{'l' if x > 0 else 'r'}"] = abs(x)
    x = sliders.get("head-age", 0.0)
    weights["head/head-age-incr"] = x
    return {name: value for name, value in weights.items() if value > 0}


def target_weights(model: HeadModel, person: Person, expression: dict[str, float] | None = None) -> np.ndarray:
    """Weight of every target of the model for a person.

    Args:
        model: the head model.
        person: whose head.
        expression: weights of MakeHuman's expression units, 0 to 1.

    Returns:
        (t,) float32 in the order of `model.targets`; targets that the model lacks are left out.
    """
    weights = macro_weights(person.age_years, person.maleness, person.ethnic_mix, person.muscle, person.weight)
    weights |= detail_weights(person.sliders)
    for unit, x in (expression or {}).items():
        weights |= {f"expression/{p}/{unit}": x * w for p, w in zip(POLES, person.ethnic_mix, strict=True)}
    vector = np.zeros(len(model.target_row), np.float32)
    for name, value in weights.items():
        row = model.target_row.get(name)
        if row is not None:
            vector[row] = value
    return vector


def head_vertices(model: HeadModel, person: Person, expression: dict[str, float] | None = None) -> np.ndarray:
    """Shape of a person's head.

    Args:
        model: the head model.
        person: whose head.
        expression: weights of MakeHuman's expression units, 0 to 1.

    Returns:
        (n, 3) vertices before subdivision, dm.
    """
    return model.base + (model.targets.T @ target_weights(model, person, expression)).reshape(-1, 3)


def landmark_vertices(model: HeadModel) -> np.ndarray:
    """Vertices of the subdivided surface that lie at dlib's 68 points.

    Args:
        model: the head model.

    Returns:
        (68,) vertex numbers, iBUG order.
    """
    points = np.zeros((68, 3))
    for entry in _HALF_POINTS.strip().replace("\n", ";").split(";"):
        index, x, y, z = (float(word) for word in entry.split())
        points[int(index)] = x, y, z
        if int(index) in _OPPOSITE:
            points[_OPPOSITE[int(index)]] = -x, y, z
    surface = model.subdivision @ model.base
    return cKDTree(surface).query(points)[1]
