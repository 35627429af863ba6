"""Write the reconstructions folder (docs/contracts.md): true and drawn faces of one split, with features and controls.

Speech2Face (CVPR 2019, section 5) compares three pictures of a person: the true one, F2F (drawn from the true picture's
feature) and S2F (drawn from the feature predicted from the voice), and their features. An interrupted call is repeated
and goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.reconstructions.chunks import gathered, in_chunks
from eval.reconstructions.draw import Painter, Training, left_out_of, read_training
from eval.reconstructions.folder import ABOUT, CONTROLS, seconds_name
from eval.reconstructions.people import LeftOut, Person, choose_people, training_sights
from s2f.checkpoints import loading
from s2f.checkpoints.provenance import weights_sha256
from s2f.datasets import PEOPLE_COLUMNS, DatasetFolder
from s2f.errors import DatasetError, OutputError, UsageError
from s2f.reconstruction.pipeline import Speech2FacePipeline
from s2f.runtime.files import write_csv, write_text
from s2f.version import __version__

CHUNKS, SETTINGS = "chunks", "settings.json"  # in the partial folder only
NETWORKS = ("voice_encoder", "face_encoder", "decoder")
HEADER = ("identity", *PEOPLE_COLUMNS, "voice", "face", "view")
SAID = ("s2f", "checkpoint", "weights_sha256", "split", "split_hash", "data_hash", "left_out")  # with every features
Table = list[list[str]]  # cells in the order of HEADER


def write_reconstructions(
    pipeline: Speech2FacePipeline,
    checkpoint: str | Path,
    data: DatasetFolder,
    split: str,
    seconds: Sequence[float],
    out: Path,
    *,
    training: DatasetFolder | None = None,
    people: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Draw the people of a split from their voices and from their pictures, with features and controls.

    Everybody's first voice and first picture (a canonical one before others) are used. Features of true pictures are
    taken from the files as they are; pictures are stored at the decoder's size.

    Args:
        pipeline: the checkpoint, on its device.
        checkpoint: "starter" or the folder it came from.
        data: whom to draw.
        split: val or test.
        seconds: how much of the voices is heard, one or more lengths; pictures are drawn from the longest. Shorter
            voices are repeated, and counted.
        out: a folder that does not exist yet. Until everything is there it is called `<out>.partial`.
        training: dataset folder whose training people make the controls; None is `data`.
        people: a random choice of so many people; None is everybody.
        seed: of the choice.
        skip_bad: leave out people whose voice or picture cannot be used, and list them, instead of stopping.

    Returns:
        Content of reconstructions.json.

    Raises:
        BadFile: a voice or picture that cannot be used, without `skip_bad`.
        DatasetError: no training people with pictures, or fewer than two people with a voice and a picture.
        OutputError: `out` exists, cannot be written, or its partial folder is of another checkpoint, data or settings.
        UsageError: lengths, a number of people or a seed that cannot be used.
    """
    lengths = _increasing(seconds, pipeline.voice_encoder.min_seconds)
    if out.exists():
        raise OutputError(f"a new folder at {out}", "an existing one", "choose another name or remove it")
    chosen, lacking = choose_people(data, split, people, seed)
    others, unseen = training_sights(training or data)
    folder = loading.resolve(checkpoint)
    about: dict[str, Any] = {
        "s2f": __version__,
        "checkpoint": str(checkpoint),
        "weights_sha256": {name: weights_sha256(folder / name) for name in NETWORKS},
        "split": split,
        "split_hash": data.split_hash,
        "data_hash": data.data_hash,
        "training_data_hash": (training or data).data_hash,
        "seconds": list(lengths),
        "seed": seed,
    }
    partial = out.with_name(out.name + ".partial")
    _begin(partial, about | {"people": people})
    known = read_training(pipeline, training or data, others, partial / CHUNKS, skip_bad)
    checksum = folder.resolve().name, weights_sha256(folder)
    painter = Painter(pipeline, data, lengths, known, partial, checksum, skip_bad)
    parts = in_chunks(chosen, partial / CHUNKS, "people", painter.draw)
    table = _table(data, chosen, set(gathered(parts, "identity").tolist()))
    repeated = gathered(parts, "repeated").sum(0).tolist()
    about |= {
        "people": len(table),
        "repeated": {seconds_name(value): count for value, count in zip(lengths, repeated, strict=True)},
        "left_out": _listed([*lacking, *left_out_of(parts)]),
        "training_people": len(known.sights),
        "training_left_out": _listed([*unseen, *known.left_out]),
    }
    write_csv(partial / "people.csv", HEADER, table)
    _write_features(partial, parts, known, table, about)
    write_text(partial / ABOUT, json.dumps(about, indent=2) + "\n")
    shutil.rmtree(partial / CHUNKS)
    (partial / SETTINGS).unlink()
    os.replace(partial, out)
    return about


