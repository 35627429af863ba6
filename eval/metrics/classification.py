"""What a classifier says against a reference: the confusion of classes, and agreement, kappa and recalls by it.

Nothing here knows pictures: it takes labels and answers, "" where there is none. `eval.attributes.rows` makes the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.metrics.clusters import Clusters
from eval.metrics.permutations import speaker_permutations
from s2f.errors import UsageError

SHUFFLES = 1000


@dataclass(frozen=True)
class Comparison:
    """Answers beside their reference, for N people.

    Attributes:
        attribute: what is asked; begins the names of the metrics.
        classes: K names of the classes.
        reference: (N,) one of `classes` each, "" where unknown.
        answers: (N,) likewise, "" where the classifier abstains.
        speakers: (N,) whose recording each person's voice comes from; people of one speaker are not independent.

    Raises:
        UsageError: columns of different length, or a value that is no class.
    """

    attribute: str
    classes: Sequence[str]
    reference: np.ndarray
    answers: np.ndarray
    speakers: np.ndarray

    def __post_init__(self) -> None:
        lengths = [len(self.reference), len(self.answers), len(self.speakers)]
        if len(set(lengths)) > 1:
            got = ", ".join(str(length) for length in lengths)
            raise UsageError("a reference, an answer and a speaker for everybody", got, "give columns of one length")
        unknown = {str(value) for value in (*self.reference, *self.answers)} - {"", *self.classes}
        if unknown:
            got = ", ".join(repr(name) for name in sorted(unknown))
            raise UsageError(f"{self.attribute} of {', '.join(self.classes)} or none", got, "map the names first")

    def among(self, members: Bool[np.ndarray, " N"]) -> Comparison:
        """The same comparison of some of the people alone."""
        columns = {name: getattr(self, name)[members] for name in ("reference", "answers", "speakers")}
        return replace(self, **columns)

    @cached_property
    def both(self) -> Bool[np.ndarray, " N"]:
        """Who has a reference and an answer; all figures but the abstentions are of these M people."""
        return (self.reference != "") & (self.answers != "")

    @cached_property
    def who(self) -> Clusters:
        """Which of those people are independent."""
        return Clusters(self.speakers[self.both])

    @cached_property
    def counts(self) -> Int[np.ndarray, "K K"]:
        """Row k the people whose reference is class k, column l those of them answered as class l."""
        reference, answers = self._numbers
        return self._count(reference, answers[None])[0]

    @cached_property
    def redrawn(self) -> Float[np.ndarray, "R K K"]:
        """The counts when whole speakers (people, where nobody shares one) are drawn anew, see `cluster_draws`."""
        reference, answers = self._numbers
        cells = np.eye(len(self.classes) ** 2)[reference * len(self.classes) + answers]
        return (self.who.draws @ cells).reshape(-1, len(self.classes), len(self.classes))

    @cached_property
    def shuffled(self) -> Int[np.ndarray, "R K K"]:
        """The counts after dealing the answers to other people, a speaker's together, `SHUFFLES` times."""
        reference, answers = self._numbers
        return self._count(reference, answers[speaker_permutations(self.who.numbers, SHUFFLES)])

    @cached_property
    def _numbers(self) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
        """Number of the reference's and of the answer's class."""
        place = {name: number for number, name in enumerate(self.classes)}
        sides = (self.reference[self.both], self.answers[self.both])
        reference, answers = (np.array([place[str(name)] for name in side], dtype=int) for side in sides)
        return reference, answers

    def _count(self, reference: Int[np.ndarray, " M"], answers: Int[np.ndarray, "R M"]) -> Int[np.ndarray, "R K K"]:
        size = len(self.classes)
        cells = np.arange(len(answers))[:, None] * size**2 + reference * size + answers
        return np.bincount(cells.ravel(), minlength=len(answers) * size**2).reshape(-1, size, size)


def of_classes(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """(N,) labels as a reference: those that a classifier of these classes does not know count as unknown, ""."""
    return np.where(np.isin(labels, list(classes)), labels, "")


def agreement(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "..."]:
    """Share of the diagonal of a confusion matrix (rows: reference; columns: answers)."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum((-2, -1))


def prior_only(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "..."]:
    """Agreement of the one who always answers the most frequent class of the reference."""
    return counts.sum(-1).max(-1) / counts.sum((-2, -1))


def prior_random(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "..."]:
    """Agreement expected of answers with the same frequencies that know nothing: Σ p_k q_k of the two marginals."""
    return (counts.sum(-1) * counts.sum(-2)).sum(-1) / counts.sum((-2, -1)) ** 2


def kappa(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "..."]:
    """Cohen's kappa, (agreement - prior_random) / (1 - prior_random).

    Paper: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20
    (1960).

    Args:
        counts: (..., K, K) confusion matrices, not all zero.

    Returns:
        (...) in [-1, 1]; 0 where the answers are constant but not all right; NaN where reference and answers are one
        and the same class throughout.
    """
    total = counts.sum((-2, -1))
    expected = (counts.sum(-1) * counts.sum(-2)).sum(-1)
    left = total**2 - expected  # in whole numbers: 0 is exact
    above = total * np.trace(counts, axis1=-2, axis2=-1) - expected
    return np.where(left > 0, above / np.where(left > 0, left, 1), np.nan)


def recalls(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "... K"]:
    """Share of every reference class that is answered as such; NaN where the class is absent."""
    people = counts.sum(-1)
    return np.where(people > 0, np.diagonal(counts, axis1=-2, axis2=-1) / np.where(people > 0, people, 1), np.nan)


def balanced(counts: Float[np.ndarray, "... K K"]) -> Float[np.ndarray, "..."]:
    """Mean of the recalls over the classes that are present: every class weighs the same."""
    return np.nanmean(recalls(counts), axis=-1)
