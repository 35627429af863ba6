"""Writing feature shards: `s2f shards` packs a dataset folder into WebDataset tars (docs/contracts.md)."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from encoders.face.base import FaceEncoder
from s2f.audio import flac_bytes
from s2f.datasets import SPLITS, DatasetFolder, Row
from s2f.errors import AssetMissing, CheckpointError, DatasetError, OutputError, UsageError
from s2f.faces.features import CHUNK, face_features
from s2f.faces.images import load_image
from s2f.runtime.files import write_text
from s2f.runtime.processes import Processes, processes
from s2f.shards.reading import (
    ORIGIN,
    PLACE,
    PLAN,
    SUMMARY,
    encoder_sha256,
    index_shards,
    read_plan,
    shard_name,
    write_rows,
)
from s2f.version import __version__

SEED = 0
SKIPPED = ".skipped.csv"  # after the name of a tar
Keyed = tuple[str, Row]


def write_shards(
    data: DatasetFolder,
    encoder: FaceEncoder,
    out: Path,
    samples_per_shard: int = 1000,
    sample_rate_hz: int = 16000,
    device: torch.device | str = "cpu",
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Pack recordings and face features into tars, which with their tables are a dataset folder of their own.

    Several processes (`s2f.runtime.processes`) pack different tars, with "cuda" each on a GPU of its own; the main one
    indexes them.

    One sample per row of voices.csv whose person has a split. Its face is one picture, as the paper takes one frame
    per clip: of the same video where row and picture name one, else of the same person. Which one is drawn from the
    key, and the key is the row's number. Each split has its own tars; a fixed draw mixes its rows. The same data and
    settings give the same bytes, and finished tars of an interrupted run are kept.

    Args:
        data: what to pack.
        encoder: face encoder in eval mode; it is moved to `device`.
        out: a new folder, or one that was begun with the same data and settings.
        samples_per_shard: rows per tar.
        sample_rate_hz: rate of the stored sound, which is 16 bit mono FLAC.
        device: where to compute features.
        skip_bad: leave out rows that cannot be used, and list them in skipped.csv; without it a later run tries them
            again. A part that is silent or shorter than 0.5 s cannot be used: `s2f.audio.load` would refuse it.

    Returns:
        The content of dataset.json, see docs/contracts.md.

    Raises:
        AssetMissing: webdataset is not installed.
        UsageError: fewer than 1 sample per shard or 1 Hz, or a device that does not exist here.
        OutputError: a folder with other content, made from other data or settings, or that cannot be written.
        DatasetError: a row that cannot be used, or a column named like one that shards add.
        ImageError: a picture that cannot be used.
        CheckpointError: a face feature that float16 cannot hold.
    """
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise AssetMissing("the package webdataset", "none installed", "install s2f[shards]") from error
    if samples_per_shard < 1 or sample_rate_hz < 1:
        got = f"{samples_per_shard} and {sample_rate_hz} Hz"
        raise UsageError("at least 1 sample per shard and 1 Hz", got, "pass for example 1000 and 16000")
    peers = processes()
    device = _own_device(device, peers)
    try:
        encoder.to(device)
    except (RuntimeError, AssertionError) as error:
        got = f"{str(device)!r} ({str(error).splitlines()[0]})"
        raise UsageError("a device of this machine", got, "`s2f doctor` lists them") from error
    shards, without_split = _plan_shards(data, samples_per_shard)
    packer = _Packer(data, encoder, sample_rate_hz, torch.device(device), skip_bad, _pictures(data))
    if not skip_bad:
        packer.require_pictures(shards)
    plan = {
        "s2f": __version__,
        "data_hash": data.data_hash,
        "face_encoder": type(encoder).__name__,
        "face_encoder_sha256": encoder_sha256(encoder),
        "feature_size": encoder.embedding_dim,
        "sample_rate_hz": sample_rate_hz,
        "samples_per_shard": samples_per_shard,
        "shards": {split: sum(name.startswith(split) for name in shards) for split in SPLITS},
    }
    if peers.is_main:
        _claim_folder(out, plan)
    peers.wait()
    _require_plan(out, plan)
    _pack(packer, out, {name: shards[name] for name in peers.share(list(shards))}, TarWriter)
    peers.wait()
    if peers.is_main:
        _complete(data, out, plan, without_split, shards)
    peers.wait()
    return dict(json.loads((out / SUMMARY).read_text(encoding="utf-8")))


