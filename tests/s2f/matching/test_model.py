"""The doors of a matching system: what each of them refuses, and how often a call waits for the device."""

import pytest
import torch

from s2f.errors import UsageError
from s2f.training.matching.task import MatchingArguments, build_model
from tests.encoders.test_inputs import Waits
from tests.s2f.training.matching_runs import KIM, SHARED, SVHF

RATE = 22050
VOICE_DOORS = {
    "voice_features": lambda model, voice, face: model.voice_features(voice, RATE),
    "embed_voice": lambda model, voice, face: model.embed_voice(voice, RATE),
    "score": lambda model, voice, face: model.score(voice, face[:, None], RATE),
}
FACE_DOORS = {
    "face_features": lambda model, voice, face: model.face_features(face),
    "embed_face": lambda model, voice, face: model.embed_face(face),
    "score": lambda model, voice, face: model.score(voice, face[:, None], RATE),
}


def made(recipe, **options):
    torch.manual_seed(0)
    return build_model(MatchingArguments(**SHARED, **(recipe | options), data="", output_dir="")).eval()


@pytest.fixture(scope="module")
def model():
    return made(KIM)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.rand(3, RATE) * 2 - 1, torch.rand(3, 3, 32, 32)


@pytest.mark.parametrize("name", VOICE_DOORS)
def test_bad_voices_are_refused(name, model, batch):
    voice, face = batch
    door = VOICE_DOORS[name]
    assert torch.isfinite(door(model, voice, face)).all()
    for wrong in (voice * 32767, (voice * 32767).to(torch.int16), voice[0]):
        with pytest.raises(ValueError, match=r"^expected .*, got .*; "):
            door(model, wrong, face)
    for number in (float("nan"), float("inf"), 100.0):
        wrong = voice.clone()
        wrong[1, 77] = number
        with pytest.raises(ValueError, match=r"expected waveforms with samples in \[-1, 1\], got "):
            door(model, wrong, face)


@pytest.mark.parametrize("name", FACE_DOORS)
def test_bad_pictures_are_refused(name, model, batch):
    voice, face = batch
    door = FACE_DOORS[name]
    assert torch.isfinite(door(model, voice, face)).all()
    for wrong in (face * 255, (face * 255).to(torch.uint8), face[0]):
        with pytest.raises(ValueError, match=r"^expected .*, got .*; "):
            door(model, voice, wrong)
    for number in (float("nan"), float("inf"), 255.0):
        wrong = face.clone()
        wrong[2, 0, 3, 4] = number
        with pytest.raises(ValueError, match=r"expected pictures with values in \[0, 1\], got "):
            door(model, voice, wrong)


def test_dynamic_images_are_looked_at_as_well(batch):
    model = made(SVHF, dynamic="windows", face_augment="none")
    _, face = batch
    dynamic = torch.rand(3, 2, 3, 32, 32)
    assert torch.isfinite(model.face_features(face, dynamic)).all()
    with pytest.raises(ValueError, match=r"values in \[0, 1\], got .*; divide by 255"):
        model.face_features(face, dynamic * 255)


@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (2, 1, 3, 32, 32), (3, 1, 1, 3, 32, 32)])
def test_score_says_which_shapes_it_takes(shape, model, batch):
    with pytest.raises(
        UsageError, match=r"voices \(B, S\) and faces \(B, N, 3, P, P\) of one B, got \(3, 22050\) and "
    ):
        model.score(batch[0], torch.rand(shape), RATE)


def test_a_score_waits_once_for_voices_and_once_for_faces(model, batch):
    voice, face = batch
    with Waits() as waits:
        model.score(voice, torch.stack([face, face.flip(0)], 1), RATE)
    assert waits.fetched == [(2,), (2,)]
