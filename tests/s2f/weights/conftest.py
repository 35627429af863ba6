"""A training run that ended, as its log tells."""

import json

import pytest

START = {
    "step": 0,
    "event": "start",
    "effective_batch": 16,
    "changes": [],
    "split_hash": "abc123",
    "decoder_sha256": "d00d",
    "learning_rate": 0.001,
    "seed": 0,
    "use_ema": False,
    "keep_best": None,
    "loss_weights": {"l1": 1.0},
    "teacher": "/home/somebody/teacher",
    "arguments": {"learning_rate": 0.001, "output_dir": "/home/somebody/run"},
}
LOG = [
    START,
    {"step": 10, "event": "train", "lr": 0.001, "loss": 0.52, "l1": 0.4, "seconds": 1.0},
    {"step": 20, "event": "validation", "val_l1": 0.345678, "cosine": 0.5},
    {"step": 20, "event": "train", "lr": 0.001, "loss": 0.251, "l1": 0.2, "seconds": 2.0},
    {"step": 20, "event": "done", "exported": True},
]


@pytest.fixture
def finished_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LOG))
    return folder