def _increasing(seconds: Sequence[float], minimum: float) -> tuple[float, ...]:
    """The lengths in order; refuses those that cannot be heard, or told apart by the names of their folders."""
    usable = all(minimum <= value < float("inf") for value in seconds)
    if not seconds or not usable or len({seconds_name(value) for value in seconds}) < len(seconds):
        got = " ".join(f"{value:g}" for value in seconds) or "none"
        raise UsageError(f"different seconds of at least {minimum:.3f}", got, "for example --seconds 3 6")
    return tuple(sorted(float(value) for value in seconds))


def _begin(partial: Path, settings: Mapping[str, Any]) -> None:
    """Make the partial folder, or see that an interrupted call's is of these settings."""
    path, text = partial / SETTINGS, json.dumps(settings)
    try:
        if not partial.exists():
            partial.mkdir(parents=True)
            write_text(path, text)
        began = path.read_text(encoding="utf-8") if path.is_file() else ""
        if began == text:
            (partial / CHUNKS).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError("a place that can be written", f"{partial} ({error})", "choose another") from error
    if began != text:
        fix = "remove it, or repeat the command that began it"
        raise OutputError(f"an unfinished {partial} of this checkpoint, data and settings", "one of others", fix)


def _table(data: DatasetFolder, chosen: Sequence[Person], drawn: set[str]) -> Table:
    """Rows of people.csv, which are those of every voice.csv and face.csv too."""
    if len(drawn) < 2:
        raise DatasetError("two people with a voice and a picture that can be used", f"{len(drawn)}", "repair the data")
    kept = [person for person in chosen if person.identity in drawn]
    known = [[data.people[person.identity].get(name, "") for name in PEOPLE_COLUMNS] for person in kept]
    return [
        [person.identity, *cells, person.voice["path"], person.face["path"], person.face.get("view") or "wild"]
        for person, cells in zip(kept, known, strict=True)
    ]


def _listed(left_out: LeftOut) -> list[dict[str, str]]:
    return [{"identity": name, "reason": reason} for name, reason in sorted(left_out)]


def _write_features(
    partial: Path, parts: Sequence[Path], training: Training, table: Table, about: Mapping[str, Any]
) -> None:
    """Write every folder of features: one kind of them as voices, the true ones as faces."""
    lengths = {seconds_name(value): value for value in about["seconds"]}
    heard = lengths | dict.fromkeys(("s2f", "nearest"), about["seconds"][-1])
    said = {"metric": "cosine"} | {name: about[name] for name in SAID}
    true, nearest = gathered(parts, "true"), gathered(parts, "nearest")
    controls = {"nearest": training.features.numpy()[nearest], "mean": training.mean.numpy().repeat(len(table), axis=0)}
    for name in (*lengths, "f2f", "s2f", *CONTROLS):
        folder = partial / f"features_{name}"
        folder.mkdir(exist_ok=True)
        np.save(folder / "voice.npy", controls[name] if name in controls else gathered(parts, name))
        np.save(folder / "face.npy", true)
        for side in ("voice", "face"):
            write_csv(folder / f"{side}.csv", HEADER, table)
        seconds = {"seconds": heard[name]} if name in heard else {}
        write_text(folder / "embeddings.json", json.dumps(said | seconds, indent=2) + "\n")
    neighbours = [[*row, training.sights[place].identity] for row, place in zip(table, nearest, strict=True)]
    write_csv(partial / "features_nearest" / "voice.csv", (*HEADER, "nearest"), neighbours)
