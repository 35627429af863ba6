"""What comes of a guess: the model's scores beside it, and a tally."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from demos.guess_game import Question
from demos.limits import FEWEST_FACES
from s2f.errors import UsageError


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
