"""Matching by scorers that see all candidates of a question at once: random questions, with intervals.

Such a scorer (SVHF) has no score of a pair, so there is no closed form over all questions; they are drawn as the papers
draw them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from eval.embeddings.controls import shuffled
from eval.embeddings.folder import Embeddings
from eval.embeddings.groups import Grouping, left_out
from eval.embeddings.retrieval import over_people
from eval.metrics.clusters import Clusters
from eval.metrics.intervals import binomial_interval
from eval.metrics.two_way import Weighting
from eval.results import Direction, Report, Row
from s2f.errors import UsageError

PROTOCOL = "matching-sampled/1"
BINOMIAL = "binomial over trials, u=2.576"
BATCH = 512  # questions put to a scorer at a time

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(probe numbers (B,), candidate numbers (B, N)) to scores (B, N), higher is more alike."""


class Questions(NamedTuple):
    """B questions: number of the probe, of its candidates, and where among them the right one is."""

    probes: Int[np.ndarray, " B"]
    candidates: Int[np.ndarray, "B N"]
    place: Int[np.ndarray, " B"]


@dataclass(frozen=True)
class JointScorers:
    """Scorers of one model, and what it takes as one candidate.

    Attributes:
        ask: a scorer for each direction in which the model can be asked.
        faces: F arrays of rows of face.csv; a face of a question is such a group, a film seen at several times.
    """

    ask: Mapping[Direction, Scorer]
    faces: Sequence[Int[np.ndarray, " T"]]


def draw_tuples(
    probe_identity: Int[np.ndarray, " P"],
    candidate_identity: Int[np.ndarray, " G"],
    people: int,
    n_ways: int,
    count: int,
    seed: int = 0,
    allowed: Bool[np.ndarray, "J J"] | None = None,
    weighting: Weighting = "samples",
) -> Questions:
    """Draw questions with replacement.

    Args:
        probe_identity: (P,) person of each probe.
        candidate_identity: (G,) person of each candidate; everybody has one.
        people: number J.
        n_ways: candidates N of a question: one of the probe's person, the others of N - 1 other people. The people are
            drawn without replacement, all alike, then a candidate of each; the right one's place is random.
        count: number B of questions.
        seed: of the draw.
        allowed: whose candidates (column) may be negatives of whose probes (row); None for everybody's. Somebody who
            may be compared with nobody, not even with themselves, is no probe.
        weighting: samples draws all probes alike, identities draws a person first.

    Returns:
        The questions.

    Raises:
        UsageError: no question, a probe's person has fewer than N - 1 rivals, or N is less than 2.
    """
    if count < 1:
        raise UsageError("one or more questions", str(count), "give another number")
    random = np.random.default_rng(seed)
    allowed = np.ones((people, people), bool) if allowed is None else allowed
    rivals = allowed & ~np.eye(people, dtype=bool)
    weights = np.bincount(probe_identity, minlength=people) * allowed.any(1)
    fewest = int(rivals[weights > 0].sum(1).min(initial=people))
    if n_ways < 2 or not weights.any() or fewest < n_ways - 1:
        got = f"{n_ways} candidates and somebody with {fewest if weights.any() else 0} rivals"
        raise UsageError(
            f"at least two candidates, and {n_ways - 1} people to compare with each person", got, "ask fewer"
        )
    shares = weights if weighting == "samples" else weights > 0
    person = random.choice(people, count, p=shares / shares.sum())
    ranks = _distinct(random, rivals.sum(1)[person], n_ways - 1)
    who = np.column_stack([person, np.empty_like(ranks)])
    for one in np.unique(person):
        who[person == one, 1:] = np.flatnonzero(rivals[one])[ranks[person == one]]
    probes, candidates = one_of(random, probe_identity, person), one_of(random, candidate_identity, who)
    place, row = random.integers(0, n_ways, count), np.arange(count)
    candidates[row, 0], candidates[row, place] = candidates[row, place], candidates[row, 0]
    return Questions(probes, candidates, place)


def _distinct(random: np.random.Generator, sizes: Int[np.ndarray, " B"], amount: int) -> Int[np.ndarray, "B K"]:
    """K different numbers below each size: the r-th of those that are left, K times."""
    chosen = np.empty((len(sizes), 0), np.int64)
    for taken in range(amount):
        drawn = random.integers(0, sizes - taken)
        for earlier in np.sort(chosen, axis=1).T:
            drawn += drawn >= earlier
        chosen = np.column_stack([chosen, drawn])
    return chosen


def one_of(random: np.random.Generator, identity: Int[np.ndarray, " N"], people: np.ndarray) -> np.ndarray:
    """A random row of each of some people.

    Args:
        random: source of the draws.
        identity: (N,) whose each row is.
        people: numbers of people, of any shape; a person may be there several times.

    Returns:
        Rows, in the shape of `people`.
    """
    counts = np.bincount(identity)
    starts = np.cumsum(counts) - counts
    return np.argsort(identity, kind="stable")[starts[people] + random.integers(0, counts[people])]


def wins(scores: Float[np.ndarray, "B N"], place: Int[np.ndarray, " B"]) -> Float[np.ndarray, " B"]:
    """Probability that the right candidate is taken, if equal best scores are decided at random.

    Args:
        scores: (B, N), any numbers that can be compared.
        place: (B,) where the right one is.

    Returns:
        (B,) 0 if another scores higher, else 1/(1 + t) with t others that score the same.
    """
    own = scores[np.arange(len(scores)), place][:, None]
    return np.where((scores > own).any(1), 0.0, 1.0 / np.maximum((scores == own).sum(1), 1))


