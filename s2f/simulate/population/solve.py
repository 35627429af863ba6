"""Solve the joint law of voices and faces for wanted correlations; nothing is tuned.

For a measure m and its expectation E given the voice, corr(m, E)^2 = Var(E) / Var(m). Of the wanted Var(E) at most
`SHARE_OF_GENDER_AND_AGE` may come from gender and age (their natural effect is shrunk to that), the mix adds what
`mix_sharing` makes of it, and the slope on pitch and tract the rest. Nasal index and nose area are the quotient and
half the product of nose width and height, so their correlations fix two covariances of the pair: that of the measures
and that of their expectations.
"""

from itertools import product

import numpy as np
from jaxtyping import Float

from s2f.errors import UsageError
from s2f.faces.craniofacial import MEASURES
from s2f.labels import GENDERS
from s2f.simulate.population.face_statistics import AGE_KNOTS_YEARS, BASIS, MIX_CONCENTRATION, NaturalLaw
from s2f.simulate.population.joint_law import (
    CLASS_SHARES,
    Population,
    Sharing,
    Voice,
    heard_ages,
    log_age_density,
    log_age_grid,
    marginal_age_density,
    mean_mix_by_pole,
)

SHARE_OF_GENDER_AND_AGE = 0.5
MOST_EXPLAINED = 0.6  # of any combination of measures, by the voice, within gender and age
# Direction of each measure in the plane of (lower pitch, longer tract), degrees; the nose height's follows from the
# four nose correlations. Signs are those of the sampler's differences between men and women, as far as they fit.
ANGLES_DEG = dict(zip(BASIS, (20, 10, 80, 45, 45, 60, 75, 5, 0, 35), strict=True))
_HEIGHT, _WIDTH = BASIS.index("nose_height"), BASIS.index("nose_width")


def measure_matrix() -> Float[np.ndarray, "12 10"]:
    """Log measures of `MEASURES` as sums and differences of those of `BASIS`, but for a constant."""
    rows = {name: np.eye(len(BASIS))[i] for i, name in enumerate(BASIS)}
    rows["nasal_index"] = rows["nose_width"] - rows["nose_height"]
    rows["nose_area"] = rows["nose_width"] + rows["nose_height"]
    return np.stack([rows[name] for name in MEASURES])


def plant(law: NaturalLaw, sharing: Sharing, men: float, pitch_tract_correlation: float) -> Population:
    """Solve the population.

    Args:
        law: the face sampler's own variation.
        sharing: wanted strengths.
        men: share of men among the voices.
        pitch_tract_correlation: correlation of pitch and tract of the voices.

    Returns:
        The population; `correlations_of` recomputes the twelve from it.

    Raises:
        UsageError: strengths out of range, or that no population can have together.
    """
    wanted = sharing.resolved()
    rho2 = np.array([wanted[name] for name in BASIS]) ** 2
    mixes = _mix_covariance(law.mix_effect)
    shared_mixes = sharing.mix_sharing**2 * _pole_covariance(law.mix_effect)
    of_face, of_voice = gender_age_covariances(law.mean, sharing, men)
    free = np.diag(mixes) + np.diag(law.covariance)
    excess = np.diag(of_voice) - SHARE_OF_GENDER_AND_AGE * rho2 * np.diag(of_face)
    with np.errstate(divide="ignore"):
        shrink = np.where(excess > 0, np.sqrt(SHARE_OF_GENDER_AND_AGE * rho2 * free / np.maximum(excess, 1e-12)), 1)
    shrink = np.minimum(shrink, 1)
    of_face, of_voice = of_face * np.outer(shrink, shrink), of_voice * np.outer(shrink, shrink)
    total = np.diag(of_face) + free
    explained = rho2 * total
    length2 = explained - np.diag(of_voice) - np.diag(shared_mixes)
    if (length2 < -1e-12).any():
        worst = BASIS[int(np.argmin(length2))]
        got = f"mix_sharing {sharing.mix_sharing} and a correlation of {worst} of {wanted[worst]}"
        raise UsageError("a mix shared less than the measures it changes", got, "lower mix_sharing or raise the latter")
    length = np.sqrt(np.maximum(length2, 0))
    together = (of_face + mixes)[_HEIGHT, _WIDTH]
    nose = _nose(wanted, total, explained, law.covariance[_HEIGHT, _WIDTH] + together)
    covariance = _tied_nose(law.covariance, nose[0] - together)
    if covariance is None:
        raise _infeasible_nose(wanted)
    cosine = nose[1] - (of_voice + shared_mixes)[_HEIGHT, _WIDTH]
    cosine /= max(length[_HEIGHT] * length[_WIDTH], 1e-12)
    if abs(cosine) > 1:
        raise _infeasible_nose(wanted)
    between = np.array([[1, pitch_tract_correlation], [pitch_tract_correlation, 1]])
    slope = _best_slopes(length, _sex_differences(law), cosine, between, covariance)
    if slope is None:
        raise UsageError("correlations that leave every measure some freedom", f"{wanted}", "lower the largest ones")
    covariance = covariance - slope @ between @ slope.T
    centre = _mean(law.mean, sharing, men)
    mean = centre + shrink * (law.mean - centre)
    return Population(sharing, men, pitch_tract_correlation, mean, law.mix_effect, slope, covariance)


