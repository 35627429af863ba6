"""The joint law of voices and faces: what they share, how strongly, and the ideal observer's likelihood ratio.

Voice side: gender, an age class (with an audible age for children and elders), pitch, vocal tract and timbre as
standard normal numbers within gender and class. Face side: gender, age, mix of poles, ten log measures from which
Speech2Face's twelve craniofacial measures follow, and everything else that no voice knows. Given the voice, the face is
drawn as

    gender: the voice's, or the other one with probability `confusion`
    log age ~ Normal(log voice age, age_spread^2), cut to 5..85 years; an adult voice's age is not heard
    pole: the voice's with probability `mix_sharing`, else any of three; the voice's pole is the tertile of its timbre
    y = mean + S (mu(gender, age) - mean) + mix effect + B (pitch, tract) + e,   e ~ Normal(0, covariance)

with mu and the mix effect as the face sampler has them (`s2f.simulate.population.face_statistics`). The diagonal S and
the rows of B are solved so that corr(m, E[m | voice]) over the whole population equals the wanted correlation for each
of the twelve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from s2f.errors import UsageError, check_names
from s2f.faces.craniofacial import MEASURES, PUBLISHED_CORRELATIONS
from s2f.labels import AGE_CLASSES, GENDERS
from s2f.simulate.population.face_statistics import AGE_RANGE_YEARS, BASIS, MIX_CONCENTRATION, hat_weights

AGE_YEARS = dict(zip(AGE_CLASSES, ((5.0, 13.0), (18.0, 59.0), (62.0, 85.0)), strict=True))
CLASS_SHARES = {"child": 0.12, "adult": 0.72, "elder": 0.16}
TERTILES = (-0.4307272992954576, 0.4307272992954576)
_POINTS = 200


@dataclass(frozen=True)
class Voice:
    """What a voice carries.

    Attributes:
        gender: "f" or "m".
        age_class: child, adult or elder.
        age_years: the age given to the voice; of adults it is not heard.
        pitch: log fundamental frequency, standardised within gender and class.
        tract: log vocal-tract length, likewise.
        timbre: spectral tilt that pitch and tract do not explain, likewise.
    """

    gender: str
    age_class: str
    age_years: float
    pitch: float
    tract: float
    timbre: float

    @property
    def pole(self) -> int:
        """Index into `POLES`: the tertile of the timbre, an arbitrary rule that says nothing about people."""
        return int(np.searchsorted(TERTILES, self.timbre))


@dataclass(frozen=True)
class Face:
    """What of a face may depend on the voice.

    Attributes:
        gender: "f" or "m", as drawn.
        age_years: age of the face.
        mix: shares of the poles.
        log_measures: (10,) wanted logarithms of the measures of `BASIS`, pixels of a 224 px picture.
    """

    gender: str
    age_years: float
    mix: tuple[float, float, float]
    log_measures: Float[np.ndarray, " 10"]


@dataclass(frozen=True)
class Sharing:
    """How strongly voice and face hang together.

    Attributes:
        correlations: correlation over the whole population of each of the twelve measures with its expectation given
            the voice; measures left out keep the published value.
        age_spread: standard deviation of log face age around log voice age.
        mix_sharing: probability that the face's pole is the voice's.
        confusion: probability that the face's gender is not the voice's.
    """

    correlations: dict[str, float]
    age_spread: float = 0.40
    mix_sharing: float = 0.10
    confusion: float = 0.05

    def resolved(self) -> dict[str, float]:
        """All twelve correlations.

        Raises:
            UsageError: a correlation outside 0..0.9, an unknown measure, or another strength out of range.
        """
        check_names(self.correlations, MEASURES, "measure")
        merged = PUBLISHED_CORRELATIONS | self.correlations
        for name, value in merged.items():
            if not 0 <= value <= 0.9:
                raise UsageError(f"a correlation of {name} in 0..0.9", f"{value}", "lower it")
        ranges = {"age_spread": (0.02, 2.0), "mix_sharing": (0.0, 0.99), "confusion": (1e-6, 0.5)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} in {low}..{high}", f"{getattr(self, name)}", "choose a value in this range")
        return merged


@dataclass(frozen=True)
class Population:
    """A solved joint law; made by `s2f.simulate.population.solve.plant`.

    Attributes:
        sharing: what was asked for.
        men: share of men among the voices.
        pitch_tract_correlation: correlation of a voice's pitch and tract.
        mean: (2, K, 10) mean log measures of women and men at
            `s2f.simulate.population.face_statistics.AGE_KNOTS_YEARS`.
        mix_effect: (3, 10) change of the log measures per share of a pole.
        slope: (10, 2) change of the log measures per unit of pitch and tract.
        covariance: (10, 10) of the part that nothing explains.
    """

    sharing: Sharing
    men: float
    pitch_tract_correlation: float
    mean: Float[np.ndarray, "2 K 10"]
    mix_effect: Float[np.ndarray, "3 10"]
    slope: Float[np.ndarray, "10 2"]
    covariance: Float[np.ndarray, "10 10"]

    def draw_face(self, voice: Voice, rng: np.random.Generator) -> Face:
        """Draw the face of a voice.

        Args:
            voice: whose face.
            rng: the person's own generator.

        Returns:
            The part of the face that this law covers.
        """
        swapped = rng.random() < self.sharing.confusion
        gender = GENDERS[(voice.gender == "m") ^ swapped]
        low, high = np.log(AGE_RANGE_YEARS)
        log_age = np.inf
        while not low <= log_age <= high:
            log_age = rng.normal(np.log(voice.age_years), self.sharing.age_spread)
        pole = voice.pole if rng.random() < self.sharing.mix_sharing else int(rng.integers(3))
        mix = np.sort(rng.dirichlet((MIX_CONCENTRATION,) * 3))
        others = rng.permutation(2)
        mix = np.roll(np.array([mix[2], *mix[:2][others]]), pole)
        noise = rng.multivariate_normal(np.zeros(len(BASIS)), self.covariance, method="cholesky")
        age = float(np.exp(log_age))
        shares = (float(mix[0]), float(mix[1]), float(mix[2]))
        log_measures = self._mean_of_face(gender, age, shares) + self.slope @ (voice.pitch, voice.tract) + noise
        return Face(gender, age, shares, log_measures)

    def _mean_of_face(self, gender: str, age_years: float, mix: Sequence[float]) -> Float[np.ndarray, " 10"]:
        return hat_weights(age_years)[0] @ self.mean[GENDERS.index(gender)] + np.asarray(mix) @ self.mix_effect

    def expected_log_measures(self, voices: Sequence[Voice]) -> Float[np.ndarray, "V 10"]:
        """E[log measures | voice], over everything that the voice leaves open.

        Args:
            voices: V voices.

        Returns:
            (V, 10) in the order of `BASIS`.
        """
        grid, hats = log_age_grid()
        ages = log_age_densities(voices, self.sharing.age_spread, grid) @ hats
        ages /= ages.sum(1, keepdims=True)
        man = np.array([voice.gender == "m" for voice in voices], float)
        man = man * (1 - self.sharing.confusion) + (1 - man) * self.sharing.confusion
        by_gender = np.einsum("vk,gkm->gvm", ages, self.mean)
        result = (1 - man)[:, None] * by_gender[0] + man[:, None] * by_gender[1]
        poles = np.array([voice.pole for voice in voices])
        result += self.sharing.mix_sharing * (mean_mix_by_pole()[poles] @ self.mix_effect)
        return result + np.array([(voice.pitch, voice.tract) for voice in voices]) @ self.slope.T

    def log_likelihood_ratio(self, voices: Sequence[Voice], faces: Sequence[Face]) -> Float[np.ndarray, "V F"]:
        """Log p(face | voice) - log p(face) of every pair: the score that no other beats.

        Args:
            voices: V voices.
            faces: F faces.

        Returns:
            (V, F) float64; the mean of its exponential over independent pairs is 1.
        """
        return (
            self._gender_ratio(voices, faces)
            + self._age_ratio(voices, faces)
            + self._pole_ratio(voices, faces)
            + self._measure_ratio(voices, faces)
        )

    def _gender_ratio(self, voices: Sequence[Voice], faces: Sequence[Face]) -> np.ndarray:
        kappa = self.sharing.confusion
        same = np.array([v.gender for v in voices])[:, None] == np.array([f.gender for f in faces])[None]
        man = self.men * (1 - kappa) + (1 - self.men) * kappa
        marginal = np.where([f.gender == "m" for f in faces], man, 1 - man)
        return np.where(same, np.log1p(-kappa), np.log(kappa)) - np.log(marginal)

    def _age_ratio(self, voices: Sequence[Voice], faces: Sequence[Face]) -> np.ndarray:
        spread = self.sharing.age_spread
        where = np.log([face.age_years for face in faces])
        given = log_age_densities(voices, spread, where)
        return np.log(given + 1e-300) - np.log(marginal_age_density(spread, where))

    def _pole_ratio(self, voices: Sequence[Voice], faces: Sequence[Face]) -> np.ndarray:
        tau = self.sharing.mix_sharing
        same = np.array([v.pole for v in voices])[:, None] == np.array([np.argmax(f.mix) for f in faces])[None]
        return np.log(1 - tau + 3 * tau * same)

    def _measure_ratio(self, voices: Sequence[Voice], faces: Sequence[Face]) -> np.ndarray:
        off = np.stack([f.log_measures - self._mean_of_face(f.gender, f.age_years, f.mix) for f in faces])
        shift = np.array([(v.pitch, v.tract) for v in voices]) @ self.slope.T
        between = np.array([[1, self.pitch_tract_correlation], [self.pitch_tract_correlation, 1]])
        marginal = multivariate_normal(cov=self.covariance + self.slope @ between @ self.slope.T).logpdf(off)
        whiten = np.linalg.inv(np.linalg.cholesky(self.covariance))
        seen, heard = off @ whiten.T, shift @ whiten.T
        distance2 = (heard**2).sum(1)[:, None] - 2 * heard @ seen.T + (seen**2).sum(1)
        given = -0.5 * (distance2 + np.linalg.slogdet(2 * np.pi * self.covariance)[1])
        return given - marginal


def log_age_grid() -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T K"]]:
    """Midpoints of equal steps over the logarithm of 5..85 years, and their hat weights."""
    low, high = np.log(AGE_RANGE_YEARS)
    grid = low + (np.arange(2 * _POINTS) + 0.5) * (high - low) / (2 * _POINTS)
    return grid, hat_weights(np.exp(grid))


def heard_ages(age_class: str) -> Float[np.ndarray, " T"]:
    """Equally likely voice ages of a class in years, as midpoints."""
    low, high = AGE_YEARS[age_class]
    return low + (np.arange(_POINTS) + 0.5) * (high - low) / _POINTS


def _cut_normal(where: np.ndarray, centre: np.ndarray, spread: float) -> np.ndarray:
    """Density at (F,) of normals around (T,) cut to the range of ages: (T, F)."""
    low, high = np.log(AGE_RANGE_YEARS)
    inside = ndtr((high - centre) / spread) - ndtr((low - centre) / spread)
    z = (where[None] - centre[:, None]) / spread
    return np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * spread * inside[:, None])


def log_age_density(voice: Voice, spread: float, where: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """Density of the log face age given what is heard of the voice's age.

    Args:
        voice: the voice; of an adult only the class is heard.
        spread: standard deviation of log age.
        where: (F,) log ages.

    Returns:
        (F,) density.
    """
    if voice.age_class == "adult":
        return _cut_normal(where, np.log(heard_ages("adult")), spread).mean(0)
    return _cut_normal(where, np.log([voice.age_years]), spread)[0]


def log_age_densities(
    voices: Sequence[Voice], spread: float, where: Float[np.ndarray, " F"]
) -> Float[np.ndarray, "V F"]:
    """`log_age_density` of many voices, that of adults computed once: it is the same for all of them."""
    adult = _cut_normal(where, np.log(heard_ages("adult")), spread).mean(0)
    return np.stack([adult if v.age_class == "adult" else log_age_density(v, spread, where) for v in voices])


def marginal_age_density(spread: float, where: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """Density of the log face age over the whole population.

    Args:
        spread: standard deviation of log face age around log voice age.
        where: (F,) log ages.

    Returns:
        (F,) density.
    """
    parts = [share * _cut_normal(where, np.log(heard_ages(c)), spread).mean(0) for c, share in CLASS_SHARES.items()]
    return np.sum(parts, 0)


@cache
def mean_mix_by_pole() -> Float[np.ndarray, "3 3"]:
    """Mean mix, less equal shares, of faces whose largest share is each pole (rows)."""
    largest = float(np.sort(np.random.default_rng(0).dirichlet((MIX_CONCENTRATION,) * 3, 200_000), 1)[:, 2].mean())
    rest = (1 - largest) / 2
    return np.full((3, 3), rest) + (largest - rest) * np.eye(3) - 1 / 3
