"""Wanted measures are reached on MakeHuman's head, by small and bounded slider changes."""

from dataclasses import replace

import numpy as np
import pytest

from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.identity.face import with_measures
from s2f.simulate.population.face_statistics import BASIS, fit_natural_law, hat_weights, log_basis
from s2f.simulate.render.views import canonical_landmarks, render_canonical

NATURAL_DRAWS = 400


@pytest.fixture(scope="module")
def rig(real_head) -> HeadRig:
    return real_head


def measured(rig, person):
    return log_basis(canonical_landmarks(rig, person)[None])[0]


def person_of(number, age=30.0):
    return sample_person(np.random.default_rng(number), "fm"[number % 2], age, (0.5, 0.3, 0.2), hair_meshes=False)


@pytest.mark.parametrize("age", [7.0, 30.0, 75.0])
def test_wanted_measures_are_reached(rig, age):
    rng = np.random.default_rng(1)
    spread = np.array((0.12, 0.17, 0.06, 0.06, 0.09, 0.07, 0.17, 0.04, 0.1, 0.06))
    for number in range(4):
        person = person_of(number, age)
        wanted = measured(rig, person) + np.clip(rng.normal(size=10), -1.5, 1.5) * spread
        moved = with_measures(rig, person, wanted)
        assert measured(rig, moved) == pytest.approx(wanted, abs=2e-3)
        assert all(-1 <= x <= 1 for name, x in moved.sliders.items() if not name.startswith("head-"))
        assert replace(moved, sliders={}) == replace(person, sliders={})  # nothing but sliders changes


def test_what_a_person_has_needs_no_change(rig):
    person = person_of(3)
    moved = with_measures(rig, person, measured(rig, person))
    assert moved.sliders == pytest.approx(person.sliders)


def test_one_measure_moves_alone_and_shows_in_the_picture(rig):
    person = person_of(2)
    here = measured(rig, person)
    wide = with_measures(rig, person, here + 0.25 * (np.array(BASIS) == "nose_width"))
    assert np.exp(measured(rig, wide) - here) == pytest.approx(
        np.where(np.array(BASIS) == "nose_width", 1.284, 1), abs=0.01
    )
    before, after = (render_canonical(rig, p, 96)[0].astype(float) for p in (person, wide))
    changed = np.abs(before - after).mean((0, 2)) if before.ndim == 3 else None
    assert changed[40:56].mean() > 2 * changed[:16].mean()  # the middle columns, not the background


def test_sliders_stop_at_their_ends(rig):
    person = person_of(5)
    moved = with_measures(rig, person, measured(rig, person) + 2.0)
    values = [x for name, x in moved.sliders.items() if name.startswith("nose")]
    assert max(map(abs, values)) <= 1


def test_natural_law_predicts_the_samplers_means(rig):
    law = fit_natural_law(rig, NATURAL_DRAWS)
    assert law.mix_effect.sum(0) == pytest.approx(np.zeros(10), abs=1e-9)
    assert np.linalg.eigvalsh(law.covariance).min() > 0
    found, wanted = [], []
    for number in range(200):
        person = person_of(2 * number + 1, 30.0)
        found.append(measured(rig, person))
        wanted.append(hat_weights(30.0)[0] @ law.mean[1] + np.array(person.ethnic_mix) @ law.mix_effect)
    error = np.mean(found, 0) - np.mean(wanted, 0)
    assert error == pytest.approx(np.zeros(10), abs=0.05)
    again = fit_natural_law(rig, NATURAL_DRAWS)
    assert np.array_equal(law.covariance, again.covariance)
