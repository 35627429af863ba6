"""A pipeline that paints what it hears, and people whose voices are three tones: gender, age class and nose width."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import torch
from PIL import Image
from torch.nn import functional as F

from eval.simulated.evaluate import MEASURED

RATE = 16000
TONES_HZ = (200, 400, 600)
AGES = {"child": (0.15, 8), "adult": (0.5, 30), "elder": (0.85, 70)}
SPEAKERS = 12


class FakePipeline:
    """Amplitude of the three tones to RGB; `nose_sign` -1 draws wide noses narrow."""

    device = torch.device("cpu")
    voice_encoder = SimpleNamespace(sample_rate_hz=RATE)

    def __init__(self, nose_sign: float = 1.0):
        self.face_encoder = SimpleNamespace(prepare=lambda image: image, features=self.features)
        self.decoder = SimpleNamespace(decode=lambda features: (None, self.points(features)))
        self.nose_sign = nose_sign

    @staticmethod
    def features(image: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, 4)."""
        return F.pad(4 * (image.mean((2, 3)) - 0.5), (0, 1), value=1.0)

    def points(self, features: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.stack([face_points(self.nose_sign * one) for one in features[:, 2].numpy()])).float()

    def __call__(self, clips, seconds):
        images = []
        for waveform, rate in clips:
            time = np.arange(round(seconds * rate)) / rate
            heard = np.resize(waveform, len(time))
            tones = [2 * abs((heard * np.exp(-2j * np.pi * hz * time)).mean()) / 0.3 for hz in TONES_HZ]
            colour = tuple(round(255 * min(tone, 1)) for tone in tones)
            images.append(Image.new("RGB", (8, 8), colour))
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
        return SimpleNamespace(images=images, face_features=self.features(pixels / 255))


def face_points(nose: float) -> np.ndarray:
    """68 points of a face whose nose is the wider the larger `nose` in [-2, 2]."""
    angle = np.arange(68)
    points = np.stack([100 + 60 * np.cos(angle), 100 + 60 * np.sin(1.7 * angle)], axis=1)
    points[31], points[35] = (100 - 10 - 2 * nose, 100), (100 + 10 + 2 * nose, 100)
    return points


class BlueDetector:
    """Reads the nose from the blue channel; sees no face where there is much blue."""

    def landmarks(self, image):
        blue = image[0, 0, 2] / 255
        return None if blue > 0.8 else face_points(4 * (blue - 0.5))


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_voice(path: Path, levels) -> None:
    time = np.arange(RATE) / RATE
    sound = sum(0.3 * level * np.sin(2 * np.pi * hz * time) for level, hz in zip(levels, TONES_HZ, strict=True))
    soundfile.write(path, sound, RATE)


def write_population(root: Path, people: dict[str, int], seed: int = 0, faces: bool = True) -> Path:
    """People by split with voices, truth and, if wanted, faces; the correlation planted for the nose is 0.71."""
    random = np.random.default_rng(seed)
    (root / "voices").mkdir(parents=True)
    (root / "faces").mkdir()
    tables: dict[str, list[dict]] = {name: [] for name in ("people", "voices", "truth", "faces")}
    for number, split in enumerate(split for split, count in people.items() for _ in range(count)):
        name, is_male, (age_class, (age_level, age)) = f"id{number}", number % 2 == 1, list(AGES.items())[number % 3]
        nose, gender = random.uniform(0.1, 0.9), "fm"[is_male]
        write_voice(root / "voices" / f"{name}.wav", (0.75 if is_male else 0.25, age_level, nose))
        trait = 0.1 * (nose - 0.5) / 0.231
        mesh = {f"mesh_{one}": f"{np.exp(random.normal(3, 0.1)):.5f}" for one in MEASURED}
        mesh["mesh_nose_width"] = f"{np.exp(3 + trait + random.normal(0, 0.1)):.5f}"
        row = {"identity": name, "gender": gender, "age": age, "split": split, "speaker": f"s{number % SPEAKERS}"}
        tables["people"].append(row)
        tables["voices"].append({"identity": name, "path": f"voices/{name}.wav"})
        truth = {"identity": name, "voice_gender": gender, "voice_age_class": age_class, "gender": gender}
        tables["truth"].append(truth | mesh | {"expected_nose_width": f"{3 + trait:.5f}"})
        if faces or split == "train":
            colour = np.array([0.75 if is_male else 0.25, age_level, random.uniform(0.1, 0.9)])
            Image.new("RGB", (8, 8), tuple(int(255 * c) for c in colour)).save(root / "faces" / f"{name}.png")
            tables["faces"].append({"identity": name, "path": f"faces/{name}.png", "view": "canonical"})
    for name, rows in tables.items():
        if rows:
            write_csv(root / f"{name}.csv", rows)
    return root
