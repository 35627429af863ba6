"""Do simulated faces pass for faces, and can their measures be read from the picture? Detection rates and Pearson r.

    python benchmarks/simulated_faces.py DATA [--count 300] [--landmarks starter|FOLDER]

DATA is a folder of `s2f simulate`. Detection: dlib's CNN finds exactly one face, on `count` canonical pictures and one
wild picture of each of `count` people (the wild ones upsampled once). Measures: projected mesh points against dlib's 68
points (box refined, see `s2f.faces.landmarks.DlibLandmarks`) and the landmark regressor, on people that no training
saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from s2f.datasets import DatasetFolder
from s2f.faces.craniofacial import craniofacial_measures
from s2f.faces.detection import FaceDetector
from s2f.faces.landmarks import DlibLandmarks, landmark_detector


def load(path: Path) -> np.ndarray:
    """Picture as RGB bytes."""
    return np.asarray(Image.open(path).convert("RGB"))


def one_face(pictures: Sequence[Path], upsample: int) -> str:
    """Share of pictures in which exactly one face is found."""
    detector = FaceDetector(upsample=upsample)
    found = sum(len(detector.detect(load(path))) == 1 for path in tqdm(pictures, desc="detection", leave=False))
    return f"{found} of {len(pictures)} ({found / len(pictures):.1%})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--landmarks", default="starter")
    options = parser.parse_args()
    data = DatasetFolder(options.data)
    every = data.faces("train", "val", "test")
    order = np.random.default_rng(0).permutation(len(data.people))
    names = [list(data.people)[k] for k in order[: options.count]]
    of_view = {view: {row["identity"]: row for row in every if row["view"] == view} for view in ("canonical", "wild")}
    for view, upsample in (("canonical", 0), ("wild", 1)):
        paths = [data.path(of_view[view][name]) for name in names]
        print(f"{view}: exactly one face in {one_face(paths, upsample)}")
    held_out = [row for row in data.faces("val", "test") if row["view"] == "canonical"][: options.count]
    pictures = [load(data.path(row)) for row in held_out]
    truth = data.landmarks_of(held_out)
    readers = {"dlib": DlibLandmarks(), options.landmarks: landmark_detector(options.landmarks)}
    columns = {}
    for name, reader in readers.items():
        points = [reader.landmarks(picture) for picture in tqdm(pictures, desc=name, leave=False)]
        seen = [k for k, found in enumerate(points) if found is not None]
        true = craniofacial_measures(truth[seen])
        read = craniofacial_measures(np.stack([points[k] for k in seen]))
        columns[name] = {key: np.corrcoef(true[key], read[key])[0, 1] for key in true}
        rmse = np.sqrt(np.mean((np.stack([points[k] for k in seen]) - truth[seen]) ** 2))
        print(f"{name}: found {len(seen)} of {len(pictures)}, rmse {rmse:.2f} px of {len(pictures[0])}")
    print(f"\n| measure, n = {len(pictures)} | spread | " + " | ".join(Path(name).name for name in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    true = craniofacial_measures(truth)
    for key, values in true.items():
        cells = " | ".join(f"{column[key]:.3f}" for column in columns.values())
        print(f"| {key} | {values.std() / values.mean():.1%} | {cells} |")


if __name__ == "__main__":
    main()
