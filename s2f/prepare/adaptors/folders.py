"""Your own recordings, films and pictures: a folder per person, or tables that say what is whose."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from s2f.datasets import SPLITS, Row
from s2f.prepare.adaptors.celebrity_folders import text_files
from s2f.prepare.sources.found import (
    AUDIO,
    PICTURES,
    VIDEO,
    Adaptor,
    FaceSource,
    Sources,
    Tables,
    VoiceSource,
    is_film,
    require_root,
    require_some,
)
from s2f.prepare.sources.people_tables import GENDERS
from s2f.prepare.sources.published_tables import bad_line, table_rows

LAYOUT = (
    "<person>/**: sound, films and pictures; a film gives voice and face, a folder below the person's is a video",
    "people.csv (optional): identity, gender, age, ethnicity, nationality, language, split, further columns",
    "voices.csv (optional; then only its rows are taken): identity, path, start_s, duration_s, video",
    "faces.csv (optional; then only its rows are taken): identity, path, video, frame_s, left, top, right, bottom",
)
BOX = ("left", "top", "right", "bottom")
_OWN = ("identity", "path", "video", "source", "quality")  # columns that `s2f prepare` fills itself
_VOICE_COLUMNS = (*_OWN, "start_s", "duration_s", "speech_s")
_FACE_COLUMNS = (*_OWN, "frame_s", *BOX, "view", "face_px", "faces_found")


def scan(root: Path, tables: Tables) -> Sources:
    """Find the files of every person.

    Args:
        root: folder of the people's folders; the tables' paths are relative to it.
        tables: people.csv, voices.csv and faces.csv that do not lie in `root`.

    Returns:
        What the tables list, and for a kind without a table what lies in the people's folders. A picture that faces.csv
        lists without a box is taken as cropped.

    Raises:
        DatasetError: nothing found, or a damaged table.
        UsageError: no such folder.
    """
    sources = Sources(require_root(root))
    tables = replace(tables, folders=(root,))
    voices, faces = tables.find("voices.csv"), tables.find("faces.csv")
    if voices is not None:
        _listed_voices(sources, voices)
    if faces is not None:
        _listed_faces(sources, faces)
    if voices is None or faces is None:
        _lying(sources, voices is None, faces is None)
    _people(sources, tables.find("people.csv"))
    return require_some(sources, "people's folders", LAYOUT)


def _lying(sources: Sources, voices: bool, faces: bool) -> None:
    """Take what lies in the people's folders.

    Args:
        sources: to add to.
        voices: take voices.
        faces: take faces.
    """
    wanted = (*(AUDIO if voices else ()), *VIDEO, *(PICTURES if faces else ()))
    for path in text_files(sources, wanted):
        identity, *between, name = path.split("/") if "/" in path else ("", path)
        film = is_film(name)
        video = "/".join(between) or (Path(name).stem if film else "")
        if not identity:
            sources.passed_over.append((path, "it lies in no person's folder"))
            continue
        if voices and (film or name.lower().endswith(AUDIO)):
            sources.voices.append(VoiceSource(identity, path, video))
        if faces and (film or name.lower().endswith(PICTURES)):
            sources.faces.append(FaceSource(identity, path, video))


def _listed_voices(sources: Sources, table: Path) -> None:
    for number, path, row in _listed(sources, table, AUDIO + VIDEO):
        start, duration = (_number(table, number, row, name) for name in ("start_s", "duration_s"))
        if min(start or 0, duration or 0) < 0:
            raise bad_line(table, number, "a start_s and a duration_s of at least 0", f"{start} and {duration}")
        end = None if not duration else (start or 0) + duration
        further = {name: value for name, value in row.items() if name not in _VOICE_COLUMNS}
        sources.voices.append(VoiceSource(row["identity"], path, row.get("video", ""), start or 0.0, end, further))


def _listed_faces(sources: Sources, table: Path) -> None:
    for number, path, row in _listed(sources, table, PICTURES + VIDEO):
        box = _box(table, number, row)
        further = {name: value for name, value in row.items() if name not in _FACE_COLUMNS}
        source = FaceSource(row["identity"], path, row.get("video", ""), "scene", columns=further)
        if box is None and path.lower().endswith(PICTURES):
            source = replace(source, framing="crop")
        sources.faces.append(replace(source, box=box, frame_s=_number(table, number, row, "frame_s")))


def _listed(sources: Sources, table: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[int, str, Row]]:
    """Number of the line, path below the root, and row, of every row whose file is there."""
    root = os.path.abspath(sources.root)
    for number, row in table_rows(table, "identity", "path"):
        if not row["identity"] or not row["path"]:
            raise bad_line(table, number, "an identity and a path", row)
        path = os.path.relpath(os.path.join(root, row["path"]), root).replace(os.sep, "/")
        if path.split("/")[0] == "..":
            sources.passed_over.append((row["path"], f"line {number} of {table.name} leads out of the folder"))
        elif not path.lower().endswith(suffixes):
            sources.passed_over.append((path, f"line {number} of {table.name}: not one of {', '.join(suffixes)}"))
        elif not (sources.root / path).is_file():
            sources.passed_over.append((path, f"line {number} of {table.name} names it, and it is not there"))
        else:
            yield number, path, row


def _number(table: Path, number: int, row: Row, column: str) -> float | None:
    """A cell as a number, None if it is empty or absent."""
    text = row.get(column, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise bad_line(table, number, f"a number or nothing in column {column}", repr(text))
    return value


def _box(table: Path, number: int, row: Row) -> tuple[float, float, float, float] | None:
    edges = [_number(table, number, row, name) for name in BOX]
    left, top, right, bottom = edges
    if left is None or top is None or right is None or bottom is None:
        if any(edge is not None for edge in edges):
            raise bad_line(table, number, f"all of {', '.join(BOX)}, or none", edges)
        return None
    if not (left < right and top < bottom):
        raise bad_line(table, number, "a face box with left < right and top < bottom", edges)
    return left, top, right, bottom


def _people(sources: Sources, table: Path | None) -> None:
    """Fill people: everybody who has a file, with the row of people.csv, whatever Unicode form the names have."""
    known = {} if table is None else _known(table)
    identities = sorted({one.identity for one in sources.voices} | {one.identity for one in sources.faces})
    unknown = [identity for identity in identities if _same(identity) not in known]
    sources.people = {identity: known.get(_same(identity), {}) | {"identity": identity} for identity in identities}
    if table is not None and unknown:
        sources.missing.append(f"people.csv does not name {len(unknown)} of the people, first {unknown[0]}")
    if without := sorted(set(known) - {_same(identity) for identity in identities}):
        sources.missing.append(f"{len(without)} people of people.csv have no files, first {without[0]}")


def _known(table: Path) -> dict[str, Row]:
    known: dict[str, Row] = {}
    for number, row in table_rows(table, "identity"):
        identity, gender = _same(row["identity"]), row.get("gender", "").lower()
        if not identity or identity in known:
            raise bad_line(table, number, "one line per identity", repr(row["identity"]))
        if gender not in GENDERS or row.get("split", "") not in (*SPLITS, ""):
            expected = f"a gender of m, f or nothing, and a split of {', '.join(SPLITS)} or nothing"
            raise bad_line(table, number, expected, row)
        known[identity] = row | {"gender": GENDERS[gender]}
    return known


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name)


ADAPTOR = Adaptor(
    name="folders",
    title="your own files, a folder per person",
    layout=LAYOUT,
    licence="yours to know",
    needs="gender in people.csv for evaluation; films need s2f[codecs]. "
    "A dataset folder whose pictures are not cropped is read too.",
    scan=scan,
)
