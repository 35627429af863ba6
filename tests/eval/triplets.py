"""Small cases of cross-modal scores, and what enumeration says of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from eval.metrics.scores import CrossScores, TableScores


@dataclass
class Case:
    table: np.ndarray
    probe_identity: np.ndarray
    candidate_identity: np.ndarray
    people: int

    @property
    def cross(self) -> CrossScores:
        return CrossScores(TableScores(self.table), self.probe_identity, self.candidate_identity, self.people)

    def without(self, gone: set[int]) -> "Case":
        """The case without some people; those who stay keep their order."""
        stay = [person for person in range(self.people) if person not in gone]
        rows, columns = np.isin(self.probe_identity, stay), np.isin(self.candidate_identity, stay)
        number = {person: place for place, person in enumerate(stay)}
        renumbered = [
            np.array([number[person] for person in side])
            for side in (self.probe_identity[rows], self.candidate_identity[columns])
        ]
        return Case(self.table[rows][:, columns], *renumbered, len(stay))


def random_case(random: np.random.Generator, most_people: int = 5, most_samples: int = 3, levels: int = 6) -> Case:
    """People with one to `most_samples` samples each and few different scores, so that many tie."""
    people = int(random.integers(2, most_people + 1))
    sides = []
    for _ in range(2):
        identity = np.repeat(np.arange(people), random.integers(1, most_samples + 1, people))
        random.shuffle(identity)
        sides.append(identity)
    table = random.integers(0, levels, (len(sides[0]), len(sides[1]))).astype(float)
    return Case(table, *sides, people)


def outcomes(case: Case, n: int, negatives: str, cells: np.ndarray | None = None) -> Iterator[tuple[int, float]]:
    """Probe and probability to win, for every own candidate and every choice of N - 1 negatives, averaged by probe."""
    cells = np.zeros(case.people, int) if cells is None else cells
    for probe, person in enumerate(case.probe_identity):
        rivals = [j for j in range(case.people) if j != person and cells[j] == cells[person] >= 0]
        scores = {j: case.table[probe, case.candidate_identity == j] for j in range(case.people)}
        if negatives == "identities":
            picks = [pick for some in combinations(rivals, n - 1) for pick in _each(scores, some)]
        else:
            picks = [(1.0, pick) for pick in combinations([score for j in rivals for score in scores[j]], n - 1)]
        if picks:
            yield probe, float(np.mean([_mean_win(own, picks) for own in scores[person]]))


def _each(scores: dict[int, np.ndarray], some: tuple[int, ...]) -> Iterator[tuple[float, tuple[float, ...]]]:
    """One candidate of each rival, with the probability of that choice."""
    share = 1.0 / np.prod([len(scores[j]) for j in some])
    for pick in product(*(scores[j] for j in some)):
        yield share, pick


def _mean_win(own: float, picks: list) -> float:
    total = sum(share for share, _ in picks)
    return sum(share * _win(own, pick) for share, pick in picks) / total


def _win(own: float, pick: tuple[float, ...]) -> float:
    return 0.0 if max(pick) > own else 1.0 / (1 + sum(score == own for score in pick))


def accuracies(case: Case, n: int, negatives: str, cells: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy under both weightings, by enumeration; NaN if no probe has enough rivals."""
    found = list(outcomes(case, n, negatives, cells))
    if not found:
        return {"samples": np.nan, "identities": np.nan}
    persons = case.probe_identity[[probe for probe, _ in found]]
    values = np.array([value for _, value in found])
    by_person = [values[persons == person].mean() for person in np.unique(persons)]
    return {"samples": float(values.mean()), "identities": float(np.mean(by_person))}
