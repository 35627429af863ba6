"""Training commands for tests: tiny frozen networks and a function that starts train_s2f.py as its users do."""

import json
import os
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file

import s2f
from tests import CHECKOUT, programs

NETWORK = """
  channels: [4, 4, 4, 4, 4, 4, 4, 4, 8]
  strides: [[1, 2], [1, 2], [1, 2], [1, 1], [1, 1], [1, 1], [1, 1], [2, 2], [2, 2]]
  hidden_size: 16
"""
RECIPE = f"""
network: {NETWORK}
seconds: 3.0
crop: random
augment: light
loss_weights: {{decoder: 1.0, normalized: 20.0, distillation: 50.0}}
max_grad_norm: 1.0
train_batch_size: 4
logging_steps: 1
validation_steps: 1000
"""


def frozen_networks(folder: Path) -> list[str]:
    """Write a tiny face encoder and decoder with random weights; return the flags that name them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        s2f.CompactFaceEncoder((4, 8), 16, num_identities=6, image_size_px=16).save_pretrained(folder / "face_encoder")
        decoder = s2f.NormalizedFaceDecoder(
            16, 16, (16,), base_channels=4, texture_channels=(4, 4), image_size_px=64, warp_grid=8
        )
        for weight in (parameter for parameter in decoder.parameters() if parameter.ndim > 1):
            torch.nn.init.kaiming_normal_(weight)
        decoder.save_pretrained(folder / "decoder")
    return ["--face_encoder", str(folder / "face_encoder"), "--decoder", str(folder / "decoder")]


def command(*flags: object, script: str = "train_s2f.py") -> list[object]:
    """Command line of a training script on the CPU."""
    return [CHECKOUT / script, *flags, "--cpu", "true"]


def environment() -> dict[str, str]:
    """One thread a process, so that sums are taken in one order however many processes share the machine."""
    return os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def launch(processes: int, *flags: object, script: str = "train_s2f.py") -> subprocess.CompletedProcess:
    """Run it to its end."""
    return programs.run(command(*flags, script=script), processes, environment())


def rows(folder: Path, event: str = "train") -> list[dict]:
    """Rows of a run's log with one event."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row for row in found if row["event"] == event]


def exported(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the exported voice encoder."""
    return load_file(folder / "pipeline" / "voice_encoder" / "diffusion_pytorch_model.safetensors")
