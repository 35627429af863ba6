"""The joint law of voices and faces: what was planted comes out, and its likelihood ratio is the true one."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, truncnorm

from s2f.errors import UsageError
from s2f.faces.craniofacial import MEASURES, PUBLISHED_CORRELATIONS
from s2f.simulate.population.face_statistics import AGE_KNOTS_YEARS, BASIS, NaturalLaw, hat_weights
from s2f.simulate.population.joint_law import (
    AGE_YEARS,
    CLASS_SHARES,
    Sharing,
    Voice,
    log_age_density,
    marginal_age_density,
    mean_mix_by_pole,
)
from s2f.simulate.population.solve import correlations_of, gender_age_covariances, measure_matrix, plant

R = -0.2
LOG_AGES = np.log((5.0, 85.0))


@pytest.fixture(scope="module")
def law() -> NaturalLaw:
    """Sizes like the face sampler's: 4..20 % spread, sexes and ages apart, measures correlated."""
    rng = np.random.default_rng(0)
    spread = np.array((0.12, 0.17, 0.06, 0.06, 0.09, 0.07, 0.17, 0.04, 0.1, 0.06))
    loads = rng.normal(0, 0.4, (10, 4))
    correlation = loads @ loads.T + np.eye(10)
    scale = spread / np.sqrt(np.diag(correlation))
    mean = rng.normal(0, 0.2, (2, len(AGE_KNOTS_YEARS), 10)).cumsum(1) * spread
    effect = rng.normal(0, 0.2, (3, 10)) * spread
    return NaturalLaw(mean + rng.normal(3, 1, 10), effect - effect.mean(0), correlation * np.outer(scale, scale))


@pytest.fixture(scope="module")
def population(law):
    return plant(law, Sharing({}), 0.5, R)


def draw_voices(count, seed=0):
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(((1, R), (R, 1)))
    voices = []
    for _ in range(count):
        age_class = str(rng.choice(list(CLASS_SHARES), p=list(CLASS_SHARES.values())))
        pitch, tract = root @ rng.normal(size=2)
        age = float(rng.uniform(*AGE_YEARS[age_class]))
        voices.append(Voice("fm"[rng.integers(2)], age_class, age, float(pitch), float(tract), float(rng.normal())))
    return voices


@pytest.fixture(scope="module")
def people(population):
    voices = draw_voices(3000)
    rng = np.random.default_rng(1)
    return voices, [population.draw_face(voice, rng) for voice in voices]


def test_the_law_gives_the_published_correlations(population):
    found = correlations_of(population)
    assert list(found) == list(MEASURES)
    assert found == pytest.approx(PUBLISHED_CORRELATIONS, abs=1e-9)


def test_planted_correlations_come_back_from_3000_people(population, people):
    voices, faces = people
    expected = population.expected_log_measures(voices) @ measure_matrix().T
    drawn = np.stack([face.log_measures for face in faces]) @ measure_matrix().T
    for k, name in enumerate(MEASURES):
        assert np.corrcoef(expected[:, k], drawn[:, k])[0, 1] == pytest.approx(PUBLISHED_CORRELATIONS[name], abs=0.06)
        # an expectation must have slope 1, whatever the correlation
        slope = np.cov(expected[:, k], drawn[:, k])[0, 1] / expected[:, k].var(ddof=1)
        assert slope == pytest.approx(1, abs=3.5 / (np.sqrt(3000) * PUBLISHED_CORRELATIONS[name]))


def test_other_correlations_are_honoured(law):
    wanted = {"jaw_width": 0.5, "upper_lip_height": 0.0}
    found = correlations_of(plant(law, Sharing(wanted, mix_sharing=0.0), 0.3, 0.1))
    assert found == pytest.approx(PUBLISHED_CORRELATIONS | wanted, abs=1e-9)


def test_no_correlation_at_all(law):
    found = correlations_of(plant(law, Sharing(dict.fromkeys(MEASURES, 0.0), mix_sharing=0.0), 0.5, R))
    assert found == pytest.approx(dict.fromkeys(MEASURES, 0.0), abs=1e-6)


