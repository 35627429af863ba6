"""From the results of all jobs to the tables of a dataset folder."""

from __future__ import annotations

import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2f.datasets import SPLITS, Row, split_hash
from s2f.errors import OutputError
from s2f.prepare.jobs.plan import Job, Unused
from s2f.prepare.jobs.results import FOLDER, Media, Result, part_path, read_part
from s2f.runtime.files import write_csv

PEOPLE = ("identity", "gender", "age", "ethnicity", "nationality", "language", "split")
VOICES = ("identity", "path", "start_s", "duration_s", "video", "source", "quality")
BOX = ("left", "top", "right", "bottom")  # stays empty: the faces are cut out
FACES = ("identity", "path", "video", "frame_s", *BOX, "view", "source", "quality", "face_px", "faces_found")
LANDMARKS = ("path", *(f"{axis}{k}" for k in range(68) for axis in "xy"))
MEDIA = {"voices": ".flac", "faces": ".jpg"}
Done = tuple[Job, Result]


def write_tables(
    out: Path, people: Mapping[str, Row], done: Sequence[Done], unused: Sequence[Unused]
) -> dict[str, Any]:
    """Write people.csv, voices.csv, faces.csv, landmarks.csv and errors.csv.

    In a folder with voices and faces, people who have only one of them get no split: nothing can be trained on them.

    Args:
        out: the dataset folder.
        people: row of people.csv by identity; those without a used file are left out.
        done: all jobs and their results.
        unused: files that no job was made of.

    Returns:
        `split_hash` and `counts`, for dataset.json.
    """
    errors = [*unused, *(Unused(job.source.path, job.kind, why) for job, result in done for why in result["errors"])]
    written = [(job, media) for job, result in done for media in result["media"]]
    voices = _sorted(_row(job, media) for job, media in written if job.kind == "voice")
    faces = _sorted(_row(job, media) for job, media in written if job.kind == "face")
    points = {media["path"]: media["landmarks"] for _, media in written if media["landmarks"]}
    voiced, faced = ({row["identity"] for row in rows} for rows in (voices, faces))
    kept = [{**dict.fromkeys(PEOPLE, ""), **people.get(name, {}), "identity": name} for name in sorted(voiced | faced)]
    incomplete = voiced ^ faced if voiced and faced else set()
    for row in kept:
        row["split"] = "" if row["identity"] in incomplete else row["split"]
    _write(out / "people.csv", PEOPLE, kept)
    speech = ("speech_s",) if any("speech_s" in row for row in voices) else ()
    _write(out / "voices.csv", (*VOICES, *speech), voices)
    _write(out / "faces.csv", FACES, faces)
    write_csv(out / "errors.csv", Unused._fields, sorted(errors))
    landmarks = out / "landmarks.csv"
    if points:
        rows = (row["path"] for row in faces if row["path"] in points)
        write_csv(landmarks, LANDMARKS, ([path, *points[path].split(",")] for path in rows))
    else:
        landmarks.unlink(missing_ok=True)
    counts = {
        "people": len(kept),
        "people_without_files": len(set(people) - voiced - faced),
        "people_without_voice_or_face": len(incomplete),
        "splits": {split: sum(row["split"] == split for row in kept) for split in (*SPLITS, "")},
        "voices": len(voices),
        "hours": round(math.fsum(float(row["duration_s"]) for row in voices) / 3600, 3),
        "faces": len(faces),
        "landmarks": len(points),
        "errors": _counted(error.kind for error in errors),
        "flags": _counted(flag for row in (*voices, *faces) for flag in row["quality"].split(";") if flag),
    }
    return {"split_hash": split_hash(kept), "counts": counts}


def read_results(out: Path, jobs: Sequence[Job]) -> list[Done]:
    """Every job with its result, in the order of the jobs.

    Args:
        out: the dataset folder.
        jobs: the jobs.

    Raises:
        OutputError: a job without a result.
    """
    found: dict[str, Result] = {}
    for bucket in sorted({job.bucket for job in jobs}):
        found |= read_part(part_path(out, bucket))
    if lacking := [job.key for job in jobs if job.key not in found]:
        got = f"none for {len(lacking)} jobs, first {lacking[0]}"
        raise OutputError(f"a result of every job in {out / FOLDER}", got, "give the same command again")
    return [(job, found[job.key]) for job in jobs]


def sweep(out: Path, done: Iterable[Done]) -> None:
    """Remove what killed runs left behind, and media and results of sources that are gone.

    Args:
        out: the dataset folder.
        done: all jobs and their results; what these name is kept.
    """
    wanted: set[str] = set()
    for job, result in done:
        wanted |= {f"{FOLDER}/{job.bucket}.json", *(media["path"] for media in result["media"])}
    kept = {unicodedata.normalize("NFC", name) for name in wanted}
    for folder, ending in {**MEDIA, FOLDER: ".json"}.items():
        for place, _, names in os.walk(out / folder, topdown=False):
            for name in names:
                path = Path(place, name)
                known = unicodedata.normalize("NFC", path.relative_to(out).as_posix()) in kept
                if _temporary(name) or (name.endswith(ending) and not known):
                    path.unlink()
            if not os.listdir(place):
                os.rmdir(place)
    for path in out.iterdir():
        if _temporary(path.name):
            path.unlink()


def _temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")  # see s2f.runtime.files.write_bytes


def _row(job: Job, media: Media) -> Row:
    source = job.source
    known = {"identity": source.identity, "path": media["path"], "video": source.video, "source": source.path}
    if job.kind == "face":
        known["view"] = "wild"
    return {**source.columns, **known, **media["cells"]}


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["identity"], row["source"], row["path"]))


def _write(path: Path, first: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table: known columns in their order, then the others by name."""
    others = sorted({name for row in rows for name in row} - set(first))
    write_csv(path, (*first, *others), ([row.get(name, "") for name in (*first, *others)] for row in rows))


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
