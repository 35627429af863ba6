"""Feature shards: a dataset folder whose sound and face features lie in WebDataset tars (docs/contracts.md).

`s2f shards` writes such a folder. `s2f shards --index` indexes tars that were made elsewhere: it writes voices.csv, and
people.csv where there is none.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from encoders.face.base import FaceEncoder
from s2f.datasets import INDEX_AGAIN, PEOPLE_COLUMNS, DatasetFolder, Row, read_member
from s2f.errors import DatasetError, OutputError, S2fError
from s2f.runtime.files import write_csv

KINDS = ("flac", "face.npy", "json")
PLACE = ("path", "key", "audio_offset", "audio_bytes", "face_offset", "face_bytes")
ORIGIN = ("split", "voice", "face")
CUT = ("start_s", "duration_s")
PERSON = ("identity", *PEOPLE_COLUMNS)
PLAN, SUMMARY = "plan.json", "dataset.json"


def shard_name(split: str, number: int) -> str:
    """File name of the n-th tar of a split."""
    return f"{split}-{number:06d}.tar"


def read_plan(folder: Path) -> dict[str, Any]:
    """What a folder of shards was begun with.

    Raises:
        OutputError: the file is missing or damaged.
    """
    try:
        return dict(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        fix = "give a new folder, or copy the file again"
        raise OutputError(f"the settings of `s2f shards` in {folder / 'plan.json'}", repr(error), fix) from error


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a table; the columns stand in the order in which they are first met."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, columns, ([row.get(name, "") for name in columns] for row in rows))


def encoder_sha256(encoder: FaceEncoder) -> str:
    """SHA-256 of a face encoder's weights, as a safetensors file holds them."""
    from safetensors.torch import save

    return hashlib.sha256(save(encoder.state_dict(), {"format": "pt"})).hexdigest()


def require_encoder(data: DatasetFolder, encoder: FaceEncoder) -> None:
    """Refuse shards whose features come from another face encoder, as far as they say from which.

    Raises:
        DatasetError: they say so.
    """
    path = data.root / SUMMARY
    stored = json.loads(path.read_text(encoding="utf-8")).get("face_encoder_sha256") if path.is_file() else None
    if stored not in (None, encoder_sha256(encoder)):
        fix = "write them again with this one: s2f shards DATA OUT --face_encoder FOLDER"
        raise DatasetError("shards of this face encoder", f"features of another face encoder in {data.root}", fix)


def index_shards(folder: Path) -> list[Row]:
    """Write voices.csv from the tars in a folder, and people.csv from their json members where there is none.

    The entries of the json members become columns, but for those that say where a sample came from (`split`, `voice`,
    `face`, `start_s`, `duration_s`). Members of other kinds are ignored.

    Args:
        folder: where the tars lie.

    Returns:
        The rows of voices.csv, by tar and then by position.

    Raises:
        DatasetError: no sample, a tar that is damaged, missing or of an interrupted run, an incomplete sample, or a
            person in two splits.
    """
    tars = sorted(folder.glob("*.tar"))
    if (folder / PLAN).is_file():
        planned = [shard_name(split, k) for split, n in read_plan(folder).get("shards", {}).items() for k in range(n)]
        if missing := sorted(set(planned) - {path.name for path in tars}):
            got = f"{len(missing)} missing, first {missing[0]}"
            raise DatasetError(f"{len(planned)} shards in {folder}", got, "copy them, or resume `s2f shards`")
    rows: list[Row] = []
    people: dict[str, Row] = {}
    for path in tqdm(tars, desc="index", unit="shard", disable=None):
        for place, facts in _samples_in(path):
            identity = facts["identity"]
            person = {name: facts[name] for name in PERSON if name in facts}
            if people.setdefault(identity, person).get("split") != person.get("split"):
                raise DatasetError("one split per person", f"{identity} in two, see {path}", "make the shards again")
            further = {name: facts[name] for name in facts if name not in (*PLACE, *ORIGIN, *CUT)}
            rows.append({"identity": identity, "path": path.name} | place | further)
    if not rows:
        raise DatasetError(f"samples of {', '.join(KINDS)} in {folder}/*.tar", "none", "check the path")
    write_rows(folder / "voices.csv", rows)
    if not (folder / "people.csv").is_file():
        write_rows(folder / "people.csv", list(people.values()))
    return rows


def _samples_in(path: Path) -> Iterator[tuple[Row, Row]]:
    """Place and json of every sample of a tar, in its order."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                kind = member.name.rpartition("/")[2].partition(".")[2]
                sample = samples.setdefault(member.name.removesuffix(f".{kind}"), {}) if kind in KINDS else {}
                if kind in sample:
                    raise tarfile.ReadError(f"{member.name} twice")
                sample[kind] = member
            _require_end(path, archive)
    except (OSError, tarfile.TarError) as error:
        raise DatasetError(
            "a complete, uncompressed tar with every name once", f"{path} ({error})", "copy it again"
        ) from error
    with path.open("rb") as file:
        for key, members in samples.items():
            if lacking := [kind for kind in KINDS if kind not in members]:
                got = f"sample {key} of {path} without {' and '.join(lacking)}"
                raise DatasetError(f"{', '.join(KINDS)} for every key", got, "make that shard again")
            place = {"key": key}
            for name, member in (("audio", members["flac"]), ("face", members["face.npy"])):
                place |= {f"{name}_offset": str(member.offset_data), f"{name}_bytes": str(member.size)}
            file.seek(members["json"].offset_data)
            yield place, _facts(file.read(members["json"].size), f"sample {key} of {path}")


def _require_end(path: Path, archive: tarfile.TarFile) -> None:
    """Refuse a tar cut within a header, which `tarfile` takes for the end."""
    end = max((member.offset_data + member.size for member in archive.getmembers()), default=0)
    if path.stat().st_size < -(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("no end mark")


def _facts(content: bytes, name: str) -> Row:
    """Entries of a json member as cells of a table."""
    try:
        facts = dict(json.loads(content))
        known = bool(facts["identity"])
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise DatasetError("one JSON object with an identity for every sample", name, "make that shard again")
    return {k: v if isinstance(v, str) else "" if v is None else json.dumps(v) for k, v in facts.items()}


def read_face_feature(root: Path, row: Row) -> Float[np.ndarray, " D"]:
    """Face feature of a row of a shard folder's voices.csv.

    Args:
        root: the folder.
        row: the row.

    Returns:
        (D,) float32.

    Raises:
        DatasetError: see `s2f.datasets.read_member`, or not one finite vector.
    """
    try:
        feature = np.load(io.BytesIO(read_member(root, row, "face")), allow_pickle=False)
        if not isinstance(feature, np.ndarray):
            raise ValueError("an archive of several arrays")
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, S2fError):
            raise
        got = f"{error} in sample {row['key']} of {root / row['path']}"
        raise DatasetError("a npy file of numbers", got, INDEX_AGAIN) from error
    if feature.ndim != 1 or feature.dtype.kind != "f" or not np.isfinite(feature).all():
        got = f"{feature.dtype} of shape {feature.shape} in sample {row['key']} of {root / row['path']}"
        raise DatasetError("a finite float face feature (D,)", got, "make that shard again")
    return feature.astype(np.float32)
