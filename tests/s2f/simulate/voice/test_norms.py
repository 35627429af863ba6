"""Norms of voices: the published values come back, and age moves them the right way."""

import numpy as np
import pytest

from s2f.errors import UsageError
from s2f.simulate.voice.norms import f0_norm_hz, tempo_norm, tract_norm_cm

AGES = np.arange(5, 85.01, 0.25)


@pytest.mark.parametrize(
    ("gender", "age", "published_hz"),
    [
        ("m", 25, 120),  # Shipp and Hollien 1972: men in their twenties, forties, eighties
        ("m", 45, 107),
        ("m", 85, 146),
        ("f", 25, 210),  # Traunmüller and Eriksson 1995: typical of women
        ("m", 8, 250),  # children before puberty: 240 to 260 in most studies
        ("f", 8, 250),
    ],
)
def test_published_pitch(gender, age, published_hz):
    assert f0_norm_hz(gender, age) == pytest.approx(published_hz, rel=0.05)


def test_tract_has_the_published_proportions():
    """Women's formants lie 15 to 20 % above men's, those of five-year-olds about half above; boys are like girls."""
    assert 1.13 < tract_norm_cm("m", 30) / tract_norm_cm("f", 30) < 1.20
    assert 1.4 < tract_norm_cm("m", 30) / tract_norm_cm("m", 5) < 1.6
    assert tract_norm_cm("m", 6) == pytest.approx(tract_norm_cm("f", 6), rel=0.02)
    assert 16 < tract_norm_cm("m", 30) < 18
    assert 14 < tract_norm_cm("f", 30) < 15.5


def test_boys_break_at_puberty_and_girls_hardly():
    assert f0_norm_hz("m", 16) / f0_norm_hz("m", 11) < 0.6
    assert f0_norm_hz("f", 16) / f0_norm_hz("f", 11) > 0.85


def test_old_men_rise_and_old_women_fall():
    assert f0_norm_hz("m", 80) > 1.15 * f0_norm_hz("m", 40)
    assert f0_norm_hz("f", 80) < 0.92 * f0_norm_hz("f", 40)


@pytest.mark.parametrize("gender", ["f", "m"])
def test_continuous_and_growing(gender):
    tracts = np.array([tract_norm_cm(gender, age) for age in AGES])
    pitches = np.array([f0_norm_hz(gender, age) for age in AGES])
    assert (np.diff(tracts) >= 0).all()
    assert np.abs(np.diff(np.log(tracts))).max() < 0.03
    assert np.abs(np.diff(np.log(pitches))).max() < 0.05
    assert (np.diff(pitches[AGES <= 18]) < 0).all()


def test_children_and_old_people_speak_slower():
    tempos = np.array([tempo_norm(age) for age in AGES])
    assert tempo_norm(30) == 1.0
    assert (np.diff(tempos[AGES <= 20]) > 0).all()
    assert (np.diff(tempos[AGES >= 45]) < 0).all()
    assert 0.6 < tempos.min() < tempos.max() == 1.0


@pytest.mark.parametrize(("gender", "age"), [("x", 30), ("f", 4.9), ("m", 86), ("m", float("nan"))])
def test_refuses_what_it_does_not_know(gender, age):
    for norm in (f0_norm_hz, tract_norm_cm):
        with pytest.raises(UsageError, match="gender f or m and an age of 5 to 85"):
            norm(gender, age)