def _complete(
    data: DatasetFolder, out: Path, plan: dict[str, Any], without_split: int, shards: dict[str, list[Keyed]]
) -> None:
    """Index finished tars and write the tables and dataset.json."""
    skipped = sorted((row for name in shards for row in _skipped_of(out, name)), key=lambda row: row["key"])
    _write_skipped(out / "skipped.csv", skipped)
    for table in ("people.csv", "truth.csv"):
        if (data.root / table).is_file():
            shutil.copyfile(data.root / table, out / table)
    splits = [data.people[row["identity"]]["split"] for row in index_shards(out)]
    samples = {split: splits.count(split) for split in SPLITS}
    left_out = {"rows_without_split": without_split, "rows_skipped": len(skipped)}
    summary = {"command": "s2f shards", "split_hash": data.split_hash, **plan, "samples": samples, **left_out}
    write_text(out / SUMMARY, json.dumps(summary, indent=2))


def _plan_shards(data: DatasetFolder, samples_per_shard: int) -> tuple[dict[str, list[Keyed]], int]:
    """Keyed rows of every tar, and how many rows have no split."""
    rows = data.voices(*SPLITS, "")
    if taken := set(rows[0]) & {*PLACE[1:], *ORIGIN}:
        got = f"a column {min(taken)}"
        raise DatasetError("voices.csv without the columns that shards add", got, "rename or remove that column")
    parts: dict[str, list[Keyed]] = {split: [] for split in (*SPLITS, "")}
    for number, row in enumerate(rows):
        parts[data.people[row["identity"]]["split"]].append((f"{number:09d}", row))
    without_split = len(parts.pop(""))
    shards = {}
    for split, part in parts.items():
        order = np.random.default_rng(SEED).permutation(len(part))
        for number, first in enumerate(range(0, len(part), samples_per_shard)):
            shards[shard_name(split, number)] = [part[k] for k in order[first : first + samples_per_shard]]
    return shards, without_split


