"""`s2f data check`: is a dataset folder whole and honest, what is in it, and what can it be used for."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from s2f.dataset_check.files import (
    Piece,
    check_contents,
    file_sizes,
    lengths,
    open_pictures,
    open_recordings,
    pieces_of,
)
from s2f.dataset_check.findings import COUNTED, GROUPS, KINDS, PURPOSES, Findings, Found, findings_of, shown
from s2f.dataset_check.lenient_tables import (
    UNKNOWN_SPLIT,
    Contents,
    ErrorRow,
    FaceRow,
    VoiceRow,
    read_contents,
    read_table,
    seconds,
)
from s2f.dataset_check.tables import check_people, check_rows, describe_people, most_frequent
from s2f.datasets import SPLITS, split_hash
from s2f.errors import UsageError

SUMMARY, PLAN, LEFT_OUT = "dataset.json", "plan.json", "errors.csv"


def check(folder: Path, progress: bool = True) -> Findings:
    """Examine a dataset folder, or a folder of feature shards, without changing anything.

    Nothing that is wrong with the folder stops the examination. Broken tables are read as far as they can be read.

    An error is what would stop training or evaluation, or make it dishonest: with any, the folder is usable for
    nothing. A warning is worth knowing. Without errors the folder is usable for

    - `train_s2f` if somebody of train and somebody of val has both a voice and a face, and nobody of train and val has
      a voice alone (`train_s2f.py` wants a face for every voice);
    - `train_face` if two people of train and one of val have pictures;
    - `evaluate` if somebody of val or test has a voice, and a picture or a row of truth.csv to compare it with.

    Pictures that are not square are a warning, but the networks refuse them: then it is usable for none of the three.

    Args:
        folder: the folder.
        progress: show progress bars, if standard error is a terminal.

    Returns:
        The findings; `usable` says whether the folder can be used for anything.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError("an existing dataset folder", f"none at {folder}", "check the spelling")
    found: Found = defaultdict(list)
    contents = read_contents(folder, found)
    check_people(contents, found)
    check_rows(contents, found)
    counts = _counts(contents)
    opened = _check_files(contents, counts, found, progress)
    left_out = _left_out(folder / LEFT_OUT, found)
    stored, notes = _read_summary(folder, found)
    missing = stored.get("missing")
    people_hash = _split_hash(contents)
    stored_hash = str(stored["split_hash"]) if stored.get("split_hash") else None
    if people_hash and stored_hash not in (None, people_hash):
        found["other_split_hash"].append(f"{stored_hash}, now {people_hash}")
    reasons = _not_usable_for(contents, found)
    return Findings(
        folder=str(folder),
        sharded=contents.sharded,
        counts=counts,
        people=describe_people(contents),
        quality={"voices.csv": _flags(contents.voices), "faces.csv": _flags(contents.faces)},
        left_out=left_out,
        missing=[shown(str(sentence)) for sentence in missing] if isinstance(missing, list) else [],
        opened=opened,
        split_hash=people_hash,
        stored_split_hash=stored_hash,
        notes=notes,
        findings=findings_of(found),
        usable_for=[purpose for purpose in PURPOSES if purpose not in reasons],
        not_usable_for=reasons,
    )


def _split_hash(contents: Contents) -> str | None:
    """Hash of people.csv; None without people, or with names that are not UTF-8."""
    try:
        return split_hash(person._asdict() for person in contents.people.values()) if contents.people else None
    except UnicodeEncodeError:
        return None


def _check_files(
    contents: Contents, counts: dict[str, dict[str, float]], found: Found, progress: bool
) -> dict[str, int]:
    """Look at the files of voices.csv and faces.csv, add the hours to the counts, and say how many were opened."""
    paths = [row.path for row in contents.voices] + [row.path for row in contents.faces]
    sizes = file_sizes(contents.root, paths, found, progress)
    voices = pieces_of(contents.voices, sizes, found)
    check_contents(contents, voices, contents.speaker, found, progress)
    _add_hours(counts, contents, voices, progress)
    faces = pieces_of(contents.faces, sizes, found)
    check_contents(contents, faces, str, found, progress)
    return {
        "recordings": open_recordings(contents.root, voices, found),
        "pictures": open_pictures(contents.root, (piece.path for piece in faces), found),
    }


