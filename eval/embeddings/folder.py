"""Read the embeddings folder (docs/contracts.md): vectors stay on disk, what cannot be used is refused or counted."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from eval.metrics.scores import CrossScores, Metric, VectorScores
from eval.results import Direction
from s2f.datasets import PEOPLE_COLUMNS, split_hash
from s2f.errors import DatasetError

BLOCK = 2**22  # numbers read at a time
SHOWN = 3  # examples in a message


class KeptRows:
    """Some rows of an array that stays where it is, perhaps on disk.

    Args:
        vectors: (N, D).
        kept: (K,) indices of the rows.
    """

    def __init__(self, vectors: np.ndarray, kept: Int[np.ndarray, " K"]) -> None:
        self._vectors, self._kept = vectors, kept
        self.shape = (len(kept), vectors.shape[1])
        self.size = len(kept) * vectors.shape[1]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self._vectors[self._kept[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._vectors[self._kept], dtype)


@dataclass(frozen=True)
class Samples:
    """One modality of an embeddings folder, without what was left out.

    Attributes:
        name: voice or face.
        vectors: (N, D) float, possibly memory-mapped; index it, or make an array of it with `np.asarray`.
        identity: (N,) index of each row's person in `Embeddings.identities`.
        columns: (N,) cells of every column of the table.
    """

    name: str
    vectors: np.ndarray | KeptRows
    identity: Int[np.ndarray, " N"]
    columns: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Embeddings:
    """An embeddings folder.

    Attributes:
        voice: voices of the people.
        face: their faces.
        identities: J people who have both, sorted.
        metric: cosine, l2 or l1; joint for features that a head scores.
        split_hash: of the dataset folder, or of the people if embeddings.json does not say.
        about: content of embeddings.json, empty without one.
        notes: what was left out and how much of it, a sentence each.
    """

    voice: Samples
    face: Samples
    identities: tuple[str, ...]
    metric: Metric | Literal["joint"]
    split_hash: str
    about: Mapping[str, Any]
    notes: tuple[str, ...]

    def cross(self, direction: Direction) -> CrossScores:
        """Scores of every probe with every candidate; v2f has voices as probes, f2v faces."""
        if self.metric == "joint":
            fix = "evaluate it with `s2f-eval matching`, which asks the head"
            raise DatasetError("embeddings compared by cosine, l2 or l1", "features of a joint scorer", fix)
        probe, candidate = (self.voice, self.face) if direction == "v2f" else (self.face, self.voice)
        scores = VectorScores(probe.vectors, candidate.vectors, self.metric)  # type: ignore[arg-type]
        return CrossScores(scores, probe.identity, candidate.identity, len(self.identities))


def read_embeddings(folder: str | Path, metric: Metric | None = None, skip_bad: bool = False) -> Embeddings:
    """Read and check an embeddings folder.

    Args:
        folder: the folder.
        metric: how two vectors are compared; None takes what embeddings.json says, cosine without one.
        skip_bad: leave out rows that are not finite, zero (under the cosine) or given twice, and count them, instead of
            refusing the folder. People who lack a voice or a face are always left out and counted.

    Returns:
        What can be evaluated.

    Raises:
        DatasetError: something is missing, does not fit together, or cannot be used; or fewer than two people are left.
    """
    root = Path(folder)
    about = _read_about(root / "embeddings.json")
    chosen = metric or about.get("metric", "cosine")
    sides = {name: _read_side(root, name) for name in ("voice", "face")}
    _check_sizes(sides, chosen)
    left_out = {name: len(about.get(name, {}).get("left_out", ())) for name in sides}
    notes = [f"{count} {name} files left out by s2f embed" for name, count in left_out.items() if count]
    usable = {}
    for name, (vectors, columns) in sides.items():
        usable[name], said = _usable(name, vectors, columns, chosen, skip_bad)
        notes += said
    people = {name: {side[1]["identity"][row] for row in np.flatnonzero(usable[name])} for name, side in sides.items()}
    identities = tuple(sorted(people["voice"] & people["face"]))
    for name, other in (("voice", "face"), ("face", "voice")):
        if alone := people[name] - people[other]:
            notes.append(f"{len(alone)} people without a {other} left out")
    if len(identities) < 2:
        fix = "give embeddings of at least two people, each with a voice and a face"
        raise DatasetError("two people with a voice and a face", f"{len(identities)} in {root}", fix)
    kept = {name: _kept(name, *side, usable[name], identities) for name, side in sides.items()}
    hashed = about.get("split_hash") or split_hash({"identity": name, "split": ""} for name in identities)
    return Embeddings(kept["voice"], kept["face"], identities, chosen, hashed, about, tuple(notes))


def _read_about(path: Path) -> dict[str, Any]:
    """Content of embeddings.json, empty if there is none."""
    try:
        about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise DatasetError(f"JSON in {path}", str(error), "write it again, or remove it") from error
    if not isinstance(about, dict):
        raise DatasetError(f"one JSON object in {path}", type(about).__name__, "write it again, or remove it")
    return about


def _existing(path: Path) -> Path:
    if not path.is_file():
        fix = "write the folder with `s2f embed`, or as docs/contracts.md says"
        raise DatasetError(f"an embeddings folder with {path.name}", f"none at {path.parent}", fix)
    return path


def _read_side(root: Path, name: str) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Vectors and columns of a modality, as they are."""
    path = _existing(root / f"{name}.npy")
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(vectors, np.ndarray):
            raise ValueError("an archive of several arrays")
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"an array in {path}", f"an unreadable file ({error})", "write it again") from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        got = f"{vectors.dtype} of shape {vectors.shape}"
        raise DatasetError(f"floating-point vectors (N, D) in {path}", got, "write it with numpy.save")
    columns = _read_columns(_existing(root / f"{name}.csv"))
    if len(columns["identity"]) != len(vectors):
        got = f"{len(columns['identity'])} rows for {len(vectors)} vectors"
        raise DatasetError(f"a row of {name}.csv for every vector of {name}.npy", got, "write both again")
    return vectors, columns


