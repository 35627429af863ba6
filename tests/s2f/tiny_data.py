"""A dataset folder of random pictures and tones, small enough to train on in seconds."""

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

PEOPLE = {"train": 6, "val": 2, "test": 1}


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_dataset(root: Path, size_px: int = 64) -> Path:
    """Nine people, each with one canonical face, one wild face, landmarks and one 3.5 s voice."""
    random = np.random.default_rng(0)
    (root / "faces").mkdir(parents=True)
    people, voices, faces, landmarks = [], [], [], []
    for number, split in enumerate(split for split, count in PEOPLE.items() for _ in range(count)):
        identity = f"id{number}"
        gender = "fm"[number % 2]
        people.append({"identity": identity, "gender": gender, "age": 20 + number, "split": split})
        time = np.arange(56000) / 16000
        tone = np.sin(2 * np.pi * (110 + 20 * number) * time) * 0.3 + random.normal(0, 0.01, len(time))
        soundfile.write(root / f"{identity}.wav", tone, 16000)
        voices.append({"identity": identity, "path": f"{identity}.wav", "start_s": 0, "duration_s": 3.5, "video": ""})
        for view in ("canonical", "wild"):
            path = f"faces/{identity}_{view}.png"
            pixels = np.full((size_px, size_px, 3), 20 * number + 30) + random.integers(0, 20, (size_px, size_px, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / path)
            faces.append({"identity": identity, "path": path, "view": view})
        points = random.uniform(0.25, 0.75, (68, 2)) * size_px
        points[8, 1], points[17:27, 1], points[0, 0], points[16, 0] = 0.9 * size_px, 0.3 * size_px, 5, size_px - 5
        row = {f"{axis}{i}": f"{points[i, k]:.2f}" for i in range(68) for k, axis in enumerate("xy")}
        landmarks.append({"path": f"faces/{identity}_canonical.png"} | row)
    write_csv(root / "people.csv", people)
    write_csv(root / "voices.csv", voices)
    write_csv(root / "faces.csv", faces)
    write_csv(root / "landmarks.csv", landmarks)
    return root
