"""The tables of a dataset folder, read as far as they can be read; what is wrong with them is noted, not raised."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from s2f.dataset_check.findings import Found
from s2f.datasets import REQUIRED, SPLITS

POINTS = [f"{axis}{number}" for number in range(68) for axis in "xy"]
SHARED = {"identity", "video", "quality", "start_s", "duration_s"}  # columns whose values many rows share
UNKNOWN_SPLIT = "none"
CUT = "\ufeff"  # byte order mark


class PersonRow(NamedTuple):
    """Columns of people.csv; cells without a column are empty."""

    identity: str
    gender: str
    age: str
    ethnicity: str
    nationality: str
    language: str
    split: str
    speaker: str


class VoiceRow(NamedTuple):
    """Columns of voices.csv."""

    identity: str
    path: str
    video: str
    quality: str
    start_s: str
    duration_s: str
    key: str
    audio_offset: str
    audio_bytes: str
    face_offset: str
    face_bytes: str

    @property
    def name(self) -> str:
        """The file, or tar and key of a sample."""
        return f"{self.path}:{self.key}" if self.audio_offset else self.path

    @property
    def start(self) -> float:
        """Where the part begins, in seconds; 0 if the cell is empty or no number."""
        return seconds(self.start_s) or 0.0


class FaceRow(NamedTuple):
    """Columns of faces.csv."""

    identity: str
    path: str
    video: str
    quality: str
    left: str
    top: str
    right: str
    bottom: str

    @property
    def name(self) -> str:
        """The file."""
        return self.path

    @property
    def start(self) -> float:
        """A picture has no parts: 0."""
        return 0.0


class ErrorRow(NamedTuple):
    """Columns of errors.csv."""

    kind: str
    reason: str


Columns = TypeVar("Columns", PersonRow, VoiceRow, FaceRow, ErrorRow)


@dataclass
class Contents:
    """What the tables of a folder say.

    Attributes:
        root: the folder.
        people: by identity, the first row of each.
        voices: rows of voices.csv.
        faces: rows of faces.csv.
        landmarks: pictures that landmarks.csv names; None without that file.
        truth: identities of truth.csv.
        sharded: whether voices.csv names samples in tars.
    """

    root: Path
    people: dict[str, PersonRow] = field(default_factory=dict)
    voices: list[VoiceRow] = field(default_factory=list)
    faces: list[FaceRow] = field(default_factory=list)
    landmarks: set[str] | None = None
    truth: set[str] = field(default_factory=set)
    sharded: bool = False

    def split(self, identity: str) -> str:
        """train, val, test, or none for everybody else."""
        person = self.people.get(identity)
        return person.split if person and person.split in SPLITS else UNKNOWN_SPLIT

    def speaker(self, identity: str) -> str:
        """Whose voice it is: the column speaker, or the identity itself."""
        person = self.people.get(identity)
        return (person and person.speaker) or identity


def seconds(cell: str) -> float | None:
    """A time in seconds from 0 on; None if the cell is no such number."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def read_contents(root: Path, found: Found) -> Contents:
    """Read all tables of a folder.

    Args:
        root: the folder.
        found: takes what is wrong with them.
    """
    contents = Contents(root)
    present = {name for name in ("people.csv", "voices.csv", "faces.csv") if (root / name).is_file()}
    if "people.csv" not in present:
        found["missing_table"].append("people.csv")
    if not {"voices.csv", "faces.csv"} & present:
        found["missing_table"].append("voices.csv or faces.csv")
    for person in read_table(root / "people.csv", PersonRow, found)[0]:
        if not person.identity:
            found["empty_identity"].append(f"people.csv: {','.join(person)}")
        elif contents.people.setdefault(person.identity, person) is not person:
            found["repeated_identity"].append(person.identity)
    contents.voices, columns = read_table(root / "voices.csv", VoiceRow, found)
    contents.sharded = {"key", "face_offset"} <= set(columns)
    contents.faces = read_table(root / "faces.csv", FaceRow, found)[0]
    contents.landmarks = _read_landmarks(root / "landmarks.csv", found)
    truth = _cells(root / "truth.csv", found)
    header = next(truth, [])
    if "identity" in header:
        contents.truth = {row[header.index("identity")] for row in truth}
    return contents


def read_table(path: Path, kind: type[Columns], found: Found) -> tuple[list[Columns], list[str]]:
    """Read a table.

    Args:
        path: the file.
        kind: columns to keep.
        found: takes what is wrong with it.

    Returns:
        Its rows, with empty cells where a row is too short or a column is not there, and the header. No rows without
        the columns that a table must have, and neither without the file.
    """
    cells = _cells(path, found)
    header = next(cells, [])
    place = {name: number for number, name in enumerate(header)}
    if lacking := [name for name in REQUIRED.get(path.name, ()) if name not in place and path.is_file()]:
        found["missing_column"] += [f"{path.name}: {name}" for name in lacking]
        return [], header
    kept = [(place.get(name), name in SHARED) for name in kind._fields]
    rows = []
    for row in cells:
        picked = ("" if number is None else row[number] for number, _ in kept)
        rows.append(
            kind(*(sys.intern(cell) if shared else cell for cell, (_, shared) in zip(picked, kept, strict=True)))
        )
    return rows, header


def _cells(path: Path, found: Found) -> Iterator[list[str]]:
    """Header, then rows of its length; nothing without the file. Bytes that are not UTF-8 become surrogates."""
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(_lines(file, path.name, found))
            header = next(reader, [])
            yield header
            for row in reader:
                if row and len(row) != len(header):
                    got = f"{path.name} line {reader.line_num}: {len(row)} instead of {len(header)}"
                    found["ragged_row"].append(got)
                    row = (row + [""] * len(header))[: len(header)]
                if row:
                    yield row
    except (OSError, csv.Error) as error:
        found["broken_table"].append(f"{path.name}: {error}")


def _lines(file: Iterator[str], name: str, found: Found) -> Iterator[str]:
    """Lines of a file without a byte order mark."""
    for number, line in enumerate(file, start=1):
        if number == 1 and line.startswith(CUT):
            found["byte_order_mark"].append(name)
            line = line.removeprefix(CUT)
        if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
            found["not_utf8"].append(f"{name} line {number}")
        yield line


def _read_landmarks(path: Path, found: Found) -> set[str] | None:
    """Pictures that have landmarks; their numbers are looked at and not kept."""
    if not path.is_file():
        return None
    cells = _cells(path, found)
    header = next(cells, [])
    lacking = [f"{path.name}: {name}" for name in ("path", *POINTS) if name not in header]
    found["missing_column"] += lacking
    if "path" not in header:
        return set()
    place = header.index("path")
    ordered = [name for name in header if name != "path"] == POINTS
    if not ordered and not lacking:
        found["bad_landmarks"].append("the header: another order, or further columns")
    pictures: set[str] = set()
    for row in cells:
        picture = row.pop(place)
        if picture in pictures:
            found["repeated_row"].append(f"{path.name}: {picture}")
        pictures.add(picture)
        if ordered and not _finite(row):
            found["bad_landmarks"].append(picture)
    return pictures


def _finite(cells: list[str]) -> bool:
    try:
        return all(map(math.isfinite, map(float, cells)))
    except ValueError:
        return False
