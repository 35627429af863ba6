"""The dataset folder: UTF-8 CSV files that every preparation writes and every tool reads (docs/contracts.md)."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from s2f.audio import load
from s2f.errors import DatasetError

Row = dict[str, str]
SPLITS = ("train", "val", "test")
REQUIRED = {
    "people.csv": ("identity",),
    "voices.csv": ("identity", "path"),
    "faces.csv": ("identity", "path"),
    "truth.csv": ("identity",),
}
PEOPLE_COLUMNS = ("gender", "age", "ethnicity", "nationality", "language", "split", "speaker")  # beside identity
TABLES = ("people.csv", "voices.csv", "faces.csv", "landmarks.csv", "truth.csv")
MEMBER_BEGINS = {"audio": b"fLaC", "face": b"\x93NUMPY"}
INDEX_AGAIN = "copy the tar again, or index the folder anew with `s2f shards --index FOLDER`"
Recording = tuple[str, ...]


def split_hash(people: Iterable[Row]) -> str:
    """SHA-256 of the sorted `identity,split` lines: two runs with the same hash used the same people."""
    lines = sorted(f"{row['identity']},{row['split']}" for row in people)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_member(root: Path, row: Row, member: Literal["audio", "face"]) -> bytes:
    """Bytes of one member of a sample that lies in a tar.

    Args:
        root: dataset folder of feature shards.
        row: row of its voices.csv: `path` is the tar, `<member>_offset` and `<member>_bytes` the place within.
        member: the recording (FLAC) or the face feature (npy).

    Raises:
        DatasetError: no such tar, a tar that ends too early, or another thing at that place.
    """
    path, begin = root / row["path"], MEMBER_BEGINS[member]
    try:
        offset, count = int(row[f"{member}_offset"]), int(row[f"{member}_bytes"])
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(count)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{member}_offset and {member}_bytes within {path}", repr(error), INDEX_AGAIN) from error
    if len(content) != count or not content.startswith(begin):
        got = f"{len(content)} bytes that begin with {content[: len(begin)]!r}"
        raise DatasetError(f"{count} bytes of {member} at byte {offset} of {path}", got, INDEX_AGAIN)
    return content


class DatasetFolder:
    """A dataset folder opened for reading.

    Attributes:
        root: the folder.
        people: row of people.csv by identity.
        split_hash: see `split_hash`.
    """

    def __init__(self, root: str | Path) -> None:
        """Read and check people.csv; the other files are read when asked for.

        Args:
            root: the folder.

        Raises:
            DatasetError: a file or column is missing, an identity appears twice, or a split is unknown.
        """
        self.root = Path(root)
        self.people: dict[str, Row] = {}
        for row in self._read("people.csv"):
            if row["identity"] in self.people:
                raise DatasetError("one row per identity in people.csv", f"{row['identity']} twice", "merge the rows")
            if row.setdefault("split", "") not in (*SPLITS, ""):
                raise DatasetError(
                    f"a split of {', '.join(SPLITS)} (or none) in people.csv", f"{row['split']!r}", "correct the column"
                )
            self.people[row["identity"]] = row
        self.split_hash = split_hash(self.people.values())

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over names, sizes and bytes of those of `TABLES` that exist; it knows no sound and no pictures."""
        digest = hashlib.sha256()
        for path in (self.root / name for name in TABLES):
            if path.is_file():
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()

    @cached_property
    def sharded(self) -> bool:
        """Whether sound and face features lie in tars (docs/contracts.md, feature shards).

        Raises:
            DatasetError: no voices.csv.
        """
        with self._table("voices.csv").open(encoding="utf-8", newline="") as file:
            return {"key", "face_offset"} <= set(next(csv.reader(file), ()))

    def _table(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            fix = "make one with `s2f prepare` or `s2f simulate`, or check the path"
            if name == "truth.csv":
                fix = "only `s2f simulate` knows the truth; with real people take a recipe that does without it"
            if name in ("people.csv", "voices.csv") and any(self.root.glob("*.tar")):
                fix = f"the shards have no index: run `s2f shards --index {self.root}`"
            raise DatasetError(f"a dataset folder with {name}", f"none at {path}", fix)
        return path

    def _read(self, name: str) -> list[Row]:
        path = self._table(name)
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(REQUIRED.get(name, ())) - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(
                    f"columns {', '.join(REQUIRED[name])} in {path}",
                    f"none named {', '.join(sorted(missing))}",
                    "add them",
                )
            return list(reader)

    def identities(self, *splits: str) -> list[str]:
        """Identities of the given splits, sorted."""
        return sorted(name for name, row in self.people.items() if row["split"] in splits)

    def voices(self, *splits: str) -> list[Row]:
        """Rows of voices.csv whose identity is in the given splits."""
        return self._of("voices.csv", splits)

    def faces(self, *splits: str) -> list[Row]:
        """Rows of faces.csv whose identity is in the given splits.

        Raises:
            DatasetError: none, or pictures that are not cropped yet: a face box is filled.
        """
        rows = self._of("faces.csv", splits)
        boxed = next((row for row in rows if any(row.get(side) for side in ("left", "top", "right", "bottom"))), None)
        if boxed is not None:
            fix = "crop them: `s2f prepare folders DIR OUT` does"
            raise DatasetError("cropped faces in faces.csv", f"a face box for {boxed['path']}", fix)
        return rows

    def canonical_faces(self, *splits: str) -> dict[str, Row]:
        """The canonical face of each identity of the given splits.

        Raises:
            DatasetError: an identity has none.
        """
        faces = {row["identity"]: row for row in self.faces(*splits) if row.get("view") == "canonical"}
        lacking = [name for name in self.identities(*splits) if name not in faces]
        if lacking:
            raise DatasetError(
                "a face with view=canonical for every identity",
                f"none for {len(lacking)} of them, first {lacking[0]}",
                "decoder training needs normalised faces; make them with `s2f simulate` or your own alignment",
            )
        return faces

    def _of(self, name: str, splits: tuple[str, ...]) -> list[Row]:
        wanted = set(self.identities(*splits))
        rows = [row for row in self._read(name) if row["identity"] in wanted]
        if not rows:
            raise DatasetError(
                f"rows of {name} for split {'/'.join(splits)}", "none", "fill the split column of people.csv"
            )
        return rows

    def path(self, row: Row) -> Path:
        """Absolute or folder-relative path of a row's file."""
        return self.root / row["path"]

    def voice(self, row: Row, sample_rate_hz: int) -> np.ndarray:
        """Waveform of a row of voices.csv: the part from `start_s` on, `duration_s` long, where the row gives them.

        A row with `audio_offset` is read from its tar.

        Args:
            row: row of voices.csv.
            sample_rate_hz: wanted rate.

        Returns:
            (S,) float32 mono.

        Raises:
            AudioError: see `s2f.audio.load`.
            DatasetError: the part lies outside the recording, or see `read_member`.
        """
        source = read_member(self.root, row, "audio") if row.get("audio_offset") else self.path(row)
        waveform = load(source, sample_rate_hz).waveform
        first = round(float(row.get("start_s") or 0) * sample_rate_hz)
        count = round(float(row.get("duration_s") or 0) * sample_rate_hz) or len(waveform)
        part = waveform[first : first + count]
        if not len(part):
            got = f"start_s {row.get('start_s')} of {len(waveform) / sample_rate_hz:.2f} s in {row['path']}"
            raise DatasetError("a start within the recording", got, "correct voices.csv")
        return part

    def truth(self, identities: Iterable[str], *columns: str) -> list[Row]:
        """Rows of truth.csv, in the order of the identities.

        Args:
            identities: whose rows.
            columns: those that must be there and filled.

        Raises:
            DatasetError: the file, a column, a row or a value is missing.
        """
        rows = {row["identity"]: row for row in self._read("truth.csv")}
        known = set(next(iter(rows.values()), {}))
        if lacking := [name for name in columns if name not in known]:
            fix = "make the folder again with this version's `s2f simulate`"
            raise DatasetError(f"columns {', '.join(columns)} in truth.csv", f"none named {', '.join(lacking)}", fix)
        chosen = []
        for identity in identities:
            if not all((rows.get(identity) or {}).get(name) for name in columns):
                raise DatasetError("a full row in truth.csv for everybody", f"none for {identity}", "add it")
            chosen.append(rows[identity])
        return chosen

    def landmarks(self) -> dict[str, np.ndarray]:
        """Landmarks (68, 2) in pixels by face path, from landmarks.csv."""
        found: dict[str, np.ndarray] = {}
        for row in self._read("landmarks.csv"):
            values = [float(value) for name, value in row.items() if name != "path"]
            found[row["path"]] = np.asarray(values, dtype=np.float32).reshape(-1, 2)
        return found

    def landmarks_of(self, rows: Iterable[Row]) -> np.ndarray:
        """Landmarks (N, 68, 2) of the pictures of N rows.

        Raises:
            DatasetError: a picture without landmarks.
        """
        known = self.landmarks()
        paths = [row["path"] for row in rows]
        missing = [path for path in paths if path not in known]
        if missing:
            got = f"none for {len(missing)} of them, first {missing[0]}"
            raise DatasetError("landmarks of every canonical face in landmarks.csv", got, "add the missing rows")
        return np.stack([known[path] for path in paths])


def by_identity(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by identity, keeping their order."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["identity"]].append(row)
    return dict(groups)


def numbers(rows: Iterable[Row], column: str, positive: bool = False) -> np.ndarray:
    """One column as (N,) float64.

    Raises:
        DatasetError: a value that is not a finite number, or not above 0 where that is asked for.
    """
    values = []
    for row in rows:
        try:
            value = float(row[column])
        except ValueError:
            value = np.nan
        if not np.isfinite(value) or (positive and value <= 0):
            kind = "positive numbers" if positive else "numbers"
            raise DatasetError(f"{kind} in column {column}", repr(row[column]), "correct the table")
        values.append(value)
    return np.array(values)


def recording_of(row: Row) -> Recording:
    """What makes rows of voices.csv the same sound: path, start and duration, or the place in a shard."""
    names = ("path", "start_s", "duration_s", *(["audio_offset"] if row.get("audio_offset") else []))
    return tuple(row.get(name, "") for name in names)


def name_of(row: Row) -> str:
    """What to call the file of a row in a message: its path, or tar and key of a sample in a shard."""
    return f"{row['path']}:{row['key']}" if row.get("audio_offset") else row["path"]
