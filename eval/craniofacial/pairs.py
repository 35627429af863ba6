"""Pairs of pictures with the landmarks found in both, and an account of every pair that could not be used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from eval.faces.landmarks import Found, find_landmarks
from eval.faces.pictures import Pairs, PicturePair
from s2f.faces.craniofacial import MEASURES, craniofacial_measures, inter_ocular, normalised_measures
from s2f.runtime.files import write_csv

SIDES = ("a", "b")
LANDMARKS = "landmarks"  # folder within the output, where an interrupted run goes on
NO_SHAPE = "landmarks of no shape: a measure is infinite"


@dataclass(frozen=True)
class PointPairs:
    """Pairs and what was found in their pictures.

    Attributes:
        pairs: as given.
        found: landmarks or trouble of every picture.
    """

    pairs: Pairs
    found: Found

    @cached_property
    def used(self) -> tuple[PicturePair, ...]:
        """Pairs with landmarks on both sides, N of them."""
        points = self.found.points
        return tuple(pair for pair in self.pairs.pairs if pair.a in points and pair.b in points)

    @property
    def speakers(self) -> np.ndarray:
        """(N,) speaker of each pair that is used."""
        return np.array([pair.speaker for pair in self.used])

    def points(self, side: str) -> Float[np.ndarray, "N 68 2"]:
        """Landmarks of side "a" or "b" of the pairs that are used, in pixels of pictures 224 px high."""
        return np.array([self.found.points[getattr(pair, side)] for pair in self.used]).reshape(-1, 68, 2)

    def notes(self) -> list[str]:
        """How many pairs were given and used, and how many pictures were left out or changed, for each reason."""
        said = [f"{len(self.pairs.pairs)} pairs given, {len(self.used)} used"]
        for side in SIDES:
            files = [getattr(pair, side) for pair in self.pairs.pairs]
            left_out = Counter(kind(self.found.trouble[file]) for file in files if file in self.found.trouble)
            changed = Counter(kind(note) for file in files for note in self.found.notes.get(file, ()))
            for verb, counts in (("left out", left_out), ("changed", changed)):
                said += [f"{count} of {side.upper()} {verb}: {reason}" for reason, count in sorted(counts.items())]
        unpaired = Counter(kind(reason) for _, reason in self.pairs.unpaired)
        return said + [f"{count} without a partner: {reason}" for reason, count in sorted(unpaired.items())]

    def listing(self) -> Iterator[tuple[str, ...]]:
        """Every name with its state (used, left out or unpaired), why, what was changed, and both files."""
        for pair in self.pairs.pairs:
            files = [(side.upper(), getattr(pair, side)) for side in SIDES]
            trouble = [f"{side}: {self.found.trouble[file]}" for side, file in files if file in self.found.trouble]
            changes = [f"{side}: {note}" for side, file in files for note in self.found.notes.get(file, ())]
            state = "left out" if trouble else "used"
            yield pair.name, state, "; ".join(trouble), "; ".join(changes), str(pair.a), str(pair.b)
        for name, reason in self.pairs.unpaired:
            yield name, "unpaired", reason, "", "", ""


def kind(reason: str) -> str:
    """A reason without the particulars of one file, so that it can be counted.

    Args:
        reason: of `eval.faces.pictures` or `eval.faces.landmarks`.

    Returns:
        The beginning of the reason, sizes as "W x H px".
    """
    return re.sub(r"\d+ x \d+ px", "W x H px", re.split(r": |(?<=no file) at | on line ", reason)[0])


def point_pairs(sets: Mapping[str, Pairs], landmarks: str, out: Path | None) -> dict[str, PointPairs]:
    """Find the landmarks of all pictures, each picture once.

    Args:
        sets: pairs by the name of their set.
        landmarks: detector, see `eval.faces.landmarks.find_landmarks`.
        out: folder in which landmarks are kept; None keeps nothing.

    Returns:
        By the name of the set. Landmarks that divide by zero in a measure are taken as trouble.

    Raises:
        S2fError: see `eval.faces.landmarks.find_landmarks`.
    """
    files = [getattr(pair, side) for pairs in sets.values() for pair in pairs.pairs for side in SIDES]
    found = find_landmarks(list(dict.fromkeys(files)), landmarks, None if out is None else out / LANDMARKS)
    shapeless = {file: NO_SHAPE for file, points in found.points.items() if not _measurable(points)}
    points = {file: one for file, one in found.points.items() if file not in shapeless}
    found = replace(found, points=points, trouble={**found.trouble, **shapeless})
    return {name: PointPairs(pairs, found) for name, pairs in sets.items()}


def with_speakers(pairs: Pairs, speakers: Sequence[str]) -> Pairs:
    """The same pairs with other speakers, one for each in their order."""
    named = zip(pairs.pairs, speakers, strict=True)
    return replace(pairs, pairs=tuple(replace(pair, speaker=speaker) for pair, speaker in named))


def write_tables(folder: Path, sets: Mapping[str, PointPairs]) -> None:
    """Write `pairs.csv`, every name with what became of it, and `measures.csv`, the measures of the pairs used.

    Args:
        folder: existing folder.
        sets: by name; the first column says it.
    """
    header = ("set", "name", "state", "reason", "changes", "a", "b")
    write_csv(folder / "pairs.csv", header, [(name, *row) for name, one in sets.items() for row in one.listing()])
    names = (*MEASURES, "inter_ocular")
    rows = [(name, *row) for name, one in sets.items() for row in _measured(one)]
    columns = [f"{side}_{name}" for side in SIDES for name in names]
    write_csv(folder / "measures.csv", ("set", "name", "speaker", *columns), rows)


def _measured(one: PointPairs) -> Iterator[tuple[str, ...]]:
    columns = []
    for side in SIDES:
        points = one.points(side)
        values = craniofacial_measures(points)
        columns += [*(values[name] for name in MEASURES), inter_ocular(points)]
    for pair, numbers in zip(one.used, np.stack(columns, axis=1), strict=True):
        yield pair.name, pair.speaker, *(f"{number:.6g}" for number in numbers)


def _measurable(points: Float[np.ndarray, "68 2"]) -> bool:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [*craniofacial_measures(points[None]).values(), *normalised_measures(points[None]).values()]
    return bool(np.isfinite(values).all())
