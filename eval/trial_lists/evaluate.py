"""Other people's evaluation lists, as given, on an embeddings folder, beside the exact figure.

Papers compare systems on one list of random questions. A list asks about a few of the questions that the same people
allow: its own figure can be compared with the papers', the exact one says more about the system.

A score is that of `eval.metrics.scores`: equal ones tie exactly. A tie for the best place counts 1/(1 + t) with t equal
negatives. Peers decide otherwise: with argmax (Wen et al. 2021, CMPC, 1:N of vfal-eva) a tie goes to the first place,
which is always the right one; vfal-eva's 1:2 counts a tie as lost. Without ties all agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from eval.embeddings import verification
from eval.embeddings.folder import Embeddings
from eval.embeddings.groups import Grouping
from eval.embeddings.retrieval import figure_rows, retrieve
from eval.embeddings.sampled_matching import accuracy_rows, mean_over_trials, wins
from eval.metrics.bootstrap import bootstrap_accuracy
from eval.metrics.clusters import Clusters
from eval.metrics.n_way import n_way
from eval.metrics.two_way import WEIGHTINGS, accuracy, win_table
from eval.results import Direction, Report, Row
from eval.trial_lists.formats import (
    MatchingList,
    RetrievalList,
    VerificationList,
    read_matching,
    read_retrieval,
    read_verification,
)
from eval.trial_lists.metrics import GROUP, average_precision, pair_keys, roc_rows
from eval.trial_lists.paths import PathIndex, missing
from s2f.errors import DatasetError

PROTOCOL = "list/1"
Kind = Literal["matching", "verification", "retrieval"]


def evaluate_list(
    embeddings: Embeddings, kind: Kind, files: Sequence[str | Path], skip_missing: bool, clusters: Clusters
) -> Report:
    """Evaluate one list.

    Args:
        embeddings: of J people; the tables need `path` or `source` (see `eval.trial_lists.paths.PathIndex`).
        kind: what the list asks.
        files: one file, or two that belong together; see `eval.trial_lists.formats`.
        skip_missing: leave out and count lines whose files the folder lacks, instead of refusing the list.
        clusters: of the J people.

    Returns:
        Report "list/1": rows of group "list", n counting the people whose probes are asked about. An accuracy comes
        twice, with the interval over people and with TriNet's over lines. Then the figure over all questions that the
        folder allows (exact=all).

    Raises:
        DatasetError: an unknown form, a path that means no row or several, a label against the identities.
        UsageError: too many files.
    """
    paths = [Path(file) for file in files]
    task = _Task(embeddings, skip_missing, clusters, "+".join(path.name for path in paths))
    rows: list[Row] = []
    if kind == "matching":
        for trials in read_matching(paths):
            rows += task.matching(trials)
    elif kind == "verification":
        for pairs in read_verification(paths):
            rows += task.verification(pairs)
    else:
        for searches in read_retrieval(paths):
            rows += task.retrieval(searches)
    return Report(PROTOCOL, embeddings.split_hash, rows, [*embeddings.notes, *dict.fromkeys(task.notes)])


class _Task:
    """A list and the folder that it is evaluated on."""

    def __init__(self, embeddings: Embeddings, skip_missing: bool, clusters: Clusters, name: str) -> None:
        self.embeddings, self.skip_missing, self.clusters, self.name = embeddings, skip_missing, clusters, name
        self.notes: list[str] = []
        self.index = {side.name: PathIndex(side, embeddings.identities) for side in (embeddings.voice, embeddings.face)}
        self.cross = cache(embeddings.cross)

    def _people(self, direction: Direction) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " G"]]:
        sides = self.embeddings.voice.identity, self.embeddings.face.identity
        return sides if direction == "v2f" else sides[::-1]

    def _direction(self, probes: Sequence[str], candidates: Sequence[str]) -> Direction:
        """Where more of the paths are found."""
        sides = set(probes), set(candidates)
        v2f, f2v = (
            sum(bool(self.index[name].fits(path)) for name, paths in zip(order, sides, strict=True) for path in paths)
            for order in (("voice", "face"), ("face", "voice"))
        )
        if v2f == f2v > 0:
            got = f"{v2f} paths that are found either way"
            raise DatasetError(f"voices and faces of {self.name} that can be told apart", got, "correct the tables")
        return "v2f" if v2f >= f2v else "f2v"

    def _rows(
        self, direction: Direction, lines: Sequence[Sequence[str]]
    ) -> tuple[Int[np.ndarray, "M N+1"], Int[np.ndarray, " M"]]:
        """Rows of the folder for lines of a probe and N candidates, and which lines: without those that lack a file."""
        names = ("voice", "face") if direction == "v2f" else ("face", "voice")
        sides = [line[0] for line in lines], [path for line in lines for path in line[1:]]
        found = [self.index[name].rows(paths) for name, paths in zip(names, sides, strict=True)]
        rows = np.column_stack([found[0], found[1].reshape(len(lines), -1)])
        said = [missing(*side) for side in zip(names, sides, found, strict=True)]
        kept = np.flatnonzero((rows >= 0).all(1))
        self._note_missing(said, "lines", len(lines), len(kept))
        return rows[kept], kept

    def _note_missing(self, said: Sequence[str], what: str, count: int, kept: int) -> None:
        """Refuse missing files, or note how much of the list goes with them."""
        absent = " and ".join(text for text in said if text)
        if absent and (not self.skip_missing or not kept):
            fix = f"embed these files too{', or leave their lines out with --skip_missing' if kept else ''}"
            raise DatasetError(f"all files of {self.name} in the folder", f"no row for {absent}", fix)
        if absent:
            self.notes.append(f"{count - kept} of {count} {what} of {self.name} left out: no row for {absent}")

    def _refuse(self, bad: Bool[np.ndarray, " M"], expected: str, lines: Sequence[Sequence[str]]) -> None:
        if bad.any():
            got = f"{bad.sum()} lines against the identities of the folder, first {' '.join(lines[int(bad.argmax())])}"
            fix = "give voice.csv and face.csv the same name for the same person, or correct the list"
            raise DatasetError(f"{expected} in {self.name}", got, fix)

    def matching(self, trials: MatchingList) -> Iterator[Row]:
        direction = trials.direction or self._direction(trials.probes, [p for line in trials.candidates for p in line])
        lines = [(probe, *line) for probe, line in zip(trials.probes, trials.candidates, strict=True)]
        rows, kept = self._rows(direction, lines)
        people = self._people(direction)
        person, candidates = people[0][rows[:, 0]], people[1][rows[:, 1:]]
        same = candidates == person[:, None]
        wrong = ~same[:, 0] | same[:, 1:].any(1)
        self._refuse(wrong, "the probe's person in the first place only", [lines[line] for line in kept])
        keys = pair_keys(self.cross(direction).scores, rows[:, 0], rows[:, 1:])
        for ways in trials.ways:
            won = wins(keys[:, :ways], np.zeros(len(keys), np.int64))
            if tied := int(((won > 0) & (won < 1)).sum()):
                said = f"{tied} of {len(won)} lines of {self.name} ({direction}, 1:{ways}) tie and count in expectation"
                self.notes.append(said)
            params = {"list": self.name, "n_way": ways}
            yield from accuracy_rows(direction, GROUP, person, won, self.clusters, params)
        yield from self._exact_matching(direction, trials.ways)

    def _exact_matching(self, direction: Direction, ways: Sequence[int]) -> Iterator[Row]:
        """Every N-tuple of distinct people, for both weightings of the probes."""
        cross, people = self.cross(direction), len(self.embeddings.identities)
        ways = [count for count in ways if count <= people]
        found = n_way(cross, max(ways), "identities", self.clusters.numbers) if max(ways, default=2) > 2 else None
        table = win_table(cross) if 2 in ways else None
        for weighting in WEIGHTINGS:
            for count in ways:
                if count == 2 and table is not None:
                    value = float(accuracy(table, weighting, "identities")[0])
                    limits = bootstrap_accuracy(table, weighting, "identities", None, self.clusters.numbers)
                    method = "bootstrap over clusters of people"
                elif found is not None:
                    value = float(found.accuracy(weighting)[count - 2])
                    limits = tuple(float(side[count - 2]) for side in found.interval(weighting))  # type: ignore[assignment]
                    method = "jackknife over clusters of people"
                low, high = (None if np.isnan(limit) else limit for limit in limits)
                params = {"n_way": count, "weighting": weighting, "negatives": "identities", "exact": "all"}
                yield Row("accuracy", direction, "U", value, low, high, method, 1 / count, people, params)

    def verification(self, pairs: VerificationList) -> Iterator[Row]:
        firsts, seconds = zip(*pairs.pairs, strict=True)
        direction = self._direction(firsts, seconds)
        rows, kept = self._rows(direction, pairs.pairs)
        people = self._people(direction)
        person = people[0][rows[:, 0]]
        same = person == people[1][rows[:, 1]]
        if pairs.labels is not None:
            wrong = np.array(pairs.labels)[kept] != same
            self._refuse(wrong, "the labels that the identities give", [pairs.pairs[line] for line in kept])
        if same.all() or not same.any():
            got = f"{same.sum()} and {(~same).sum()}"
            raise DatasetError(f"pairs of one person and pairs of two in {self.name}", got, "give a list with both")
        if pairs.scores is None:
            keys = pair_keys(self.cross(direction).scores, rows[:, 0], rows[:, 1:])[:, 0]
        else:
            keys = np.unique(np.array(pairs.scores)[kept], return_inverse=True)[1]
            self.notes.append("the scores are the list's, not those of the embeddings")
        yield from roc_rows(keys, same, person, self.clusters, {"list": self.name})
        if pairs.scores is None:
            everybody = Grouping("U", (), np.zeros(len(self.embeddings.identities), np.int64), ("",))
            for row in verification.evaluate(self.embeddings, [everybody], self.clusters, control=False).rows:
                yield replace(row, params={**row.params, "exact": "all"})

    def retrieval(self, searches: RetrievalList) -> Iterator[Row]:
        direction = searches.direction or self._direction(searches.queries[0], searches.gallery[0])
        names = ("voice", "face") if direction == "v2f" else ("face", "voice")
        people = self._people(direction)
        found: list[tuple[np.ndarray, ...]] = []
        sizes = []
        for number, sides in enumerate(zip(searches.queries, searches.gallery, strict=True)):
            queries, gallery = (self.index[name].rows(paths) for name, paths in zip(names, sides, strict=True))
            if searches.names is not None:
                self._check_names(searches.names[number], people, queries, gallery)
            said = [missing(*side) for side in zip(names, sides, (queries, gallery), strict=True)]
            queries, gallery = queries[queries >= 0], gallery[gallery >= 0]
            there = len(queries) + len(gallery) if len(queries) and len(gallery) else 0
            self._note_missing(said, "paths", len(sides[0]) + len(sides[1]), there)
            values, chance = average_precision(self.cross(direction), queries, gallery)
            if lost := int((chance == 0).sum()):
                self.notes.append(f"{lost} queries of {self.name} have nobody of theirs in the gallery and count 0")
            found.append((people[0][queries], values, chance, np.full(len(queries), 1 / len(queries))))
            sizes.append(len(gallery))
        person, values, chance, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
        value, low, high, method = mean_over_trials(person, values, self.clusters, weights)
        level = float(weights @ chance / weights.sum())
        params = {"list": self.name, "gallery": sizes[0] if len(sizes) == 1 else sizes, "trials": len(values)}
        yield Row("map", direction, GROUP, value, low, high, method, level, len(np.unique(person)), params)
        cross = self.cross(direction)
        yield from figure_rows(cross, retrieve(cross, ()), direction, self.clusters, "samples", {"exact": "all"})

    def _check_names(self, names: Sequence[str], people: tuple[np.ndarray, np.ndarray], *sides: np.ndarray) -> None:
        """Refuse names of a list that are not one to one with the identities."""
        pairs = {
            (name, int(who[row]))
            for who, rows in zip(people, sides, strict=True)
            for name, row in zip(names, rows, strict=True)
            if row >= 0
        }
        if not len(pairs) == len({name for name, _ in pairs}) == len({person for _, person in pairs}):
            got = f"{len({name for name, _ in pairs})} names that are {len({person for _, person in pairs})} identities"
            fix = "give voice.csv and face.csv the same name for the same person, or correct the list"
            raise DatasetError(f"one identity of the folder for each name of {self.name}", got, fix)