def _read_columns(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if "identity" not in header:
            raise DatasetError(f"a column identity in {path}", ", ".join(header) or "no header", "add it")
        columns: dict[str, list[str]] = {name: [] for name in header}
        for number, row in enumerate(reader, 2):
            if len(row) != len(header):
                got = f"{len(row)} on line {number}"
                raise DatasetError(f"{len(header)} cells on every line of {path}", got, "correct the line")
            for cells, cell in zip(columns.values(), row, strict=True):
                cells.append(cell)
    if empty := [number for number, name in enumerate(columns["identity"], 2) if not name.strip()]:
        raise DatasetError(f"an identity on every line of {path}", f"none on line {empty[0]}", "name the person")
    return columns


def _check_sizes(sides: Mapping[str, tuple[np.ndarray, Any]], metric: str) -> None:
    known = ("cosine", "l2", "l1", "joint")
    if metric not in known:
        raise DatasetError(f"a metric {', '.join(known)}", repr(metric), "correct embeddings.json or give --metric")
    sizes = {name: vectors.shape[1] for name, (vectors, _) in sides.items()}
    if metric != "joint" and sizes["voice"] != sizes["face"]:
        got = f"{sizes['voice']} and {sizes['face']}"
        raise DatasetError("voices and faces in a space of one size D", got, "embed both with the same model")


def _usable(
    name: str, vectors: np.ndarray, columns: Mapping[str, Sequence[str]], metric: str, skip_bad: bool
) -> tuple[Bool[np.ndarray, " N"], list[str]]:
    """Rows that can be used, and a sentence for each kind that cannot.

    Raises:
        DatasetError: there are such rows and they may not be skipped; or one sample is given to two people.
    """
    finite, zero = _faults(vectors)
    faults = {"not finite": ~finite, "given twice": _repeated(name, columns)}
    if metric == "cosine":
        faults["zero"] = zero & finite
    usable, notes = np.ones(len(vectors), bool), []
    for kind, bad in faults.items():
        if not bad.any():
            continue
        lines = ", ".join(str(row) for row in np.flatnonzero(bad)[:SHOWN])
        if not skip_bad:
            got = f"{bad.sum()} that are {kind}, first rows {lines} (counted from 0)"
            fix = "mend them, or leave them out with --skip_bad"
            raise DatasetError(f"usable, different rows in {name}.npy and {name}.csv", got, fix)
        notes.append(f"{bad.sum()} {name} rows that are {kind} left out")
        usable &= ~bad
    return usable, notes


def _faults(vectors: np.ndarray) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Which rows are finite, and which are all zero; read block by block."""
    finite, zero = np.ones(len(vectors), bool), np.zeros(len(vectors), bool)
    step = max(1, BLOCK // max(vectors.shape[1], 1))
    for first in range(0, len(vectors), step):
        block = np.asarray(vectors[first : first + step])
        finite[first : first + step] = np.isfinite(block).all(1)
        zero[first : first + step] = ~block.any(1)
    return finite, zero


def _repeated(name: str, columns: Mapping[str, Sequence[str]]) -> Bool[np.ndarray, " N"]:
    """Rows whose cells all stood before; only tables with a path can tell samples apart.

    Raises:
        DatasetError: the same sample under two people.
    """
    count = len(columns["identity"])
    repeated = np.zeros(count, bool)
    if "path" not in columns:
        return repeated
    described = [cells for column, cells in columns.items() if column not in ("identity", *PEOPLE_COLUMNS)]
    owner: dict[tuple[str, ...], str] = {}
    for number, sample in enumerate(zip(*described, strict=True)):
        name_before = owner.get(sample)
        if name_before not in (None, columns["identity"][number]):
            got = f"{columns['path'][number]} of {name_before} and of {columns['identity'][number]}"
            raise DatasetError(f"one person for every sample of {name}.csv", got, "remove the wrong row")
        repeated[number] = name_before is not None
        owner[sample] = columns["identity"][number]
    return repeated


def _kept(
    name: str,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[str]],
    usable: Bool[np.ndarray, " N"],
    identities: Sequence[str],
) -> Samples:
    """The usable rows of the people that are evaluated."""
    index = {identity: place for place, identity in enumerate(identities)}
    places = np.array([index.get(identity, -1) for identity in columns["identity"]])
    good = usable & (places >= 0)
    if good.all():
        return Samples(name, vectors, places, columns)
    rows = np.flatnonzero(good)
    chosen = {column: list(compress(cells, good)) for column, cells in columns.items()}
    return Samples(name, KeptRows(vectors, rows), places[rows], chosen)
