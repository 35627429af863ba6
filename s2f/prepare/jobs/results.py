"""Results of jobs, kept in many small files so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import TypedDict

from s2f.datasets import Row
from s2f.runtime.files import write_text

FOLDER = "parts"


class Media(TypedDict):
    """One written file.

    Attributes:
        path: relative to the dataset folder.
        bytes: its size.
        cells: what the tables say about it.
        landmarks: its row of landmarks.csv, without the path; empty without landmarks.
    """

    path: str
    bytes: int
    cells: Row
    landmarks: str


class Result(TypedDict):
    """What became of a job.

    Attributes:
        size: of the source, in bytes; None if there is no such file.
        mtime_ns: when it was changed.
        media: what was written.
        errors: a reason for everything that could not be used.
    """

    size: int | None
    mtime_ns: int | None
    media: list[Media]
    errors: list[str]


def part_path(out: Path, bucket: str) -> Path:
    """Where the results of a bucket lie."""
    return out / FOLDER / f"{bucket}.json"


def read_part(path: Path) -> dict[str, Result]:
    """Results by job key; none if there is no such file or it is damaged: then they are made again."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_part(path: Path, results: Mapping[str, Result]) -> None:
    """Store the results of a bucket in one step."""
    write_text(path, json.dumps(results, sort_keys=True, ensure_ascii=False))


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change of a file, in nanoseconds.

    Raises:
        OSError: there is no such file, or it may not be looked at.
    """
    found = path.stat()
    if not S_ISREG(found.st_mode):  # opening a pipe waits for ever
        raise OSError(errno.EINVAL, "not a file")
    return found.st_size, found.st_mtime_ns


def still_good(result: Result, source: Path, out: Path) -> bool:
    """Whether a job need not be done again: no error, the same source, and all that it wrote is there.

    Args:
        result: of an earlier run.
        source: the file that was read.
        out: the dataset folder.
    """
    try:
        if result["errors"] or stamp(source) != (result["size"], result["mtime_ns"]):
            return False
        return all(os.stat(out / media["path"]).st_size == media["bytes"] for media in result["media"])
    except (OSError, KeyError, TypeError):
        return False
