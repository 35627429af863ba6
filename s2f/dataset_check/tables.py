"""What the tables of a dataset folder say about people and rows, checked without opening a file they name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

from s2f.dataset_check.findings import GROUPS, Found, shown
from s2f.dataset_check.lenient_tables import UNKNOWN_SPLIT, Contents, PersonRow, VoiceRow, seconds
from s2f.datasets import SPLITS

DESCRIBED = ("gender", "age", "ethnicity", "nationality", "language")
FREQUENT = 5
DECADE = 10


def check_people(contents: Contents, found: Found) -> None:
    """Look at the people one by one, and for speakers and videos that two splits share.

    Args:
        contents: what the tables say.
        found: takes what is wrong.
    """
    voiced = {row.identity for row in contents.voices}
    faced = voiced if contents.sharded else {row.identity for row in contents.faces}
    for identity, person in contents.people.items():
        if not person.split:
            found["person_without_split"].append(identity)
        elif person.split not in SPLITS:
            found["unknown_split"].append(f"{identity}: {person.split}")
        if person.gender not in ("m", "f", ""):
            found["odd_value"].append(f"{identity}: gender {person.gender}")
        if person.age and seconds(person.age) is None:
            found["odd_value"].append(f"{identity}: age {person.age}")
        if identity not in voiced and identity not in faced:
            found["person_without_both"].append(identity)
        elif identity not in voiced or identity not in faced:
            found["person_without_face" if identity in voiced else "person_without_voice"].append(identity)
    _check_leaks(contents, found)


def _check_leaks(contents: Contents, found: Found) -> None:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for identity in contents.people:
        splits_of[contents.speaker(identity)].add(contents.split(identity))
    found["speaker_in_two_splits"] += [name for name, splits in splits_of.items() if len(splits - {UNKNOWN_SPLIT}) > 1]
    people_of: dict[str, set[str]] = defaultdict(set)
    for rows in (contents.voices, contents.faces):
        for row in rows:
            if row.video:
                people_of[row.video].add(row.identity)
    for video, people in people_of.items():
        if len({contents.split(identity) for identity in people} - {UNKNOWN_SPLIT}) > 1:
            found["video_in_two_splits"].append(video)


def check_rows(contents: Contents, found: Found) -> None:
    """Look at the rows of voices.csv and faces.csv one by one.

    Args:
        contents: what the tables say.
        found: takes what is wrong.
    """
    for name, rows in (("voices.csv", contents.voices), ("faces.csv", contents.faces)):
        seen: set[Hashable] = set()
        for row in rows:
            if contents.people and row.identity not in contents.people:
                found["unknown_identity"].append(f"{name}: {row.identity}")
            key = (row.identity, row.path, *((row.start, row.audio_offset) if isinstance(row, VoiceRow) else ()))
            if key in seen:
                found["repeated_row"].append(f"{name}: {row.name}")
            seen.add(key)
    for voice in contents.voices:
        for cell in (voice.start_s, voice.duration_s):
            if cell and seconds(cell) is None:
                found["bad_number"].append(f"{voice.name}: {cell}")
    pictures = set()
    for face in contents.faces:
        pictures.add(face.path)
        if face.left or face.top or face.right or face.bottom:
            found["face_box"].append(face.path)
    extra = (contents.landmarks or set()) - pictures
    found["landmarks_without_picture"] += extra


def describe_people(contents: Contents) -> dict[str, dict[str, dict[str, Any]]]:
    """How people are spread over the values of `DESCRIBED`: see `s2f.dataset_check.findings.Findings.people`."""
    people: dict[str, list[PersonRow]] = {group: [] for group in GROUPS}
    for identity, person in contents.people.items():
        people[contents.split(identity)].append(person)
        people["all"].append(person)
    return {
        column: {
            group: _spread_over([_value(person, column) for person in members], column)
            for group, members in people.items()
            if members
        }
        for column in DESCRIBED
    }


def _value(person: PersonRow, column: str) -> str:
    """What is known, ages by decade; empty for unknown."""
    value: str = getattr(person, column)
    if column == "gender":
        return value if value in ("m", "f") else ""
    if column == "age":
        years = seconds(value) if value else None
        return "" if years is None else _decade(int(years))
    return shown(value.strip())


def _decade(years: int) -> str:
    first = years // DECADE * DECADE
    return f"{first}-{first + DECADE - 1}"


def _spread_over(values: list[str], column: str) -> dict[str, Any]:
    """Counts of a column's most frequent values; of all decades, in order."""
    known = Counter(filter(None, values))
    counts = most_frequent(known)
    if column == "age":
        counts = dict(sorted(known.items(), key=lambda entry: int(entry[0].partition("-")[0])))
    unknown, other = len(values) - known.total(), known.total() - sum(counts.values())
    return {"counts": counts, "other": other, "unknown": unknown, "unknown_share": unknown / len(values)}


def most_frequent(counts: Mapping[str, int], wanted: int | None = FREQUENT) -> dict[str, int]:
    """The most frequent entries, most frequent first, then by name.

    Args:
        counts: how often each occurs.
        wanted: how many; None for all.
    """
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:wanted])
