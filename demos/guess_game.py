"""Guess the face: simulated people, questions about whose voice is heard, and what comes of a guess."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from demos.limits import FEWEST_FACES, MOST_FACES, SEEDS
from s2f.datasets import DatasetFolder, by_identity
from s2f.errors import UsageError

FOLDER = Path(__file__).with_name("simulated_people")


@dataclass(frozen=True)
class Member:
    """A simulated person.

    Attributes:
        identity: name in the tables.
        gender: "f" or "m", of the face; for some it is not that of the voice.
        age_years: of the face.
        voice_gender: "f" or "m".
        voice_age_years: of the voice.
        voice: audio file.
        face: canonical picture.
    """

    identity: str
    gender: str
    age_years: float
    voice_gender: str
    voice_age_years: float
    voice: Path
    face: Path

    def picture(self) -> Image.Image:
        """The face, RGB."""
        with Image.open(self.face) as picture:
            return picture.convert("RGB")


@dataclass(frozen=True)
class Question:
    """One voice and N faces.

    Attributes:
        faces: (N,) numbers of people in the cast, in the order shown.
        answer: which of the places 0 to N - 1 the voice belongs to.
        seed: it was drawn with; the same seed gives the same question.
    """

    faces: tuple[int, ...]
    answer: int
    seed: int

    @property
    def voice(self) -> int:
        """Number of the person who is heard."""
        return self.faces[self.answer]


@dataclass(frozen=True)
class Tally:
    """How a visitor and the model are doing.

    Attributes:
        asked: questions answered.
        you: how many of them the visitor had right.
        model: how many the model had right.
        by_chance: how many guessing would get right on average.
    """

    asked: int = 0
    you: int = 0
    model: int = 0
    by_chance: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A question answered; places are counted from 0.

    Attributes:
        answer: whose voice it is.
        guess: the visitor's choice.
        model: the model's choice.
        scores: (N,) the model's score of each face, cosine.
        accuracy: of the model, over all questions with as many faces.
        tally: after this question.
    """

    answer: int
    guess: int
    model: int
    scores: tuple[float, ...]
    accuracy: float
    tally: Tally


def read_cast() -> list[Member]:
    """The simulated people that come with s2f, by name; `demos/simulated_people/README.md` says how they were made.

    Raises:
        DatasetError: the folder is damaged.
    """
    data = DatasetFolder(FOLDER)
    names = data.identities("test")
    truth = data.truth(names, "gender", "age_years", "voice_gender", "voice_age_years")
    voices, faces = (by_identity(rows) for rows in (data.voices("test"), data.faces("test")))
    return [
        Member(
            name,
            row["gender"],
            float(row["age_years"]),
            row["voice_gender"],
            float(row["voice_age_years"]),
            data.path(voices[name][0]),
            data.path(faces[name][0]),
        )
        for name, row in zip(names, truth, strict=True)
    ]


def draw_question(people: int, faces: int, seed: int) -> Question:
    """Draw distinct people and whose voice is heard, all alike.

    Args:
        people: size of the cast.
        faces: how many faces are shown.
        seed: of the draw.

    Returns:
        The question.

    Raises:
        UsageError: a number of faces or a seed out of range.
    """
    most = min(MOST_FACES, people)
    if not FEWEST_FACES <= faces <= most or not 0 <= seed < SEEDS:
        expected = f"{FEWEST_FACES} to {most} faces and a seed of 0 to {SEEDS - 1}"
        raise UsageError(expected, f"{faces} and {seed}", "correct them")
    random = np.random.default_rng([seed, faces])
    return Question(tuple(random.permutation(people)[:faces].tolist()), int(random.integers(faces)), seed)


def settle(
    question: Question,
    choice: int,
    scores: Float[np.ndarray, "J J"],
    accuracy: Float[np.ndarray, " K"],
    tally: Tally,
) -> Outcome:
    """Compare a guess with the answer and with the model.

    Args:
        question: not yet answered.
        choice: which face, from 1 as the visitor counts.
        scores: (J, J) of voices (rows) and faces of the cast.
        accuracy: of the model for 2, 3, … faces.
        tally: before this question.

    Returns:
        The outcome.

    Raises:
        UsageError: no such face.
    """
    faces = len(question.faces)
    if not 1 <= choice <= faces:
        raise UsageError(f"a face of 1 to {faces}", f"{choice}", "choose one of those shown")
    own = scores[question.voice, list(question.faces)]
    guess, model = choice - 1, int(own.argmax())
    after = replace(
        tally,
        asked=tally.asked + 1,
        you=tally.you + (guess == question.answer),
        model=tally.model + (model == question.answer),
        by_chance=tally.by_chance + 1 / faces,
    )
    return Outcome(question.answer, guess, model, tuple(own.tolist()), float(accuracy[faces - FEWEST_FACES]), after)