def correlations_of(population: Population) -> dict[str, float]:
    """The twelve correlations of a population, computed from its law.

    Args:
        population: any population.

    Returns:
        Correlation of each log measure with its expectation given the voice, in the order of `MEASURES`.
    """
    of_face, of_voice = gender_age_covariances(population.mean, population.sharing, population.men)
    r = population.pitch_tract_correlation
    voiced = population.slope @ np.array([[1, r], [r, 1]]) @ population.slope.T
    total = of_face + _mix_covariance(population.mix_effect) + voiced + population.covariance
    explained = of_voice + population.sharing.mix_sharing**2 * _pole_covariance(population.mix_effect) + voiced
    a = measure_matrix()
    values = np.sqrt(np.einsum("ki,ij,kj->k", a, explained, a) / np.einsum("ki,ij,kj->k", a, total, a))
    return dict(zip(MEASURES, values.tolist(), strict=True))


def gender_age_covariances(
    mean: Float[np.ndarray, "2 K 10"], sharing: Sharing, men: float
) -> tuple[Float[np.ndarray, "10 10"], Float[np.ndarray, "10 10"]]:
    """Covariance of the mean log measures over faces, and of their expectation over voices.

    Args:
        mean: (2, K, 10) mean log measures by gender and age knot.
        sharing: confusion and age spread are used.
        men: share of men among the voices.

    Returns:
        Two (10, 10) matrices.
    """
    grid, hats = log_age_grid()
    weight = marginal_age_density(sharing.age_spread, grid)
    weight /= weight.sum()
    kappa = sharing.confusion
    face_men = men * (1 - kappa) + (1 - men) * kappa
    values = np.einsum("tk,gkm->gtm", hats, mean).reshape(-1, len(BASIS))
    of_face = _covariance(values, np.concatenate([(1 - face_men) * weight, face_men * weight]))
    ages, weights = _voice_states(sharing.age_spread, grid, hats)
    by_gender = np.einsum("sk,gkm->gsm", ages, mean)
    heard = np.concatenate([(1 - kappa) * by_gender[g] + kappa * by_gender[1 - g] for g in (0, 1)])
    of_voice = _covariance(heard, np.concatenate([(1 - men) * weights, men * weights]))
    return of_face, of_voice


