"""How the face sampler's craniofacial measures vary by themselves: with gender, age and ethnic mix, and within."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from s2f.faces.craniofacial import craniofacial_measures
from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.render.views import canonical_landmarks

AGE_RANGE_YEARS = (5.0, 85.0)
AGE_KNOTS_YEARS = (5.0, 8.0, 12.0, 16.0, 22.0, 35.0, 50.0, 65.0, 85.0)
MIX_CONCENTRATION = 0.35
BASIS = (
    "upper_lip_height",
    "lateral_upper_lip_heights",
    "jaw_width",
    "nose_height",
    "nose_width",
    "labio_oral_region",
    "mandibular_index",
    "intercanthal_index",
    "vermilion_height_index",
    "mouth_face_width_index",
)
DRAWS = 4000
_STREAM = 20


@dataclass(frozen=True)
class NaturalLaw:
    """Log measures of `BASIS` as the sampler draws them: hat functions of log age per gender, a linear part in the mix.

    Attributes:
        mean: (2, K, 10) mean log measure of women and men at `AGE_KNOTS_YEARS`, at equal shares of the poles.
        mix_effect: (3, 10) change per share of a pole; the three rows sum to 0.
        covariance: (10, 10) of what is left.
    """

    mean: Float[np.ndarray, "2 K 10"]
    mix_effect: Float[np.ndarray, "3 10"]
    covariance: Float[np.ndarray, "10 10"]


def log_basis(landmarks: Float[np.ndarray, "N 68 2"]) -> Float[np.ndarray, "N 10"]:
    """Natural logarithms of the measures of `BASIS`, in its order; the other two of the twelve follow from these.

    Args:
        landmarks: (N, 68, 2) iBUG points in pixels of a 224 px picture.

    Returns:
        (N, 10) float64.
    """
    measures = craniofacial_measures(landmarks)
    return np.log(np.stack([measures[name] for name in BASIS], 1))


def hat_weights(age_years: Float[np.ndarray, " N"] | float) -> Float[np.ndarray, "N K"]:
    """Linear interpolation between `AGE_KNOTS_YEARS` on the logarithm of age.

    Args:
        age_years: (N,) ages; the first or last knot is taken outside their range.

    Returns:
        (N, K) weights, each row summing to 1.
    """
    knots = np.log(AGE_KNOTS_YEARS)
    unit = np.eye(len(knots))
    where = np.log(np.atleast_1d(np.asarray(age_years, np.float64)))
    return np.stack([np.interp(where, knots, unit[k]) for k in range(len(knots))], 1)


def fit_natural_law(rig: HeadRig, draws: int = DRAWS) -> NaturalLaw:
    """Draw persons without drawing pictures, and fit the law by least squares; the same rig gives the same law.

    Args:
        rig: the shared head.
        draws: number of persons.

    Returns:
        The law of measures on canonical landmarks at 224 px.
    """
    points, rows, mixes = [], [], []
    hair = bool(rig.model.hair)
    for number in tqdm(range(draws), desc="natural law", unit="person", leave=False):
        rng = np.random.default_rng([_STREAM, number])
        man = bool(rng.random() < 0.5)
        age = float(np.exp(rng.uniform(*np.log(AGE_RANGE_YEARS))))
        mix = rng.dirichlet((MIX_CONCENTRATION,) * 3)
        person = sample_person(rng, "m" if man else "f", age, (mix[0], mix[1], mix[2]), hair)
        points.append(canonical_landmarks(rig, person))
        hats = hat_weights(age)[0]
        rows.append(np.concatenate([hats * (not man), hats * man, mix - 1 / 3]))
        mixes.append(mix)
    values, design = log_basis(np.stack(points)), np.stack(rows)
    solution = np.linalg.lstsq(design, values, rcond=None)[0]  # least norm: the three mix rows sum to 0
    knots = len(AGE_KNOTS_YEARS)
    left = values - design @ solution
    covariance = left.T @ left / (draws - design.shape[1] + 1)
    return NaturalLaw(solution[: 2 * knots].reshape(2, knots, -1), solution[2 * knots :], covariance)
