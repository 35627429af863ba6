"""Read other people's evaluation lists: text lists of Wen et al. 2021 and CMPC, PINs, FAME, vfal-eva's pickles.

The form is told from the content. Nothing is looked up here; paths stay as the list has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.results import Direction
from s2f.errors import DatasetError, UsageError
from s2f.runtime.safe_pickle import load_plain

FORMS = {
    "matching": "lines `probe positive negative`, or a pickle with match_list",
    "verification": "lines `a b`, PINs' six cells between commas, FAME's `id voice face`, or a pickle with list",
    "retrieval": "two lines (queries, gallery), two files with a path a line, or a pickle with retrieval_lists",
}
PINS_CELLS = 6
SHOWN = 120  # letters of a line in a message


@dataclass(frozen=True)
class MatchingList:
    """L trials of one direction.

    Attributes:
        probes: (L,) paths.
        candidates: (L, N) paths, the right one first.
        ways: numbers n of candidates to be evaluated: the first n.
        direction: None if the list does not say.
    """

    probes: Sequence[str]
    candidates: Sequence[Sequence[str]]
    ways: tuple[int, ...]
    direction: Direction | None = None


@dataclass(frozen=True)
class VerificationList:
    """L pairs.

    Attributes:
        pairs: (L, 2) paths, one of a voice and one of a face.
        labels: (L,) whether both are one person; None if the list does not say.
        scores: (L,) scores of somebody's system, higher is more alike; None for those of the embeddings.
    """

    pairs: Sequence[tuple[str, str]]
    labels: Sequence[bool] | None = None
    scores: Sequence[float] | None = None


@dataclass(frozen=True)
class RetrievalList:
    """Z searches, averaged.

    Attributes:
        queries: (Z, Q) paths; Q differs.
        gallery: (Z, G) paths.
        direction: None if the list does not say.
        names: (Z, Q) of a list whose queries and gallery belong together place by place: the person; else None.
    """

    queries: Sequence[Sequence[str]]
    gallery: Sequence[Sequence[str]]
    direction: Direction | None = None
    names: Sequence[Sequence[str]] | None = None


def read_matching(files: Sequence[Path]) -> list[MatchingList]:
    """Read a matching list.

    Args:
        files: one file. A text list has `probe positive negative…` on each line, the same number on all. A pickle of
            vfal-eva has `match_list`: (name1, voice1, face1, name2, voice2, face2), asked in both directions, or
            [voices, faces] of N people, of whom the first is asked for among the first 2, 3, … N.

    Returns:
        One list, or one of each direction.

    Raises:
        DatasetError: another form.
        UsageError: not one file.
    """
    (path,) = _checked(files, 1)
    if not _is_pickle(path):
        lines = [line.split() for line in _lines(path)]
        count = len(lines[0])
        _require(path, "matching", lines, lambda line: len(line) == count >= 3 and "," not in line[0])
        return [MatchingList([line[0] for line in lines], [line[1:] for line in lines], (count - 1,))]
    entries = _entries(path, "matching", "match_list")
    if len(entries[0]) == 2:
        count = min(len(side) for side in entries[0])
        _require(path, "matching", entries, lambda e: len(e) == 2 and all(_texts(side, count) for side in e))
        sides = [[voices for voices, _ in entries], [faces for _, faces in entries]]
    else:
        _require(path, "matching", entries, lambda entry: _texts(entry, 6))
        sides = [[(entry[1], entry[4]) for entry in entries], [(entry[2], entry[5]) for entry in entries]]
    voices, faces = sides
    ways = tuple(range(2, len(voices[0]) + 1))
    return [
        MatchingList([side[0] for side in voices], faces, ways, "v2f"),
        MatchingList([side[0] for side in faces], voices, ways, "f2v"),
    ]


def read_verification(files: Sequence[Path]) -> list[VerificationList]:
    """Read a verification list.

    Args:
        files: one file, or a FAME test list and the file of scores for it, `<id> <distance>` a line, smaller is more
            alike. A text list has `a b`, or PINs' `id,voice id,face id,label,voice path,face path` with or without a
            header, or FAME's `<id> voice face`. A pickle of vfal-eva has `list`: [voice, face, label].

    Returns:
        One list.

    Raises:
        DatasetError: another form; a label against the ids on its line; ids of scores that are not those of the list.
        UsageError: more files.
    """
    paths = _checked(files, 2 if len(files) == 2 else 1)
    path = paths[0]
    if _is_pickle(path):
        entries = _entries(path, "verification", "list")
        _require(path, "verification", entries, lambda e: len(e) == 3 and _texts(e[:2], 2) and e[2] in (0, 1))
        return [VerificationList([(a, b) for a, b, _ in entries], [bool(label) for *_, label in entries])]
    lines = _lines(path)
    if "," in lines[0] and len(paths) == 1:
        return [_pins(path, [line.split(",") for line in lines])]
    cells = [line.split() for line in lines]
    if len(cells[0]) == 3:
        _require(path, "verification", cells, lambda line: len(line) == 3 and not _is_path(line[0]))
        pairs = [(a, b) for _, a, b in cells]
        scores = _fame_scores(paths[1], [line[0] for line in cells], path) if len(paths) == 2 else None
        return [VerificationList(pairs, None, scores)]
    _require(path, "verification", cells, lambda line: len(line) == 2 and all(map(_is_path, line)) and len(paths) == 1)
    return [VerificationList([(a, b) for a, b in cells])]


def read_retrieval(files: Sequence[Path]) -> list[RetrievalList]:
    """Read a retrieval list.

    Args:
        files: one file of two lines, queries and gallery (Wen); two files, queries and gallery, with a path at the end
            of each line and perhaps a header (CMPC); or a pickle of vfal-eva with `retrieval_lists`: groups of
            (voice, face, name), asked in both directions.

    Returns:
        One list, or one of each direction.

    Raises:
        DatasetError: another form.
        UsageError: more files.
    """
    paths = _checked(files, 2 if len(files) == 2 else 1)
    if len(paths) == 2:
        queries, gallery = (_column(path) for path in paths)
        return [RetrievalList([queries], [gallery])]
    (path,) = paths
    if _is_pickle(path):
        groups = _entries(path, "retrieval", "retrieval_lists")
        for group in groups:
            _require(path, "retrieval", group, lambda entry: _texts(entry, 3))
        voices, faces, names = ([[entry[k] for entry in group] for group in groups] for k in range(3))
        return [RetrievalList(voices, faces, "v2f", names), RetrievalList(faces, voices, "f2v", names)]
    lines = [line.split() for line in _lines(path)]
    _require(path, "retrieval", lines, lambda line: len(lines) == 2 and all(map(_is_path, line)))
    return [RetrievalList([lines[0]], [lines[1]])]


def _pins(path: Path, lines: list[list[str]]) -> VerificationList:
    lines = lines[1:] if "label" in (cell.strip() for cell in lines[0]) else lines
    cells = [[cell.strip() for cell in line] for line in lines]
    _require(path, "verification", cells, lambda line: len(line) == PINS_CELLS and line[3] in ("0", "1"))
    for line in cells:
        if (line[1] == line[2]) != (line[3] == "1"):
            raise DatasetError(f"labels of {path.name} that fit its ids", ",".join(line), "correct the list")
    return VerificationList([(line[4], line[5]) for line in cells], [line[3] == "1" for line in cells])


def _fame_scores(path: Path, ids: Sequence[str], list_path: Path) -> list[float]:
    """Negative distances in the order of the ids."""
    lines = [line.split() for line in _lines(path)]
    _require(path, "verification", lines, lambda line: len(line) == 2 and _is_number(line[1]))
    found = {name: -float(distance) for name, distance in lines}
    odd = sorted(set(ids) ^ set(found))
    if odd or len(found) < len(lines) or len(set(ids)) < len(ids):
        got = f"{len(ids)} and {len(lines)} lines, {len(odd)} ids of one file only" + "".join(
            f" ({x})" for x in odd[:1]
        )
        fix = "give the scores that were made for this list"
        raise DatasetError(f"one score in {path.name} for every id of {list_path.name}", got, fix)
    return [found[name] for name in ids]


def _column(path: Path) -> list[str]:
    lines = [line.split() for line in _lines(path)]
    lines = lines if _is_path(lines[0][-1]) else lines[1:]
    _require(path, "retrieval", lines, lambda line: len(line) <= 2 and _is_path(line[-1]))
    return [line[-1] for line in lines]


def _checked(files: Sequence[Path], most: int) -> list[Path]:
    paths = [Path(file) for file in files]
    if len(paths) != most:
        raise UsageError(
            "one list, or two files that belong together", f"{len(paths)} files", "evaluate them one by one"
        )
    for path in paths:
        if not path.is_file():
            raise DatasetError("a list", f"no file {path}", "correct the path")
    return paths


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(1) == b"\x80" or path.suffix.lower() in (".pkl", ".pickle")


def _is_path(text: str) -> bool:
    return "/" in text or re.fullmatch(r".+\.[A-Za-z]\w{1,3}", text) is not None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _texts(entry: Any, count: int) -> bool:
    """Whether an entry is so many texts."""
    return isinstance(entry, list | tuple) and len(entry) == count >= 2 and all(isinstance(t, str) for t in entry)


def _lines(path: Path) -> list[str]:
    """Lines that are not empty, at least one."""
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DatasetError(f"text or a pickle in {path}", str(error), "convert it to UTF-8") from error
    if not lines:
        raise DatasetError(f"lines in {path}", "an empty file", "copy it again")
    return lines


def _entries(path: Path, kind: str, key: str) -> list[Any]:
    """What a pickle holds under a key: entries that have a length, at least one."""
    content = load_plain(path)
    entries = content.get(key) if isinstance(content, dict) else None
    if (
        not isinstance(entries, list | tuple)
        or not entries
        or not all(isinstance(e, list | tuple) and e for e in entries)
    ):
        got = f"keys {', '.join(map(str, content))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise DatasetError(f"a {kind} list with `{key}` in {path.name}", got, f"give {FORMS[kind]}")
    return list(entries)


def _require(path: Path, kind: str, lines: Sequence[Any], fits: Any) -> None:
    """Refuse a list with a line of another form, and show that line.

    Raises:
        DatasetError: see there.
    """
    for number, line in enumerate(lines, 1):
        if not fits(line):
            shown = (" ".join(line) if all(isinstance(cell, str) for cell in line) else str(line))[:SHOWN]
            raise DatasetError(
                f"a {kind} list in a known form", f"{path.name}, line {number}: {shown}", f"give {FORMS[kind]}"
            )
    if not lines:
        raise DatasetError(f"a {kind} list in a known form", f"{path.name} without entries", f"give {FORMS[kind]}")