def _not_usable_for(contents: Contents, found: Found) -> dict[str, str]:
    """Purposes that the folder cannot serve, and why; see `check`."""
    if any(KINDS[kind].severity == "error" for kind in found if found[kind]):
        return dict.fromkeys(PURPOSES, "there are errors")
    if found["not_square"]:
        return dict.fromkeys(PURPOSES, "pictures are not square")
    voiced, pictured = _by_split(contents, contents.voices), _by_split(contents, contents.faces)
    faced = voiced if contents.sharded else pictured
    reasons = {}
    lacking = [split for split in ("train", "val") if not voiced[split] & faced[split]]
    alone = sum(len(voiced[split] - faced[split]) for split in ("train", "val"))
    if lacking:
        reasons["train_s2f"] = f"nobody of {' or '.join(lacking)} has both a voice and a face"
    elif alone:
        reasons["train_s2f"] = f"it needs a face for every voice, and {alone} of train and val lack one"
    if len(pictured["train"]) < 2 or not pictured["val"]:
        reasons["train_face"] = "it needs pictures of two people of train and one of val"
    if not any(voiced[split] & (pictured[split] | contents.truth) for split in ("val", "test")):
        reasons["evaluate"] = "nobody of val or test has a voice and a picture, or a voice and a row of truth.csv"
    return reasons


def _by_split(contents: Contents, rows: Iterable[VoiceRow] | Iterable[FaceRow]) -> dict[str, set[str]]:
    """People of each split who have such a row."""
    people: dict[str, set[str]] = {name: set() for name in (*SPLITS, UNKNOWN_SPLIT)}
    for identity in {row.identity for row in rows} & contents.people.keys():
        people[contents.split(identity)].add(identity)
    return people


def _counts(contents: Contents) -> dict[str, dict[str, float]]:
    """Numbers of `COUNTED` by group, hours aside."""
    voiced, pictured = _by_split(contents, contents.voices), _by_split(contents, contents.faces)
    faced = voiced if contents.sharded else pictured
    counts: dict[str, dict[str, float]] = {name: dict.fromkeys(GROUPS, 0) for name in COUNTED}
    for group in voiced:
        counts["people_with_voice"][group] = len(voiced[group])
        counts["people_with_face"][group] = len(faced[group])
        counts["people_with_both"][group] = len(voiced[group] & faced[group])
    videos: dict[str, set[str]] = defaultdict(set)
    landmarks = contents.landmarks or set()
    for name, rows in (("recordings", contents.voices), ("pictures", contents.faces)):
        for row in rows:
            group = contents.split(row.identity)
            counts[name][group] += 1
            counts["landmarks"][group] += name == "pictures" and row.path in landmarks
            if row.video:
                videos[group].add(row.video)
    for identity in contents.people:
        counts["people"][contents.split(identity)] += 1
    for numbers in counts.values():
        numbers["all"] = sum(numbers.values())
    counts["videos"] |= {group: len(names) for group, names in videos.items()} | {
        "all": len(set().union(*videos.values()))
    }
    return counts


def _add_hours(
    counts: dict[str, dict[str, float]], contents: Contents, voices: Mapping[Piece, list[VoiceRow]], progress: bool
) -> None:
    """Add up lengths: what duration_s says, else what is left of the file after start_s."""
    times: dict[str, list[float]] = {group: [] for group in GROUPS}
    unknown = counts["recordings_of_unknown_length"]
    for row in contents.voices:
        group, duration = contents.split(row.identity), seconds(row.duration_s)
        if duration:
            times[group].append(duration)
        unknown[group] += not duration
    unmeasured = [piece for piece, rows in voices.items() if not all(seconds(row.duration_s) for row in rows)]
    for piece, length in lengths(contents.root, unmeasured, contents.sharded, progress).items():
        for row in voices[piece]:
            if not seconds(row.duration_s):
                group = contents.split(row.identity)
                times[group].append(max(0.0, length - row.start))
                unknown[group] -= 1
    times["all"] = [length for part in times.values() for length in part]
    unknown["all"] = sum(unknown.values())
    counts["hours"] = {group: math.fsum(times[group]) / 3600 for group in GROUPS}


def _flags(rows: Iterable[VoiceRow] | Iterable[FaceRow]) -> dict[str, int]:
    flags = Counter(shown(flag.strip()) for row in rows if row.quality for flag in row.quality.split(";"))
    return most_frequent(flags, None)


def _left_out(path: Path, found: Found) -> dict[str, dict[str, Any]]:
    """What errors.csv says: number and most frequent reasons by kind."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for row in read_table(path, ErrorRow, found)[0]:
        reasons[shown(row.kind)][shown(row.reason)] += 1
    return {kind: {"count": reasons[kind].total(), "reasons": most_frequent(reasons[kind])} for kind in sorted(reasons)}


def _read_summary(folder: Path, found: Found) -> tuple[dict[str, Any], list[str]]:
    """Content of dataset.json, empty if there is none that can be read; and notes on it."""
    path = folder / SUMMARY
    if not path.is_file():
        if (folder / PLAN).is_file():
            return {}, [f"{PLAN} without {SUMMARY}: the command that makes this folder has not finished"]
        return {}, [f"no {SUMMARY} says how this folder was made"]
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))), []
    except (OSError, TypeError, ValueError) as error:
        found["broken_dataset_json"].append(str(error))
        return {}, []