def asked(scorer: Scorer, questions: Questions) -> Float[np.ndarray, " B"]:
    """`wins` of a scorer.

    Args:
        scorer: see `Scorer`.
        questions: B of them.

    Returns:
        (B,) in [0, 1].

    Raises:
        UsageError: a score that is not finite, which cannot be compared.
    """
    parts = []
    for first in range(0, len(questions.probes), BATCH):
        part = Questions(*(side[first : first + BATCH] for side in questions))
        scores = np.asarray(scorer(part.probes, part.candidates))
        if scores.shape != part.candidates.shape or not np.isfinite(scores).all():
            got = f"shape {scores.shape}, {np.isfinite(scores).sum()} of them finite"
            raise UsageError(f"a finite score for each of {part.candidates.shape} candidates", got, "mend the scorer")
        parts.append(wins(scores, part.place))
    return np.concatenate(parts)


def mean_over_trials(
    person: Int[np.ndarray, " T"],
    values: Float[np.ndarray, " T"],
    clusters: Clusters,
    weights: Float[np.ndarray, " T"] | None = None,
) -> tuple[float, float | None, float | None, str]:
    """Mean of trials, with the limits of 95 % of redraws of the people that they ask about.

    Args:
        person: (T,) whose probe each trial has.
        values: (T,) its outcome.
        clusters: of the J people. A cluster is redrawn with all its trials; only people with trials are.
        weights: (T,) what each trial counts for; None for all alike.

    Returns:
        Mean, lower and upper limit (None if the people are a single cluster), and the method in words.
    """
    weights = np.ones(len(values)) if weights is None else weights
    total = np.bincount(person, weights, len(clusters.names))
    sums = np.bincount(person, weights * values, len(clusters.names))
    means = np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)
    value, low, high, method = over_people(means, total, clusters)
    return value, low, high, method if low is None else "bootstrap over the probes' people"


def accuracy_rows(
    direction: Direction,
    group: str,
    person: Int[np.ndarray, " T"],
    values: Float[np.ndarray, " T"],
    clusters: Clusters,
    params: Mapping[str, Any],
) -> Iterator[Row]:
    """The accuracy of trials, once with each of two intervals: other people, and TriNet's over trials.

    Args:
        direction: of the trials.
        group: name of the group.
        person: (T,) whose probe each trial has.
        values: (T,) outcomes, see `wins`.
        clusters: see `mean_over_trials`.
        params: of the rows, `n_way` among them.

    Returns:
        Two rows.
    """
    value, low, high, method = mean_over_trials(person, values, clusters)
    chance, people = 1 / params["n_way"], len(np.unique(person))
    params = {**params, "trials": len(values)}
    row = Row("accuracy", direction, group, value, low, high, method, chance, people, params)
    yield row
    low, high = binomial_interval(value, len(values))
    yield replace(row, ci_low=low, ci_high=high, ci_method=BINOMIAL)


def evaluate_joint(
    embeddings: Embeddings,
    scorers: JointScorers,
    directions: Sequence[Direction],
    groupings: Sequence[Grouping],
    clusters: Clusters,
    n_ways: int = 2,
    count: int = 10_000,
    seed: int = 0,
) -> Report:
    """Accuracy of random questions, whole groupings and their cells, and a control with voices dealt to other people.

    Args:
        embeddings: of J people.
        scorers: see `eval.embeddings.checkpoint_heads.head_scorers`.
        directions: to be asked, among those of the scorers.
        groupings: who may be compared with whom; in cells of fewer than `n_ways` people nobody is asked.
        clusters: of the J people.
        n_ways: candidates of a question.
        count: questions of a grouping.
        seed: of the draws; another scorer gets the same questions.

    Returns:
        Report "matching-sampled/1"; negatives are drawn by identities, probes by samples.

    Raises:
        UsageError: a direction in which the model cannot be asked.
    """
    if other := set(directions) - set(scorers.ask):
        fix = "leave the direction out, or train a model for it"
        raise UsageError(f"directions of this head: {', '.join(scorers.ask)}", ", ".join(sorted(other)), fix)
    rows: list[Row] = []
    notes = [*embeddings.notes, *(note for one in groupings for note in left_out(one))]
    for dealt, params in ((embeddings, {}), (shuffled(embeddings), {"control": "shuffled"})):
        for direction in directions:
            identities = _identities(dealt, scorers, direction)
            for grouping in groupings if dealt is embeddings else [one for one in groupings if not one.columns]:
                cells = grouping.of_at_least(n_ways)
                if not (cells >= 0).any():
                    notes.append(f"{grouping.name}: no cell of {n_ways} people, no figures")
                    continue
                part = replace(grouping, cells=cells)
                drawn = draw_tuples(*identities, len(cells), n_ways, count, seed, part.allowed)
                won, person = asked(scorers.ask[direction], drawn), identities[0][drawn.probes]
                what = {"n_way": n_ways, "weighting": "samples", "negatives": "identities", "seed": seed, **params}
                rows += accuracy_rows(direction, grouping.name, person, won, clusters, what)
                for cell, label in enumerate(grouping.labels if grouping.columns else ()):
                    if (inside := cells[person] == cell).any():
                        name = f"{grouping.name}: {label}"
                        rows += accuracy_rows(direction, name, person[inside], won[inside], clusters, what)
    return Report(PROTOCOL, embeddings.split_hash, rows, list(dict.fromkeys(notes)))


def _identities(
    embeddings: Embeddings, scorers: JointScorers, direction: Direction
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " G"]]:
    """Whose the probes and the candidates are."""
    voices = embeddings.voice.identity
    faces = embeddings.face.identity[[rows[0] for rows in scorers.faces]]
    return (voices, faces) if direction == "v2f" else (faces, voices)
