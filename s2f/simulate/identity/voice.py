"""From recordings to the voices of a population: standard latents of real speakers, and new voices made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2f.errors import DatasetError, UsageError
from s2f.simulate.population.joint_law import AGE_YEARS, CLASS_SHARES, Voice
from s2f.simulate.voice.acoustics import VoiceMeasures
from s2f.simulate.voice.norms import F0_SPREAD, TRACT_SPREAD, f0_norm_hz, tempo_norm, tract_norm_cm
from s2f.simulate.voice.transform import VoiceChange, change_for

READER_AGE_YEARS = 35.0
KEPT_SHARE = 0.5
NEWNESS = 0.6
_TEMPO_SPREAD, _LEVEL_SPREAD_DB = 0.06, 3.0
_TRIES = 50


@dataclass(frozen=True)
class Reference:
    """How pitch, tract and timbre of real adult speakers are distributed; it makes latents standard.

    Attributes:
        centre: by gender, mean log F0 (Hz), log tract (cm) and tilt (dB per octave).
        spread: by gender, their standard deviations.
        correlation: of standardised pitch and tract within gender.
        timbre: share of pitch, of tract, and the spread of the rest, in the standardised tilt.
    """

    centre: Mapping[str, tuple[float, ...]]
    spread: Mapping[str, tuple[float, ...]]
    correlation: float
    timbre: tuple[float, float, float]

    def latents(self, gender: str, measures: VoiceMeasures) -> tuple[float, float, float]:
        """Pitch, tract and timbre of a recording, each standard normal over the reference speakers of its gender.

        Args:
            gender: "f" or "m".
            measures: of the recording.

        Returns:
            The three numbers.
        """
        z = (_vector(measures) - np.array(self.centre[gender])) / np.array(self.spread[gender])
        timbre = (z[2] - self.timbre[0] * z[0] - self.timbre[1] * z[1]) / self.timbre[2]
        return float(z[0]), float(z[1]), float(timbre)


def _vector(measures: VoiceMeasures) -> np.ndarray:
    return np.array([np.log(measures.f0_hz), np.log(measures.tract_cm), measures.tilt_db_per_octave])


def fit_reference(speakers: Sequence[tuple[str, VoiceMeasures]]) -> Reference:
    """Fit the reference on gender and measures of real adult speakers.

    Args:
        speakers: gender and measures, one entry per speaker.

    Returns:
        The reference.

    Raises:
        DatasetError: fewer than three speakers of a gender.
    """
    centre, spread, parts = {}, {}, []
    for gender in ("f", "m"):
        values = np.array([_vector(measures) for g, measures in speakers if g == gender])
        if len(values) < 3:
            got = f"{len(values)} with gender {gender}"
            fix = "add recordings: voices are standardised within gender"
            raise DatasetError("at least three speakers of each gender that are not marked dev", got, fix)
        scale = np.maximum(values.std(0, ddof=1), 1e-3)
        centre[gender], spread[gender] = tuple(values.mean(0).tolist()), tuple(scale.tolist())
        parts.append((values - values.mean(0)) / scale)
    z = np.concatenate(parts)
    share = np.linalg.lstsq(z[:, :2], z[:, 2], rcond=None)[0]
    rest = max(float((z[:, 2] - z[:, :2] @ share).std()), 1e-3)
    correlation = float(np.clip(np.corrcoef(z[:, 0], z[:, 1])[0, 1], -0.9, 0.9))
    return Reference(centre, spread, correlation, (float(share[0]), float(share[1]), rest))


@dataclass(frozen=True)
class NewVoice:
    """A voice made from a recording.

    Attributes:
        voice: what it carries.
        change: what is done to the recording.
        f0_hz: its intended median F0.
        tract_cm: its intended apparent vocal-tract length.
    """

    voice: Voice
    change: VoiceChange
    f0_hz: float
    tract_cm: float


def draw_voice(reference: Reference, gender: str, source: VoiceMeasures, rng: np.random.Generator) -> NewVoice:
    """Draw a new voice from a real adult recording.

    Half of the adult voices are the recording as it is. In all others pitch and tract keep `1 - NEWNESS^2` of their
    variance from the speaker and the rest is new. Children and elders are placed at the published norms of their age
    relative to those of a reader of 35 years, with the published spread. Voices that lie beyond the range of
    `s2f.simulate.voice.transform.change_voice` are drawn again.

    Args:
        reference: standardises the recording.
        gender: "f" or "m".
        source: measures of the recording.
        rng: the identity's own generator.

    Returns:
        The voice, and how to make it.

    Raises:
        UsageError: the recording is too far from the wanted voice.
    """
    age_class = str(rng.choice(list(CLASS_SHARES), p=list(CLASS_SHARES.values())))
    age = float(rng.uniform(*AGE_YEARS[age_class]))
    pitch, tract, timbre = reference.latents(gender, source)
    tempo, level = float(np.exp(rng.normal(0, _TEMPO_SPREAD))), float(rng.normal(0, _LEVEL_SPREAD_DB))
    if rng.random() < KEPT_SHARE and age_class == "adult":
        voice = Voice(gender, age_class, age, pitch, tract, timbre)
        return NewVoice(voice, VoiceChange(), source.f0_hz, source.tract_cm)
    heard_age = age if age_class != "adult" else READER_AGE_YEARS
    tempo *= tempo_norm(heard_age) / tempo_norm(READER_AGE_YEARS)
    kept, between = np.sqrt(1 - NEWNESS**2), ((1, reference.correlation), (reference.correlation, 1))
    for _ in range(_TRIES):
        fresh = rng.multivariate_normal((0, 0), between, method="cholesky")
        new = kept * np.array((pitch, tract)) + NEWNESS * fresh
        voice = Voice(gender, age_class, age, float(new[0]), float(new[1]), timbre)
        f0, length = _placed(reference, voice)
        try:
            return NewVoice(voice, change_for(source, f0, length, tempo, level, heard_age), f0, length)
        except UsageError as error:
            refused = error
    raise refused


def _placed(reference: Reference, voice: Voice) -> tuple[float, float]:
    """F0 (Hz) and tract (cm) of a voice's latents."""
    gender, age = voice.gender, voice.age_years
    log_f0, log_tract = reference.centre[gender][:2]
    spread_f0, spread_tract = reference.spread[gender][:2]
    if voice.age_class != "adult":
        log_f0 += np.log(f0_norm_hz(gender, age) / f0_norm_hz(gender, READER_AGE_YEARS))
        log_tract += np.log(tract_norm_cm(gender, age) / tract_norm_cm(gender, READER_AGE_YEARS))
        spread_f0, spread_tract = F0_SPREAD, TRACT_SPREAD
    return float(np.exp(log_f0 + spread_f0 * voice.pitch)), float(np.exp(log_tract + spread_tract * voice.tract))
