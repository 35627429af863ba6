"""The reconstructions folder (docs/contracts.md): true and drawn faces of one split, with features and controls."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from s2f.datasets import Row
from s2f.errors import DatasetError

ABOUT = "reconstructions.json"
PICTURES = ("true", "f2f", "s2f", "nearest", "mean")
CONTROLS = ("nearest", "mean")
FIX = "write the folder with `s2f-eval reconstruct`, or as docs/contracts.md says"


@dataclass(frozen=True)
class Reconstructions:
    """A reconstructions folder.

    Attributes:
        root: the folder.
        about: content of reconstructions.json.
        people: row of people.csv by identity, sorted.
        seconds: how much of the voices was heard, increasing; each has its folder of features.
    """

    root: Path
    about: Mapping[str, Any]
    people: Mapping[str, Row]
    seconds: tuple[float, ...]

    def picture(self, kind: str, identity: str) -> Path:
        """One picture; `kind` is one of `PICTURES`."""
        return self.root / kind / f"{identity}.png"

    def features(self, name: str) -> Path:
        """Embeddings folder `features_<name>`: "3s", "6s", "nearest", "mean", "f2f" or "s2f"."""
        return self.root / f"features_{name}"


def seconds_name(seconds: float) -> str:
    """How a length is written in the name of a folder of features: 6.0 as "6s", 2.5 as "2.5s"."""
    return f"{seconds:g}s"


def read_reconstructions(folder: str | Path) -> Reconstructions:
    """Read and check a reconstructions folder; features and pictures are opened by whoever needs them.

    Args:
        folder: the folder.

    Returns:
        What it holds.

    Raises:
        DatasetError: a table or reconstructions.json is missing or damaged, nobody is in it, somebody is in it twice,
            or a picture is missing.
    """
    root = Path(folder)
    about = _read_about(root / ABOUT)
    path = root / "people.csv"
    if not path.is_file():
        raise DatasetError(f"a reconstructions folder with people.csv at {root}", "none", FIX)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "identity" not in rows[0]:
        raise DatasetError(f"people with a column identity in {path}", "none", FIX)
    people = {row["identity"]: row for row in sorted(rows, key=lambda row: row["identity"])}
    if len(people) < len(rows):
        raise DatasetError(f"one row for each person in {path}", f"{len(rows)} for {len(people)}", FIX)
    found = Reconstructions(root, about, people, tuple(float(value) for value in about["seconds"]))
    absent = [
        path for kind in PICTURES for path in (found.picture(kind, name) for name in people) if not path.is_file()
    ]
    if absent:
        raise DatasetError(
            f"a picture of every kind for {len(people)} people", f"{len(absent)} missing, {absent[0]}", FIX
        )
    return found


def _read_about(path: Path) -> dict[str, Any]:
    needed = ("checkpoint", "split", "split_hash", "seconds")
    if not path.is_file():
        raise DatasetError(f"a reconstructions folder with {ABOUT} at {path.parent}", "none", FIX)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"one JSON object in {path}", str(error), FIX) from error
    if not isinstance(about, dict):
        raise DatasetError(f"one JSON object in {path}", type(about).__name__, FIX)
    missing = [name for name in needed if name not in about]
    if missing or not _are_lengths(about["seconds"]):
        got = f"none named {', '.join(missing)}" if missing else f"seconds {about['seconds']!r}"
        raise DatasetError(f"{', '.join(needed)} (a list of increasing numbers above 0) in {path}", got, FIX)
    return about


def _are_lengths(seconds: Any) -> bool:
    if not isinstance(seconds, list) or not seconds:
        return False
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in seconds)
    return numbers and all(low < high for low, high in pairwise([0, *seconds]))