def _voice_states(spread: float, grid: np.ndarray, hats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean hat weights of the face age in every state of a voice's heard age, and the states' probabilities."""
    rows, weights = [], []
    for name, share in CLASS_SHARES.items():
        ages = heard_ages(name)[:1] if name == "adult" else heard_ages(name)
        for age in ages:
            density = log_age_density(Voice("f", name, float(age), 0, 0, 0), spread, grid)
            rows.append(density @ hats / density.sum())
            weights.append(share / len(ages))
    return np.stack(rows), np.array(weights)


def _covariance(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    off = values - weights @ values
    return (off * weights[:, None]).T @ off


def _mean(mean: np.ndarray, sharing: Sharing, men: float) -> np.ndarray:
    """Population mean of the log measures."""
    grid, hats = log_age_grid()
    weight = marginal_age_density(sharing.age_spread, grid)
    by_gender = np.einsum("t,tk,gkm->gm", weight / weight.sum(), hats, mean)
    face_men = men * (1 - sharing.confusion) + (1 - men) * sharing.confusion
    return (1 - face_men) * by_gender[GENDERS.index("f")] + face_men * by_gender[GENDERS.index("m")]


def _mix_covariance(effect: np.ndarray) -> np.ndarray:
    """Covariance of the mix's part over faces: a symmetric Dirichlet's."""
    between = (np.eye(3) - 1 / 3) / 3 / (3 * MIX_CONCENTRATION + 1)
    return effect.T @ between @ effect


def _pole_covariance(effect: np.ndarray) -> np.ndarray:
    """Covariance of the mix's mean part over poles."""
    means = mean_mix_by_pole() @ effect
    return means.T @ means / 3


def _nose(wanted: dict[str, float], total: np.ndarray, explained: np.ndarray, natural: float) -> tuple[float, float]:
    """Covariance of log nose height and width, and of their expectations, that give both nasal index and nose area."""
    index2, area2 = wanted["nasal_index"] ** 2, wanted["nose_area"] ** 2
    spread = total[_HEIGHT] + total[_WIDTH]
    seen = explained[_HEIGHT] + explained[_WIDTH]
    covariance = natural
    if abs(area2 - index2) > 1e-9:
        covariance = (2 * seen - (index2 + area2) * spread) / (2 * (area2 - index2))
    elif abs(seen - area2 * spread) > 1e-9 * spread:  # equal ones leave the covariance open, or are impossible
        raise _infeasible_nose(wanted)
    if abs(covariance) >= np.sqrt(total[_HEIGHT] * total[_WIDTH]):
        raise _infeasible_nose(wanted)
    return covariance, (area2 * (spread + 2 * covariance) - seen) / 2


def _tied_nose(covariance: np.ndarray, wanted: float) -> np.ndarray | None:
    """The covariance after mixing width into height, at equal variances, so that theirs is as wanted."""
    height, width, now = (covariance[i, j] for i, j in ((_HEIGHT, _HEIGHT), (_WIDTH, _WIDTH), (_HEIGHT, _WIDTH)))
    left = height - wanted**2 / width
    if left <= 0:
        return None
    mixing = np.eye(len(BASIS))
    mixing[_HEIGHT, _HEIGHT] = np.sqrt(left / (height - now**2 / width))
    mixing[_HEIGHT, _WIDTH] = (wanted - mixing[_HEIGHT, _HEIGHT] * now) / width
    return mixing @ covariance @ mixing.T


def _infeasible_nose(wanted: dict[str, float]) -> UsageError:
    names = ("nose_height", "nose_width", "nasal_index", "nose_area")
    got = ", ".join(f"{name} {wanted[name]}" for name in names)
    fix = "index and area are quotient and product of width and height: move all four by one factor"
    return UsageError("four nose correlations that one nose can have", got, fix)


def _sex_differences(law: NaturalLaw) -> np.ndarray:
    """How much more of each log measure the sampler's adult men have than its women."""
    adults = [k for k, age in enumerate(AGE_KNOTS_YEARS) if 18 <= age <= 60]
    return (law.mean[1] - law.mean[0])[adults].mean(0)


def _best_slopes(
    length: np.ndarray, differences: np.ndarray, cosine: float, between: np.ndarray, covariance: np.ndarray
) -> Float[np.ndarray, "10 2"] | None:
    """Slopes whose signs follow the sex differences as far as the measures' own covariance has room for them."""
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    best: tuple[float, float, np.ndarray] | None = None
    for signs in product((1.0, -1.0), repeat=len(BASIS)):
        slope = _slopes(length, np.array(signs), cosine, between)
        used = float(np.linalg.norm(whiten @ slope @ np.linalg.cholesky(between), 2) ** 2)  # 1 would leave no freedom
        agreement = float(np.sign(differences) @ signs)
        if used < MOST_EXPLAINED and (best is None or (agreement, -used) > best[:2]):
            best = (agreement, -used, slope)
    return None if best is None else best[2]


def _slopes(length: np.ndarray, signs: np.ndarray, cosine: float, between: np.ndarray) -> Float[np.ndarray, "10 2"]:
    """Rows of the wanted length in the metric of (pitch, tract); nose height and width at the wanted cosine."""
    root = np.linalg.cholesky(between)  # latents = root @ independent ones
    angles = np.radians([ANGLES_DEG[name] for name in BASIS])
    raw = signs[:, None] * np.stack([-np.cos(angles), np.sin(angles)], 1) @ root
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    sine = signs[_HEIGHT] * np.sqrt(1 - cosine**2)
    unit[_HEIGHT] = np.array([[cosine, -sine], [sine, cosine]]) @ unit[_WIDTH]
    return (length[:, None] * unit) @ np.linalg.inv(root)