def test_within_spread_is_the_samplers_own(law, population):
    """Planting moves variance from the unexplained part to the voice; it adds none."""
    voiced = population.slope @ np.array(((1, R), (R, 1))) @ population.slope.T
    assert np.diag(population.covariance + voiced) == pytest.approx(np.diag(law.covariance))
    assert np.linalg.eigvalsh(population.covariance).min() > 0


def test_gender_and_age_never_explain_more_than_their_share(population):
    of_face, of_voice = gender_age_covariances(population.mean, population.sharing, 0.5)
    assert (np.diag(of_voice) < np.diag(of_face)).all()
    voiced = np.diag(population.slope @ np.array(((1, R), (R, 1))) @ population.slope.T)
    assert (voiced > 0).all()


def naive_ratio(population, voice, face):
    """The same ratio from scipy's distributions, one factor after the other."""
    s = population.sharing
    man = population.men * (1 - s.confusion) + (1 - population.men) * s.confusion
    same = voice.gender == face.gender
    total = np.log((1 - s.confusion) if same else s.confusion) - np.log(man if face.gender == "m" else 1 - man)

    def age_density(ages):
        centre = np.log(ages)
        low, high = ((edge - centre) / s.age_spread for edge in LOG_AGES)
        return truncnorm(low, high, loc=centre, scale=s.age_spread).pdf(np.log(face.age_years))

    grids = {c: np.linspace(*AGE_YEARS[c], 4001) for c in CLASS_SHARES}
    marginal = sum(share * np.mean(age_density(grids[c])) for c, share in CLASS_SHARES.items())
    given = np.mean(age_density(grids["adult"])) if voice.age_class == "adult" else age_density(voice.age_years)
    total += np.log(given) - np.log(marginal)
    tau = s.mix_sharing
    total += np.log(3 * (tau * (voice.pole == int(np.argmax(face.mix))) + (1 - tau) / 3))
    mean = hat_weights(face.age_years)[0] @ population.mean["fm".index(face.gender)] + face.mix @ population.mix_effect
    voiced = population.slope @ np.array(((1, R), (R, 1))) @ population.slope.T
    shift = population.slope @ (voice.pitch, voice.tract)
    total += multivariate_normal(mean + shift, population.covariance).logpdf(face.log_measures)
    return total - multivariate_normal(mean, population.covariance + voiced).logpdf(face.log_measures)


def test_likelihood_ratio_against_scipy(population, people):
    voices, faces = people[0][:12], people[1][:12]
    found = population.log_likelihood_ratio(voices, faces)
    wanted = np.array([[naive_ratio(population, voice, face) for face in faces] for voice in voices])
    assert found == pytest.approx(wanted, abs=5e-3)


def test_likelihood_ratio_is_calibrated(population, people):
    voices, faces = people
    ratio = np.exp(population.log_likelihood_ratio(voices[:1500], faces[1500:]))
    assert ratio.mean() == pytest.approx(1, abs=0.03)


def test_true_pairs_beat_others_and_shuffled_voices_do_not(population, people):
    voices, faces = people[0][:800], people[1][:800]
    scores = population.log_likelihood_ratio(voices, faces)
    true = np.diag(scores)[:, None]
    assert 0.8 < (scores < true).mean() < 0.95
    shuffled = population.log_likelihood_ratio(voices[1:] + voices[:1], faces)
    assert (shuffled < np.diag(shuffled)[:, None]).mean() == pytest.approx(0.5, abs=0.03)


