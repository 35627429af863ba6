"""One simulated identity: its voice and its face, from nothing but the population's plan and the identity's number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.person import Person
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.identity.face import with_measures
from s2f.simulate.identity.voice import NewVoice, Reference, draw_voice
from s2f.simulate.population.joint_law import Face, Population
from s2f.simulate.voice.acoustics import VoiceMeasures
from s2f.simulate.voice.recordings import Recording
from s2f.simulate.voice.transform import change_voice

CLIP_SECONDS = 8.0
_VOICE_STREAM, _FACE_STREAM, _WILD_STREAM, _LAW_STREAM, _SOUND_STREAM = 0, 1, 2, 5, 4


@dataclass(frozen=True)
class Plan:
    """What all identities are made from.

    Attributes:
        seed: the dataset's seed.
        reference: standardises recordings.
        population: the joint law.
    """

    seed: int
    reference: Reference
    population: Population


@dataclass(frozen=True)
class Source:
    """What one identity is made from.

    Attributes:
        number: the identity's number, from 0.
        recording: the recording that its voice is made from.
        measures: the recording's measures.
    """

    number: int
    recording: Recording
    measures: VoiceMeasures


@dataclass(frozen=True)
class Identity:
    """One identity.

    Attributes:
        new: its voice and how it is made.
        face: what of its face may depend on the voice.
        person: all of its face.
    """

    new: NewVoice
    face: Face
    person: Person


def make_identity(plan: Plan, source: Source, rig: HeadRig) -> Identity:
    """Draw an identity; the same arguments give the same identity, whatever else is drawn.

    Args:
        plan: what all identities are made from.
        source: what this one is made from.
        rig: the shared head.

    Returns:
        The identity.

    Raises:
        UsageError: the recording cannot be changed far enough.
    """
    voice_rng, law_rng, face_rng = (
        np.random.default_rng([plan.seed, stream, source.number])
        for stream in (_VOICE_STREAM, _LAW_STREAM, _FACE_STREAM)
    )
    new = draw_voice(plan.reference, source.recording.gender, source.measures, voice_rng)
    face = plan.population.draw_face(new.voice, law_rng)
    person = sample_person(face_rng, face.gender, face.age_years, face.mix, bool(rig.model.hair))
    return Identity(new, face, with_measures(rig, person, face.log_measures))


def make_voice(plan: Plan, source: Source, new: NewVoice, waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Make an identity's voice from its recording.

    Args:
        plan: what all identities are made from.
        source: what this one is made from.
        new: its voice.
        waveform: (S,) float32 of the whole recording.
        sample_rate_hz: its rate.

    Returns:
        (S',) float32, at most `CLIP_SECONDS` long.
    """
    kept = round(CLIP_SECONDS * sample_rate_hz)
    rng = np.random.default_rng([plan.seed, _SOUND_STREAM, source.number])
    heard = waveform[: round(kept * max(1.0, new.change.tempo))]
    return change_voice(heard, sample_rate_hz, new.change, rng)[:kept]


def wild_rng(plan: Plan, source: Source, view: int) -> np.random.Generator:
    """Generator of one wild picture of an identity."""
    return np.random.default_rng([plan.seed, _WILD_STREAM, source.number, view])
