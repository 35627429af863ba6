"""The guessing game: the people that come with s2f, fair questions, honest scores."""

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import replace
from math import comb

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from demos.guess_game import FOLDER, Member, Question, Tally, draw_question, read_cast, settle
from demos.limits import MOST_FACES, SEEDS
from demos.model import Model
from s2f.checkpoints.loading import resolve
from s2f.errors import UsageError


def test_the_cast_is_a_dataset_folder_of_synthetic_speakers():
    cast = read_cast()
    assert len(cast) == 32
    assert {member.gender for member in cast} == {"f", "m"}
    assert min(member.age_years for member in cast) < 16 < 60 < max(member.age_years for member in cast)
    assert 0 < sum(member.gender != member.voice_gender for member in cast) < 5  # planted: one in twenty
    for member in cast:
        assert 4 <= soundfile.info(member.voice).duration <= 9
        assert Image.open(member.face).size == (224, 224)
    speakers = [line.split(",")[-1] for line in (FOLDER / "people.csv").read_text().splitlines()[1:]]
    assert len(set(speakers)) == 32
    assert all(speaker.startswith("espeak-") for speaker in speakers)
    assert "Voices are the given recordings" in json.loads((FOLDER / "dataset.json").read_text())["statement"]
    assert len({hashlib.sha256(member.voice.read_bytes()).digest() for member in cast}) == 32


def test_questions_are_drawn_fairly():
    questions = [draw_question(6, 3, seed) for seed in range(6000)]
    for question in questions:
        assert len(set(question.faces)) == 3
        assert question.voice == question.faces[question.answer]
    places = Counter(question.answer for question in questions)
    assert all(abs(count - 2000) < 5 * (6000 * 2 / 9) ** 0.5 for count in places.values())
    people = Counter(question.voice for question in questions)
    assert set(people) == set(range(6))
    assert all(abs(count - 1000) < 5 * (6000 * 5 / 36) ** 0.5 for count in people.values())
    sets = Counter(frozenset(question.faces) for question in questions)
    assert len(sets) == comb(6, 3)


def test_a_seed_is_a_question():
    assert draw_question(32, 4, 7) == draw_question(32, 4, 7)
    assert draw_question(32, 4, 7) != draw_question(32, 4, 8)


@pytest.mark.parametrize(("people", "faces", "seed"), [(32, 1, 0), (32, 11, 0), (5, 6, 0), (32, 4, -1), (32, 4, SEEDS)])
def test_numbers_out_of_range(people, faces, seed):
    with pytest.raises(UsageError, match="expected 2 to"):
        draw_question(people, faces, seed)


def test_settling_by_hand():
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.0, 0.0, 0.5]])
    question = Question((2, 0, 1), 1, 5)  # the voice of person 0, shown in the second place
    assert question.voice == 0
    outcome = settle(question, 2, scores, np.array([0.8, 0.6]), Tally(3, 1, 2, 1.25))
    assert outcome.scores == (0.2, 0.9, 0.1)
    assert (outcome.answer, outcome.guess, outcome.model, outcome.accuracy) == (1, 1, 1, 0.6)
    assert outcome.tally == Tally(4, 2, 3, 1.25 + 1 / 3)
    beaten = settle(question, 1, scores, np.array([0.8, 0.6]), Tally())
    assert (beaten.guess, beaten.model, beaten.tally) == (0, 1, Tally(1, 0, 1, 1 / 3))
    wrong = settle(replace(question, answer=2), 1, scores, np.array([0.8, 0.6]), Tally())
    assert wrong.scores == (0.1, 0.8, 0.3)  # now person 1 is heard
    assert (wrong.answer, wrong.guess, wrong.model) == (2, 0, 1)
    assert wrong.tally == Tally(1, 0, 0, 1 / 3)


def test_only_the_faces_shown_can_be_chosen():
    for choice in (0, 3):
        with pytest.raises(UsageError, match="a face of 1 to 2"):
            settle(Question((0, 1), 0, 0), choice, np.eye(2), np.ones(9), Tally())


@pytest.fixture(scope="module")
def model():
    return Model(resolve("starter"), "cpu")


def test_scores_against_every_question_of_a_small_cast(model):
    cast = read_cast()[:MOST_FACES]
    cosines, accuracy = model.score(cast)
    voices = torch.cat([model.pipeline(str(member.voice)).face_features for member in cast]).double()
    faces = torch.cat([model.pipeline.reconstruct_from_face(m.picture()).face_features for m in cast]).double()
    by_hand = torch.nn.functional.cosine_similarity(voices[:, None], faces[None], dim=2).numpy()
    np.testing.assert_allclose(cosines, by_hand, atol=1e-5)
    for faces_shown in (2, 3, 4):
        won = [
            cosines[own, own] > cosines[own, list(rivals)].max()
            for own in range(len(cast))
            for rivals in itertools.combinations([k for k in range(len(cast)) if k != own], faces_shown - 1)
        ]
        assert accuracy[faces_shown - 2] == pytest.approx(np.mean(won), abs=1e-12)


def test_a_member_shows_rgb(tmp_path):
    Image.new("RGBA", (8, 8), (10, 20, 30, 255)).save(tmp_path / "a.png")
    assert Member("a", "f", 30, "f", 30, tmp_path, tmp_path / "a.png").picture().getpixel((0, 0)) == (10, 20, 30)