def test_shares_of_what_is_drawn(people):
    voices, faces = people
    sharing = Sharing({})
    swapped = np.mean([v.gender != f.gender for v, f in zip(voices, faces, strict=True)])
    assert swapped == pytest.approx(sharing.confusion, abs=0.012)
    follows = np.mean([v.pole == int(np.argmax(f.mix)) for v, f in zip(voices, faces, strict=True)])
    assert follows == pytest.approx(sharing.mix_sharing + (1 - sharing.mix_sharing) / 3, abs=0.03)
    assert all(5 <= face.age_years <= 85 and sum(face.mix) == pytest.approx(1) for face in faces)
    assert np.bincount([voice.pole for voice in voices]) / 3000 == pytest.approx([1 / 3] * 3, abs=0.03)


def test_mean_mix_by_pole(people):
    mixes = np.array([face.mix for face in people[1]])
    for pole, row in enumerate(mean_mix_by_pole()):
        assert mixes[mixes.argmax(1) == pole].mean(0) - 1 / 3 == pytest.approx(row, abs=0.02)


def test_age_densities_are_densities(people):
    grid = np.linspace(*LOG_AGES, 2001)
    for voice in (
        Voice("f", "child", 5.0, 0, 0, 0),
        Voice("m", "adult", 30.0, 0, 0, 0),
        Voice("f", "elder", 84, 0, 0, 0),
    ):
        assert np.trapezoid(log_age_density(voice, 0.3, grid), grid) == pytest.approx(1, abs=1e-4)
    assert np.trapezoid(marginal_age_density(0.3, grid), grid) == pytest.approx(1, abs=1e-4)
    ages = np.log([face.age_years for face in people[1]])
    drawn, _ = np.histogram(ages, np.linspace(*LOG_AGES, 9))
    edges = np.linspace(*LOG_AGES, 9)
    fine = np.linspace(*LOG_AGES, 8001)
    mass = marginal_age_density(Sharing({}).age_spread, fine)
    wanted = [mass[(fine >= a) & (fine < b)].sum() / mass.sum() for a, b in itertools.pairwise(edges)]
    assert drawn / 3000 == pytest.approx(wanted, abs=0.03)


def test_an_adults_age_is_not_heard(population, people):
    young = [replace(v, age_class="adult", age_years=20.0) for v in people[0][:5]]
    old = [replace(v, age_class="adult", age_years=55.0) for v in people[0][:5]]
    faces = people[1][:7]
    assert np.array_equal(population.log_likelihood_ratio(young, faces), population.log_likelihood_ratio(old, faces))


def test_one_face_needs_no_other(population, people):
    voice = people[0][7]
    first, again = (population.draw_face(voice, np.random.default_rng(5)) for _ in range(2))
    assert first.log_measures == pytest.approx(again.log_measures)
    assert (first.gender, first.age_years, first.mix) == (again.gender, again.age_years, again.mix)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"correlations": {"nose_widht": 0.1}}, "did you mean nose_width"),
        ({"correlations": {"nose_width": 1.2}}, "0..0.9"),
        ({"correlations": {"nasal_index": 0.9, "nose_area": 0.0}}, "four nose correlations"),
        ({"age_spread": 0.0}, "age_spread"),
        ({"mix_sharing": 1.0}, "mix_sharing"),
        ({"confusion": 0.7}, "confusion"),
    ],
)
def test_impossible_strengths(law, change, part):
    with pytest.raises(UsageError, match=part):
        plant(law, Sharing(**({"correlations": {}} | change)), 0.5, R)


def test_basis_and_matrix_by_hand():
    assert len(BASIS) == 10
    logs = dict(zip(BASIS, range(10), strict=True))
    values = dict(zip(MEASURES, measure_matrix() @ np.arange(10), strict=True))
    assert values["nasal_index"] == logs["nose_width"] - logs["nose_height"]
    assert values["nose_area"] == logs["nose_width"] + logs["nose_height"]
    assert values["jaw_width"] == logs["jaw_width"]


def test_hat_weights_by_hand():
    middle = float(np.sqrt(8 * 12))
    assert hat_weights(middle)[0] == pytest.approx([0, 0.5, 0.5, *[0] * 6])
    assert hat_weights(np.array([3.0, 90.0])) == pytest.approx(np.eye(9)[[0, 8]])
