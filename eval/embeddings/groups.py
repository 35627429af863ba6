"""Who may be compared with whom: groups of people by the columns of their tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int

from eval.embeddings.folder import Embeddings, KeptRows, Samples
from eval.metrics.clusters import Clusters, clusters_of
from s2f.errors import DatasetError

PRESETS: dict[str, tuple[str, ...]] = {
    "U": (),
    "G": ("gender",),
    "E": ("ethnicity",),
    "G/E": ("gender", "ethnicity"),
    "G/E/F/A": ("gender", "ethnicity", "language", "age"),
    "N": ("nationality",),
    "A": ("age",),
    "GNA": ("gender", "nationality", "age"),
}


@dataclass(frozen=True)
class Grouping:
    """People sorted into cells; a probe's negatives come from its own person's cell.

    Attributes:
        name: U for everybody together, else the short name of the protocol or the columns joined by "/".
        columns: by which people are sorted; empty for U.
        cells: (J,) int64, index of each person's cell; -1 where a column is unknown: left out of this grouping.
        labels: name of each cell, its values joined by "/".
    """

    name: str
    columns: tuple[str, ...]
    cells: Int[np.ndarray, " J"]
    labels: tuple[str, ...]

    def of_at_least(self, people: int) -> Int[np.ndarray, " J"]:
        """The cells, with -1 also for those who share theirs with fewer than `people`, themselves included."""
        sizes = np.bincount(self.cells[self.cells >= 0], minlength=1)
        return np.where((self.cells >= 0) & (sizes[self.cells] >= people), self.cells, -1)

    @property
    def compared(self) -> Int[np.ndarray, " J"]:
        """The cells, with -1 also for people who share theirs with nobody."""
        return self.of_at_least(2)

    @property
    def allowed(self) -> Bool[np.ndarray, "J J"]:
        """Whose samples may be negatives of whose."""
        known = self.cells >= 0
        return (self.cells[:, None] == self.cells) & known[:, None] & known


def person_column(embeddings: Embeddings, column: str) -> list[str]:
    """What the tables say of each person in one column.

    An empty cell says nothing: a person known from one row is known. A number in the column `age` becomes its decade
    ("34" and "30.5" the text "30s"), as Kim et al. 2018 group ages; other text stays as it is. Deviations: Kim et al.
    join everybody up to 19, and everybody from 80; SVHF's single class of 30 to 50 years needs a column that says so.

    Args:
        embeddings: of J people.
        column: of voice.csv, face.csv or both.

    Returns:
        J values; empty is unknown.

    Raises:
        DatasetError: neither table has the column, or a person has two values: groups sort people.
    """
    sides = [side for side in (embeddings.voice, embeddings.face) if column in side.columns]
    if not sides:
        there = ", ".join(sorted({*embeddings.voice.columns, *embeddings.face.columns} - {"identity"})) or "none"
        fix = "add it to the tables, or group by another column"
        raise DatasetError(f"a column {column!r} in voice.csv or face.csv", f"the columns {there}", fix)
    found = [""] * len(embeddings.identities)
    for side in sides:
        for person, cell in sorted(set(zip(side.identity.tolist(), side.columns[column], strict=True))):
            value = _value(column, cell.strip())
            if value and found[person] not in ("", value):
                got = f"{found[person]} and {value} for {embeddings.identities[person]}"
                fix = "correct the tables, or group by a column of the people"
                raise DatasetError(f"one {column} for every person", got, fix)
            found[person] = value or found[person]
    return found


def _value(column: str, cell: str) -> str:
    is_years = column == "age" and re.fullmatch(r"\d+(\.\d*)?", cell)
    return f"{int(float(cell)) // 10 * 10}s" if is_years else cell


def grouping(embeddings: Embeddings, name: str | Sequence[str]) -> Grouping:
    """Sort people by some columns.

    F is fluency in Kim et al. 2018 (native speaker or not); here it is the column `language`, a person's first
    language, so that non-natives of different languages are kept apart. GNA is SVHF's and PINs' restriction. Kim et
    al. give G/E/F/A for the single largest cell only; that figure is the row of this cell.

    Args:
        embeddings: of J people.
        name: one of `PRESETS`, else columns joined by "/", else a sequence of columns.

    Returns:
        The grouping; cells sorted by label.

    Raises:
        DatasetError: see `person_column`.
    """
    columns = PRESETS.get(name, tuple(name.split("/"))) if isinstance(name, str) else tuple(name)
    called = name if isinstance(name, str) else "/".join(columns) or "U"
    if not columns:
        return Grouping(called, (), np.zeros(len(embeddings.identities), np.int64), ("",))
    values = list(zip(*(person_column(embeddings, column) for column in columns), strict=True))
    known = sorted({value for value in values if all(value)})
    index = {value: cell for cell, value in enumerate(known)}
    cells = np.array([index.get(value, -1) for value in values], np.int64)
    return Grouping(called, columns, cells, tuple("/".join(value) for value in known))


def groupings(embeddings: Embeddings, names: Sequence[str | Sequence[str]]) -> list[Grouping]:
    """Several groupings, see `grouping`."""
    return [grouping(embeddings, name) for name in names]


def sweep(columns: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets of some columns, smallest first: what each factor alone and with others takes away."""
    return [subset for size in range(len(columns) + 1) for subset in combinations(columns, size)]