def _pictures(data: DatasetFolder) -> dict[tuple[str, str], list[str]]:
    """Paths of pictures by (identity, video); with an empty video, those of all the person's videos."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in data.faces(*SPLITS):
        for video in {"", row.get("video") or ""}:
            found.setdefault((row["identity"], video), []).append(row["path"])
    return found


def _claim_folder(out: Path, plan: dict[str, Any]) -> None:
    """Store what decides the bytes in a new folder."""
    stored = out / PLAN
    try:
        if not stored.is_file():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise OutputError("a new or empty output folder", f"{out} with other content", "give another folder")
            out.mkdir(parents=True, exist_ok=True)
            write_text(stored, json.dumps(plan, indent=2))
    except OSError as error:
        raise OutputError("a writable output folder", f"{error} for {out}", "give another folder") from error


def _require_plan(out: Path, plan: dict[str, Any]) -> None:
    """Compare what decides the bytes with what the folder was begun with."""
    before, fix = read_plan(out), "repeat the old settings to resume, or give a new folder"
    if changed := sorted(name for name in {*plan, *before} if plan.get(name) != before.get(name)):
        raise OutputError(f"the data and settings that {out} was begun with", f"another {', '.join(changed)}", fix)


def _pack(packer: _Packer, out: Path, shards: dict[str, list[Keyed]], tar_writer: Callable[..., Any]) -> None:
    """Write the tars that are not there yet, and beside each a table of the rows it lacks."""
    with tqdm(total=sum(map(len, shards.values())), desc="shards", unit="sample", disable=None) as bar:
        for name, rows in shards.items():
            if not (out / name).is_file() or (_skipped_of(out, name) and not packer.skip_bad):
                (out / name).unlink(missing_ok=True)  # before the table forgets what it lacks
                skipped: list[Row] = []
                partial = out / f"{name}.partial"
                with partial.open("wb") as stream, tar_writer(stream, user="s2f", group="s2f", mtime=0) as tar:
                    for sample in packer.samples(rows, skipped):
                        tar.write(sample)
                _write_skipped(out / f"{name}{SKIPPED}", skipped)
                os.replace(partial, out / name)
            bar.update(len(rows))


def _skipped_of(out: Path, name: str) -> list[Row]:
    """Rows that a finished tar lacks."""
    table = out / f"{name}{SKIPPED}"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write_skipped(path: Path, skipped: list[Row]) -> None:
    if skipped:
        write_rows(path, skipped)
    else:
        path.unlink(missing_ok=True)


def _own_device(device: torch.device | str, peers: Processes) -> torch.device | str:
    """Of several processes on a machine each takes the GPU with its number, unless one is named."""
    return f"cuda:{peers.local_index}" if str(device) == "cuda" and peers.count > 1 else device


@dataclass(frozen=True)
class _Packer:
    """Makes samples from rows; `pictures` is what `_pictures` found."""

    data: DatasetFolder
    encoder: FaceEncoder
    sample_rate_hz: int
    device: torch.device
    skip_bad: bool
    pictures: dict[tuple[str, str], list[str]]

    def require_pictures(self, shards: dict[str, list[Keyed]]) -> None:
        """Refuse a row without a picture before the long work begins."""
        for rows in shards.values():
            for key, row in rows:
                self.picture(key, row)

    def picture(self, key: str, row: Row) -> str:
        """Path of the picture that a row is paired with."""
        identity = row["identity"]
        found = self.pictures.get((identity, row.get("video") or "")) or self.pictures.get((identity, ""))
        if not found:
            fix = "add one to faces.csv, or leave such rows out with skip_bad"
            raise DatasetError("a picture for every voice", f"none for {identity} and {self.data.path(row)}", fix)
        return found[int(np.random.default_rng([SEED, int(key)]).integers(len(found)))]

    def samples(self, rows: Sequence[Keyed], skipped: list[Row]) -> Iterator[dict[str, Any]]:
        """Samples as webdataset takes them; a row that cannot be used is raised, or entered into `skipped`."""
        for first in range(0, len(rows), CHUNK):
            usable: list[tuple[str, Row, bytes, str]] = []
            for key, row in rows[first : first + CHUNK]:
                try:
                    usable.append((key, row, *self._read(key, row)))
                except DatasetError as error:
                    if not self.skip_bad:
                        raise
                    skipped.append({"key": key, "path": row["path"], "reason": str(error.got)})
            features = self._features([face for _, _, _, face in usable])
            for (key, row, audio, face), feature in zip(usable, features, strict=True):
                identity = row["identity"]
                facts = {"identity": identity, "split": self.data.people[identity]["split"], "voice": row["path"]}
                facts |= {"face": face} | {name: row[name] for name in row if name not in ("identity", "path")}
                text = json.dumps(facts, ensure_ascii=False).encode()
                yield {"__key__": key, "flac": audio, "face.npy": feature, "json": text}

    def _read(self, key: str, row: Row) -> tuple[bytes, str]:
        """Encoded part of a recording, and the path of its picture."""
        face, path = self.picture(key, row), self.data.path(row)
        try:
            audio = flac_bytes(self.data.voice(row, self.sample_rate_hz), self.sample_rate_hz)
            if self.skip_bad:  # without it `face_features` may fail, and names the picture
                path = self.data.root / face
                self.encoder.prepare(load_image(path)[None])
        except ValueError as error:
            fix = "repair the file, or leave such rows out with skip_bad"
            raise DatasetError("recordings and pictures that can be used", f"{path}: {error}", fix) from error
        return audio, face

    def _features(self, faces: Sequence[str]) -> list[bytes]:
        """Face features of pictures, each a npy file of float16."""
        if not faces:
            return []
        paths, files = [self.data.root / face for face in faces], []
        for path, feature in zip(paths, face_features(self.encoder, paths, self.device), strict=True):
            half = feature.half()
            if not half.isfinite().all():
                got, fix = f"{feature.abs().max():.4g} for {path}", "take a face encoder with smaller features"
                raise CheckpointError("face features within float16, up to 65504", got, fix)
            content = io.BytesIO()
            np.save(content, half.numpy(), allow_pickle=False)
            files.append(content.getvalue())
        return files
