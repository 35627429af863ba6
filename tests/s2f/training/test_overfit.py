"""Eight pairs learned by heart at the starter's size, with the shipped frozen networks and the recipe's own loss."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image
from torch.nn import functional as F

from s2f import Speech2FacePipeline
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.faces.features import face_features
from s2f.simulate.dataset.contact_sheet import GAP_PX, SIDE_PX
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests.s2f.training.runs import CHECKOUT, rows

PAIRS = 8
STEPS = 100
STARTER = CHECKOUT / "checkpoints" / "starter"


def write_table(path: Path, header: str, lines: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(), *lines])


@pytest.fixture
def pairs(tmp_path):
    """Faces from the README's contact sheet of simulated people, with voices of eight pitches and timbres."""
    root, random = tmp_path / "pairs", np.random.default_rng(0)
    root.mkdir()
    sheet = Image.open(CHECKOUT / "docs" / "pictures" / "simulated_people.png")
    time = np.arange(48000) / 16000
    for number in range(PAIRS):
        left, top = GAP_PX + number * (SIDE_PX + GAP_PX), GAP_PX + number % 6 * (SIDE_PX + GAP_PX)
        sheet.crop((left, top, left + SIDE_PX, top + SIDE_PX)).save(root / f"{number}.png")
        harmonics = random.uniform(0.02, 0.15, 12)
        tones = [h * np.sin(2 * np.pi * (90 + 25 * number) * k * time) for k, h in enumerate(harmonics, 1)]
        soundfile.write(root / f"{number}.wav", 0.5 * np.sum(tones, 0) + random.normal(0, 0.003, len(time)), 16000)
    people = [(str(number), "train") for number in range(PAIRS)] + [("8", "val")]
    files = [(str(number), f"{number}.{{}}") for number in range(PAIRS)] + [("8", "0.{}")]
    write_table(root / "people.csv", "identity split", people)
    write_table(root / "voices.csv", "identity path", [(name, path.format("wav")) for name, path in files])
    write_table(root / "faces.csv", "identity path", [(name, path.format("png")) for name, path in files])
    return root


@pytest.mark.slow
def test_eight_pairs_are_learned_by_heart(pairs, tmp_path):
    recipe = yaml.safe_load((CHECKOUT / "s2f/recipes/starter_s2f.yaml").read_text())
    plain = {"augment": "none", "crop": "start", "trim_db": None, "target": "face", "side_tasks": {}, "balance": []}
    brief = {"train_batch_size": PAIRS} | dict.fromkeys(("max_train_steps", "validation_steps"), STEPS)
    frozen = {name: str(STARTER / name) for name in ("face_encoder", "decoder")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe | plain | brief | frozen | {"logging_steps": 1}))
    words = ["--config", str(tmp_path / "recipe.yaml"), "--data", str(pairs), "--output_dir", str(tmp_path / "run")]
    assert run_training(Speech2FaceArguments, train_speech2face, words) == 0
    pipeline = Speech2FacePipeline.from_pretrained(tmp_path / "run" / "pipeline")
    data = DatasetFolder(pairs)
    faces = [data.path(row) for row in data.faces("train")]
    target = face_features(pipeline.face_encoder, faces, torch.device("cpu"))
    sounds = [torch.from_numpy(data.voice(row, 16000)) for row in data.voices("train")]
    with torch.inference_mode():
        predicted = pipeline.voice_encoder.encode(torch.stack(sounds))
    cosine = F.cosine_similarity(predicted, target)
    others = F.cosine_similarity(predicted, target.roll(1, 0))
    print(f"cosine {cosine.min():.4f} to {cosine.max():.4f}, to another person {others.mean():.2f}")
    assert cosine.mean() >= 0.99
    assert others.mean() < 0.7  # so the pairs are not all alike
    terms = rows(tmp_path / "run")
    for name in ("decoder", "normalized", "distillation"):
        assert terms[-1][name] < terms[0][name]
