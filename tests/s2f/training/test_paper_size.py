"""One optimisation step of train_s2f.py with the paper's recipe and the paper's sizes, on the CPU."""

import json
import math

import pytest
import torch

import s2f
from s2f.commands.program import run_training
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests.s2f.training.runs import CHECKOUT


@pytest.fixture
def frozen(tmp_path):
    """VGG-Face and Cole's decoder at paper size, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        s2f.VGGFace().save_pretrained(tmp_path / "face_encoder")
        s2f.NormalizedFaceDecoder().save_pretrained(tmp_path / "decoder")
    return ["--face_encoder", str(tmp_path / "face_encoder"), "--decoder", str(tmp_path / "decoder")]


@pytest.mark.slow
def test_one_step_of_the_published_recipe(frozen, tiny_dataset, tmp_path):
    flags = ["--config", str(CHECKOUT / "s2f/recipes/speech2face.yaml"), "--data", str(tiny_dataset)]
    flags += ["--output_dir", str(tmp_path / "run"), "--max_train_steps", "1", "--train_batch_size", "1"]
    assert run_training(Speech2FaceArguments, train_speech2face, [*flags, *frozen]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    header, step = rows[0]["arguments"], next(row for row in rows if row["event"] == "train")
    assert (header["optimizer"], header["adam_beta1"], header["adam_epsilon"]) == ("adam", 0.5, 1e-4)
    assert (header["num_train_epochs"], header["lr_decay"], header["lr_decay_steps"]) == (3, 0.95, 80000)
    assert header["loss_weights"] == {"decoder": 1.0, "normalized": 0.025, "distillation": 200.0}
    assert header["scale_lr_from"] == 8
    assert step["lr"] == pytest.approx(1e-3 * math.sqrt(1 / 8))  # an eighth of the paper's batch: the scaling rule
    total = step["decoder"] + 0.025 * step["normalized"] + 200 * step["distillation"]
    assert math.isfinite(step["loss"])
    assert step["loss"] == pytest.approx(total, rel=1e-5)
    assert step["distillation"] == pytest.approx(math.log(2622), rel=0.05)  # untrained: near the uniform entropy
    config = json.loads((tmp_path / "run/pipeline/voice_encoder/config.json").read_text())
    assert config["feature_size"] == 4096
    assert config["channels"] == [64, 64, 128, 128, 128, 256, 512, 512, 512]
