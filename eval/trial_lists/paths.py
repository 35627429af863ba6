"""Which row of an embeddings folder a path of somebody else's list means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from eval.embeddings.folder import Samples
from s2f.errors import DatasetError

SHOWN = 3  # examples in a message
_VIDEO = re.compile(r"[\w-]{11}", re.ASCII)  # YouTube's ids
_OLDER = re.compile(r"([\w-]{11})_(\d{7})", re.ASCII)  # of VoxCeleb1's first release
_ID = re.compile(r"id\d+", re.ASCII)


class _Clip(NamedTuple):
    """What the names of all releases of VoxCeleb1 say."""

    video: str
    number: int
    person: str


class PathIndex:
    """Rows of one modality, found by the paths of a list.

    A row is known by its column `source` if the table has one (what `s2f prepare` read), else by `path`. A path means
    the row that is called the same. Without one, the row whose last folders and file name are the path, or whose whole
    name is the end of the path. Without one, the row of the same video and number: older lists have
    `Name/<video>_0000001.wav` and `Name/<video>/0007400.jpg` for today's `id10001/<video>/00001.wav` and
    `Name/1.6/<video>/0007400.jpg`. There the person decides between several and must not contradict: two names, or two
    ids, must be equal; a name and an id must always go together.

    Args:
        samples: the modality.
        identities: of `Embeddings`.

    Raises:
        DatasetError: the table has neither column.
    """

    def __init__(self, samples: Samples, identities: Sequence[str]) -> None:
        column = next((name for name in ("source", "path") if name in samples.columns), None)
        if column is None:
            fix = "add the paths that the list uses"
            raise DatasetError(f"a column source or path in {samples.name}.csv", ", ".join(samples.columns), fix)
        self.name = samples.name
        self._paths = ["/".join(_parts(path)) for path in samples.columns[column]]
        self._identity = [identities[person] for person in samples.identity]
        self._names = samples.columns.get("name", [""] * len(self._paths))
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._ends: dict[str, list[int]] = defaultdict(list)
        self._clips: dict[tuple[str, int], list[int]] = defaultdict(list)
        for row, path in enumerate(self._paths):
            self._whole[path].append(row)
            for end in _ends(path):
                self._ends[end].append(row)
            if clip := _clip(path):
                self._clips[clip.video, clip.number].append(row)
        self._found: dict[str, list[int]] = {}
        self._by_clip: set[str] = set()  # paths that were found by video and number

    def fits(self, path: str) -> list[int]:
        """All rows that a path can mean; none if it is not of this modality or not in the folder."""
        if path not in self._found:
            self._found[path] = self._search("/".join(_parts(path)))
        return self._found[path]

    def _search(self, path: str) -> list[int]:
        if path in self._whole:
            return self._whole[path]
        clip = _clip(path)
        ends = [*self._ends.get(path, ()), *(row for end in _ends(path) for row in self._whole.get(end, ()))]
        if ends:
            return self._of_person(path, clip.person, ends) if clip and len(ends) > 1 else ends
        return self._of_person(path, clip.person, self._clips.get((clip.video, clip.number), [])) if clip else []

    def _of_person(self, path: str, person: str, rows: list[int]) -> list[int]:
        """Rows of the person; else those of whom one cannot tell, because a name is beside an id."""
        self._by_clip.add(path)
        if same := [row for row in rows if person in (self._identity[row], *self._people(row))]:
            return same
        return [row for row in rows if not any(_comparable(person, name) for name in self._people(row))]

    def _people(self, row: int) -> list[str]:
        """What VoxCeleb1 calls the person of a row, as far as known."""
        return [name for name in (_person(self._paths[row]), self._names[row]) if name]

    def rows(self, paths: Sequence[str]) -> Int[np.ndarray, " L"]:
        """Find rows.

        Args:
            paths: L paths.

        Returns:
            (L,) row of each path, -1 where there is none.

        Raises:
            DatasetError: a path means several rows, or two paths the same row, or a person of the list is two people.
        """
        owner: dict[int, str] = {}
        people: dict[tuple[str, str], str] = {}
        for path in dict.fromkeys(paths):
            fits = self.fits(path)
            if len(fits) > 1:
                shown = ", ".join(self._paths[row] for row in fits[:SHOWN])
                fix = f"keep the folders of the original files in the paths of {self.name}.csv"
                raise DatasetError(f"one row of {self.name}.csv for {path}", f"{len(fits)}: {shown}", fix)
            if fits:
                self._check(path, fits[0], owner, people)
        return np.array([next(iter(self.fits(path)), -1) for path in paths], np.int64)

    def _check(self, path: str, row: int, owner: dict[int, str], people: dict[tuple[str, str], str]) -> None:
        """Refuse a second path for a row, and a second identity for a person of a list or the reverse."""
        before = owner.setdefault(row, path)
        if _parts(before) != _parts(path):
            got = f"{before} and {path} for {self._paths[row]}"
            fix = f"keep the folders of the original files in the paths of {self.name}.csv"
            raise DatasetError(f"different rows of {self.name}.csv for different paths of the list", got, fix)
        if (joined := "/".join(_parts(path))) not in self._by_clip or not (person := _person(joined)):
            return
        identity = self._identity[row]
        pairs = {("person", person): identity}
        if not _ID.fullmatch(person):
            pairs["identity", identity] = person
        for key, value in pairs.items():
            if people.setdefault(key, value) != value:
                got = f"{key[1]} together with {people[key]} and with {value}, as in {path}"
                raise DatasetError("one identity of the folder for a person of the list", got, "correct the tables")


def missing(kind: str, paths: Sequence[str], rows: Int[np.ndarray, " L"]) -> str:
    """Say in words which paths were not found, "" if all were.

    Args:
        kind: voice or face.
        paths: (L,) paths.
        rows: (L,) answer of `PathIndex.rows`.

    Returns:
        Their number, each path counted once, and the first of them.
    """
    absent = list(dict.fromkeys(path for path, row in zip(paths, rows, strict=True) if row < 0))
    return f"{len(absent)} {kind} paths, first {', '.join(absent[:SHOWN])}" if absent else ""


def _parts(path: str) -> list[str]:
    return [part for part in path.strip().split("/") if part not in ("", ".")]


def _ends(path: str) -> list[str]:
    """What is left of a path when the first folders are cut off, without the path itself."""
    parts = path.split("/")
    return ["/".join(parts[first:]) for first in range(1, len(parts))]


def _clip(path: str) -> _Clip | None:
    parts = path.split("/")
    stem = parts[-1].rpartition(".")[0]
    if older := _OLDER.fullmatch(stem):
        return _Clip(older[1], int(older[2]), _last_folder(parts[:-1]))
    if stem.isdecimal() and len(parts) > 1 and _VIDEO.fullmatch(parts[-2]):
        return _Clip(parts[-2], int(stem), _last_folder(parts[:-2]))
    return None


def _person(path: str) -> str:
    """Whose clip a path of VoxCeleb1 is; "" for any other path."""
    clip = _clip(path)
    return clip.person if clip else ""


def _last_folder(folders: Sequence[str]) -> str:
    return next((folder for folder in reversed(folders) if folder != "1.6"), "")


def _comparable(a: str, b: str) -> bool:
    """Whether both are ids or both are names, so that they must be equal."""
    return bool(a) and bool(_ID.fullmatch(a)) == bool(_ID.fullmatch(b))