def left_out(grouping: Grouping) -> list[str]:
    """Who has no negatives in a grouping, a sentence for each reason; empty if everybody has.

    Args:
        grouping: of J people.

    Returns:
        Sentences with counts.
    """
    unknown = grouping.cells < 0
    alone = ~unknown & (grouping.compared < 0)
    reasons = {f"of unknown {' or '.join(grouping.columns)} left out": unknown, "left out, alone in their cell": alone}
    notes = [f"{grouping.name}: {who.sum()} people {reason}" for reason, who in reasons.items() if who.any()]
    return [
        *notes,
        *([f"{grouping.name}: nobody can be compared, no figures"] if (grouping.compared < 0).all() else []),
    ]


def clusters(embeddings: Embeddings) -> Clusters:
    """Which people are independent: all but those made from the voice of one real speaker.

    Args:
        embeddings: of J people; the column `speaker` is optional, and a person without one is their own speaker.

    Returns:
        Clusters of the J people.

    Raises:
        DatasetError: a person with two speakers.
    """
    has_column = "speaker" in embeddings.voice.columns or "speaker" in embeddings.face.columns
    speakers = person_column(embeddings, "speaker") if has_column else [""] * len(embeddings.identities)
    return clusters_of(embeddings.identities, speakers)


def with_rows(samples: Samples, rows: Int[np.ndarray, " K"]) -> Samples:
    """Some rows of a modality, in the given order; the vectors stay where they are."""
    columns = {name: [cells[row] for row in rows.tolist()] for name, cells in samples.columns.items()}
    return Samples(samples.name, KeptRows(samples.vectors, rows), samples.identity[rows], columns)  # type: ignore[arg-type]


def of_people(embeddings: Embeddings, chosen: Bool[np.ndarray, " J"]) -> Embeddings:
    """The embeddings of some people only, in their order.

    Args:
        embeddings: of J people.
        chosen: (J,) who stays.

    Returns:
        The same object if everybody stays.

    Raises:
        DatasetError: fewer than two people stay.
    """
    if chosen.all():
        return embeddings
    if chosen.sum() < 2:
        raise DatasetError("two people to compare", f"{chosen.sum()} of {len(chosen)}", "give samples of more people")
    number = np.cumsum(chosen) - 1
    sides = [with_rows(side, np.flatnonzero(chosen[side.identity])) for side in (embeddings.voice, embeddings.face)]
    voice, face = (replace(side, identity=number[side.identity]) for side in sides)
    names = tuple(name for name, stays in zip(embeddings.identities, chosen, strict=True) if stays)
    return replace(embeddings, voice=voice, face=face, identities=names)
