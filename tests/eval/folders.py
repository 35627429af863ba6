"""Small embeddings folders."""

import csv
import json
from pathlib import Path

import numpy as np


def write_side(folder: Path, name: str, vectors: np.ndarray, columns: dict[str, list]) -> None:
    np.save(folder / f"{name}.npy", vectors)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def people_folder(folder: Path, people: int = 12, each: int = 3, noise: float = 1.0, seed: int = 0, **about) -> Path:
    """People with `each` voices and faces around a point of their own; the first half are women."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    centres = np.repeat(random.normal(size=(people, 8)), each, axis=0)
    names = np.repeat([f"p{number:02d}" for number in range(people)], each)
    for name, ending in (("voice", "wav"), ("face", "png")):
        vectors = (centres + noise * random.normal(size=centres.shape)).astype(np.float32)
        columns = {
            "identity": names,
            "path": [f"{name}s/{person}/{row % each}.{ending}" for row, person in enumerate(names)],
            "gender": ["f" if int(person[1:]) < people // 2 else "m" for person in names],
        }
        write_side(folder, name, vectors, columns)
    if about:
        (folder / "embeddings.json").write_text(json.dumps(about))
    return folder
