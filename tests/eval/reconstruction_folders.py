"""Small reconstructions folders (docs/contracts.md), written by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eval.reconstructions.folder import PICTURES
from tests.eval.fake_population import write_csv
from tests.eval.folders import write_side

NAMES = ("nearest", "mean", "f2f", "s2f")


def write_features(folder: Path, names: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for side, vectors in (("voice", predicted), ("face", true)):
        write_side(folder, side, np.asarray(vectors, np.float64), {"identity": list(names)})


def write_reconstructions(
    root: Path,
    true: np.ndarray,
    predicted: Mapping[str, np.ndarray] | None = None,
    pictures: Mapping[str, Sequence[np.ndarray]] | None = None,
    people: Mapping[str, Sequence[str]] | None = None,
    seconds: Sequence[float] = (3.0, 6.0),
    **about,
) -> Path:
    """Folder of people with true features (J, D).

    Args:
        root: the folder.
        true: true features, one row a person.
        predicted: predicted features by the name of their folder ("3s", "6s", "nearest", "mean", "f2f", "s2f"); those
            that are not given are the true ones.
        pictures: (H, W, 3) bytes of everybody by kind; kinds that are not given are those of "true", else grey.
        people: columns of people.csv beside identity; column identity names them otherwise than p000, p001, ...
        seconds: lengths of voice.
        about: further content of reconstructions.json, or other values of what it must have.
    """
    columns = dict(people or {})
    names = list(columns.pop("identity", [f"p{number:03d}" for number in range(len(true))]))
    for name in (*(f"{value:g}s" for value in seconds), *NAMES):
        write_features(root / f"features_{name}", names, (predicted or {}).get(name, true), true)
    grey = [np.full((8, 8, 3), 128, np.uint8)] * len(names)
    for kind in PICTURES:
        (root / kind).mkdir()
        shown = (pictures or {}).get(kind, (pictures or {}).get("true", grey))
        for name, picture in zip(names, shown, strict=True):
            Image.fromarray(picture).save(root / kind / f"{name}.png")
    rows = [
        {"identity": name} | {column: cells[number] for column, cells in columns.items()}
        for number, name in enumerate(names)
    ]
    write_csv(root / "people.csv", rows)
    known = {"checkpoint": "none", "split": "test", "split_hash": "0" * 64, "seconds": list(seconds), "left_out": []}
    (root / "reconstructions.json").write_text(json.dumps(known | about))
    return root
