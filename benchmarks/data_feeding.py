"""How fast training clips come from the disk, without training, against how fast a step uses them up.

python benchmarks/data_feeding.py DATA [--shards FOLDER] [--workers N …] [--steps N]

DATA is a dataset folder, SHARDS the same as tars (`s2f shards`). The real training loop runs with the starter's recipe,
once with a module that only touches what it is given, so that decoding, trimming, cutting and collating are all there
is, and once with the real module on clips that stay in memory. `fresh` decodes every clip, `cached` keeps recordings in
memory as the recipe does. The last column should be well above 1.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from train_step import SIZES, InMemoryTask, logged_steps, our_task, recipe_arguments

from s2f.datasets import DatasetFolder
from s2f.training.speech2face.pairs import ShardFaces, TableFaces
from s2f.training.voices.clips import FaceSide, VoiceClips

SAMPLE_RATE_HZ = 16000
FEATURE_SIZE = SIZES["starter"]["feature"]


class Touch(nn.Module):
    """Looks at a batch and learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One term that is 0."""
        return {"decoder": self.nothing * batch["waveform"][:, 0].sum()}


def feed(folder: str, cached: int, workers: int, steps: int) -> float:
    """Clips per second of the loader alone."""
    data = DatasetFolder(folder)
    voices = data.voices("train")
    with tempfile.TemporaryDirectory() as output:
        arguments = recipe_arguments(
            "starter_s2f",
            output,
            cached_clips=cached,
            dataloader_num_workers=workers,
            max_train_steps=steps,
            loss_weights={"decoder": 1.0},
            cpu=True,
        )
        faces: FaceSide = TableFaces([[0]] * len(voices))
        if data.sharded:
            faces = ShardFaces(data.root, voices, FEATURE_SIZE)
        clips = VoiceClips(data, voices, faces, arguments, SAMPLE_RATE_HZ)
        seconds = logged_steps(InMemoryTask(Touch(), clips), arguments)
        return arguments.train_batch_size * len(seconds) / sum(seconds)


def consume(steps: int) -> float:
    """Clips per second of the step alone."""
    with tempfile.TemporaryDirectory() as output:
        arguments = recipe_arguments("starter_s2f", output, max_train_steps=steps, cpu=True)
        seconds = logged_steps(our_task(arguments, SIZES["starter"], arguments.train_batch_size), arguments)
        return arguments.train_batch_size / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--shards")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    used = consume(12)
    print(f"step of starter_s2f.yaml alone: {used:.1f} clips/s, {torch.get_num_threads()} threads")
    print(f"{'source':20} {'workers':>8} {'clips/s':>8} {'of step':>8}")
    sources = [("folder, fresh", options.data, 0), ("folder, cached", options.data, 2048)]
    sources += [("shards, fresh", options.shards, 0)] if options.shards else []
    for name, folder, cached in sources:
        for workers in options.workers:
            rate = feed(folder, cached, workers, options.steps)
            print(f"{name:20} {workers:8d} {rate:8.1f} {rate / used:8.2f}")


if __name__ == "__main__":
    main()
