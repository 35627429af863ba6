"""New voices from real ones: latents are standard, norms are met, half of the adults stay as they are."""

from dataclasses import replace

import numpy as np
import pytest

from s2f.errors import DatasetError, UsageError
from s2f.simulate.identity.voice import READER_AGE_YEARS, draw_voice, fit_reference
from s2f.simulate.population.joint_law import CLASS_SHARES
from s2f.simulate.voice.acoustics import VoiceMeasures
from s2f.simulate.voice.norms import F0_SPREAD, f0_norm_hz, tract_norm_cm
from s2f.simulate.voice.transform import VoiceChange


def speakers(count=120, correlation=-0.3, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        gender = "fm"[k % 2]
        f0, tract = (200.0, 14.5) if gender == "f" else (115.0, 17.0)
        a, b = np.linalg.cholesky(((1, correlation), (correlation, 1))) @ rng.normal(size=2)
        tilt = -6 + 1.5 * (0.5 * a + rng.normal())
        rows.append((gender, VoiceMeasures(f0 * float(np.exp(0.13 * a)), tract * float(np.exp(0.05 * b)), float(tilt))))
    return rows


@pytest.fixture(scope="module")
def known():
    rows = speakers()
    return rows, fit_reference(rows)


def test_latents_are_standard_within_gender(known):
    rows, reference = known
    for gender in ("f", "m"):
        z = np.array([reference.latents(gender, measures) for g, measures in rows if g == gender])
        assert z[:, :2].mean(0) == pytest.approx([0, 0], abs=1e-9)
        assert z[:, :2].std(0, ddof=1) == pytest.approx([1, 1])
    z = np.array([reference.latents(g, m) for g, m in rows])
    assert np.corrcoef(z.T)[2, :2] == pytest.approx([0, 0], abs=1e-6)  # timbre is what the others leave
    assert z[:, 2].std() == pytest.approx(1, abs=0.01)
    assert reference.correlation == pytest.approx(-0.3, abs=0.2)


def test_a_higher_voice_and_a_longer_tract_have_larger_latents(known):
    reference = known[1]
    plain = VoiceMeasures(200.0, 14.5, -6.0)
    assert reference.latents("f", replace(plain, f0_hz=220.0))[0] > reference.latents("f", plain)[0]
    assert reference.latents("f", replace(plain, tract_cm=15.5))[1] > reference.latents("f", plain)[1]


@pytest.fixture(scope="module")
def drawn(known):
    rows, reference = known
    return [draw_voice(reference, *rows[k % len(rows)], np.random.default_rng([9, k])) for k in range(3000)]


def test_shares_and_standard_latents_of_new_voices(drawn, known):
    classes = [new.voice.age_class for new in drawn]
    for name, share in CLASS_SHARES.items():
        assert classes.count(name) / len(drawn) == pytest.approx(share, abs=0.03)
    kept = [new.change == VoiceChange() for new in drawn if new.voice.age_class == "adult"]
    assert np.mean(kept) == pytest.approx(0.5, abs=0.05)
    for name in CLASS_SHARES:
        z = np.array([(n.voice.pitch, n.voice.tract) for n in drawn if n.voice.age_class == name])
        assert z.mean(0) == pytest.approx([0, 0], abs=0.15)
        assert z.std(0) == pytest.approx([1, 1], abs=0.1)
        assert np.corrcoef(z.T)[0, 1] == pytest.approx(known[1].correlation, abs=0.1)


def test_children_stand_at_the_norms_of_their_age(drawn, known):
    centre = known[1].centre
    for new in drawn:
        voice = new.voice
        if voice.age_class != "adult":
            ratio = f0_norm_hz(voice.gender, voice.age_years) / f0_norm_hz(voice.gender, READER_AGE_YEARS)
            wanted = np.exp(centre[voice.gender][0]) * ratio * np.exp(F0_SPREAD * voice.pitch)
            assert new.f0_hz == pytest.approx(wanted)
    young = [n for n in drawn if n.voice.age_class == "child" and n.voice.gender == "m"]
    length = np.mean([n.tract_cm for n in young]) / np.exp(centre["m"][1])
    mean_norm = np.mean([tract_norm_cm("m", n.voice.age_years) for n in young]) / tract_norm_cm("m", READER_AGE_YEARS)
    assert length == pytest.approx(mean_norm, rel=0.02)


def test_the_change_leads_from_the_recording_to_the_voice(drawn, known):
    rows = known[0]
    for k, new in enumerate(drawn[:200]):
        measures = rows[k % len(rows)][1]
        assert new.change.pitch * measures.f0_hz == pytest.approx(new.f0_hz)
        assert measures.tract_cm / new.change.formants == pytest.approx(new.tract_cm)


def test_one_voice_needs_no_other(known, drawn):
    rows, reference = known
    assert draw_voice(reference, *rows[17], np.random.default_rng([9, 17])) == drawn[17]


def test_too_few_speakers_and_a_hopeless_recording(known):
    with pytest.raises(DatasetError, match="at least three"):
        fit_reference(speakers(4))
    hopeless = VoiceMeasures(6000.0, 17.0, -6.0)  # a changed voice, whatever the number, is out of reach
    rng = next(np.random.default_rng(k) for k in range(9) if np.random.default_rng(k).random() > 0.9)
    with pytest.raises(UsageError):
        draw_voice(known[1], "m", hopeless, rng)
