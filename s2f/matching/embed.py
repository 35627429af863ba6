"""The embeddings folder: what every evaluation of matching, verification and retrieval reads (docs/contracts.md).

`write_embeddings` makes one from a matching checkpoint and a dataset folder. An interrupted call is repeated and goes
on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from s2f.checkpoints.provenance import weights_sha256
from s2f.datasets import PEOPLE_COLUMNS, DatasetFolder, Row
from s2f.errors import BadFile, DatasetError, OutputError
from s2f.faces.dynamic_images import face_tracks
from s2f.matching.media import Media, middle
from s2f.matching.model import MatchingModel
from s2f.runtime.files import write_csv, write_text
from s2f.version import __version__

CHUNK = 64
ABOUT, PROGRESS = "embeddings.json", "progress.json"


@dataclass
class Side:
    """One modality of an embeddings folder.

    Attributes:
        name: voice or face; the files are `<name>.npy` and `<name>.csv`.
        rows: what is embedded, as rows of the table.
        size: length D of a row of the result.
        embed: the number of a row to (D,).
    """

    name: str
    rows: Sequence[Row]
    size: int
    embed: Callable[[int], Tensor]


def write_embeddings(
    model: MatchingModel, checkpoint: Path, data: DatasetFolder, split: str, out: Path, skip_bad: bool = False
) -> dict[str, Any]:
    """Embed every voice and every face of a split.

    Args:
        model: in evaluation mode, on its device.
        checkpoint: the folder it came from.
        data: what to embed.
        split: train, val or test.
        out: a folder that does not exist yet. Until everything is there it is called `<out>.partial`.
        skip_bad: leave out files that cannot be used, and list them, instead of stopping.

    Returns:
        Content of embeddings.json: the checkpoint and its hash, the metric, what was embedded and left out.

    Raises:
        OutputError: `out` exists, or its partial folder is of another model or data.
        BadFile: a file that cannot be used, without `skip_bad`.
        DatasetError: no voices or no faces in the split.
    """
    if out.exists():
        raise OutputError(f"a new folder at {out}", "an existing one", "choose another name or remove it")
    about = {
        "s2f": __version__,
        "checkpoint": str(checkpoint),
        "weights_sha256": {name: weights_sha256(checkpoint / name) for name, _ in model.named_children()},
        "metric": model.metric,
        "split": split,
        "split_hash": data.split_hash,
        "data_hash": data.data_hash,
    }
    partial = out.with_name(out.name + ".partial")
    progress = _begin(partial, about)
    counts = {}
    for side in _sides(model, data, split):
        _embed(side, partial, progress, skip_bad)
        counts[side.name] = _finish(side, partial, progress[side.name], data)
    write_text(partial / ABOUT, json.dumps(about | counts, indent=2) + "\n")
    for name in (PROGRESS, *(f"{side}.unfinished.npy" for side in counts)):
        (partial / name).unlink()
    os.replace(partial, out)
    return about | counts


def _begin(partial: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Progress of an interrupted call, or of a new one."""
    path = partial / PROGRESS
    if not partial.is_dir():
        partial.mkdir(parents=True)
        write_text(path, json.dumps({"about": about}))
    progress: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if progress.get("about") != about:
        fix = "remove it, or repeat the command that began it"
        raise OutputError(f"an unfinished {partial} of the same model and data", "one of another", fix)
    return progress


def _sides(model: MatchingModel, data: DatasetFolder, split: str) -> Iterator[Side]:
    device = next(model.parameters()).device
    rate = model.voice_encoder.sample_rate_hz
    formulation, stride = model.dynamic or (None, 1)
    media = Media(data, rate, model.face_encoder.prepare, seconds=1.0, dynamic=formulation, window_stride=stride)
    voices, sights = data.voices(split), list(_sights(data.faces(split), media))

    def voice(number: int) -> Tensor:
        return model.embed_voice(model.heard(media.recording(voices[number])).to(device), rate)[0]

    def face(number: int) -> Tensor:
        seen = media.seen(*sights[number])
        return model.embed_face(*(part[None].to(device).float() / 255 for part in seen.values()))[0]

    yield Side("voice", voices, model.row_sizes[0], voice)
    yield Side("face", [shown(*sight) for sight in sights], model.row_sizes[1], face)


def _sights(faces: list[Row], media: Media) -> Iterator[tuple[Sequence[Row], Sequence[range]]]:
    """Every picture; or every track with its dynamic images, with dense windows every window of it.

    Raises:
        DatasetError: no tracks where they are needed.
    """
    groups: list[Sequence[Row]] = [(row,) for row in faces]
    if media.dynamic is not None:
        groups = [track.rows for track in face_tracks(faces)]
        if not groups:
            fix = "a model with dynamic images needs films: s2f prepare writes `video` and `frame_s`"
            raise DatasetError("face tracks in faces.csv", "no row with video and frame_s", fix)
    for rows in groups:
        for spans in media.choices(rows):
            yield rows, spans


def shown(rows: Sequence[Row], spans: Sequence[range]) -> Row:
    """Row of face.csv for one sight of a face; of a track, that of the picture shown, and the `track` it belongs to."""
    if not spans:
        return rows[0]
    return rows[middle(rows, spans)] | {"track": rows[0]["path"]}


def _embed(side: Side, partial: Path, progress: dict[str, Any], skip_bad: bool) -> None:
    """Fill the side's unfinished table from where it stopped; unusable rows stay NaN."""
    state = progress.setdefault(side.name, {"rows": 0, "left_out": {}})
    path, shape = partial / f"{side.name}.unfinished.npy", (len(side.rows), side.size)
    if not state["rows"]:
        np.lib.format.open_memmap(path, "w+", np.float32, shape)[:] = np.nan
    values = np.lib.format.open_memmap(path, "r+")
    starts = range(state["rows"], len(side.rows), CHUNK)
    for first in tqdm(starts, desc=side.name, unit="rows", unit_scale=CHUNK):
        last = min(first + CHUNK, len(side.rows))
        for number in range(first, last):
            try:
                values[number] = side.embed(number).float().cpu().numpy()
            except BadFile as error:
                if not skip_bad:
                    raise
                state["left_out"][str(number)] = str(error)
        values.flush()
        state["rows"] = last
        write_text(partial / PROGRESS, json.dumps(progress))


def _finish(side: Side, partial: Path, state: dict[str, Any], data: DatasetFolder) -> dict[str, Any]:
    """Write `<name>.npy` and `<name>.csv` without the unusable rows; returns their number and what is left out."""
    kept = [number for number in range(len(side.rows)) if str(number) not in state["left_out"]]
    if not kept:
        raise DatasetError(f"a {side.name} that can be used", next(iter(state["left_out"].values())), "repair the data")
    unfinished = partial / f"{side.name}.unfinished.npy"
    np.save(partial / f"{side.name}.npy", np.load(unfinished, mmap_mode="r")[kept])
    people = [name for name in PEOPLE_COLUMNS if name in next(iter(data.people.values()))]
    own = [name for name in side.rows[0] if name not in ("identity", "path", *people)]
    header = ["identity", "path", *people, *own]
    rows = [data.people[side.rows[number]["identity"]] | side.rows[number] for number in kept]
    write_csv(partial / f"{side.name}.csv", header, [[row.get(name, "") for name in header] for row in rows])
    return {"rows": len(kept), "left_out": list(state["left_out"].values())}
