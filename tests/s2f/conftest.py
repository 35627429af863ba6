"""Tiny networks and checkpoints for the tests of the system; nothing is trained."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import s2f
from s2f import cli
from tests.s2f.tiny_data import write_dataset

FEATURE_SIZE = 16
IMAGE_SIZE_PX = 32
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


@pytest.fixture(scope="session")
def tiny_pipeline():
    """A Speech2Face pipeline with a few thousand weights that differ from voice to voice; 32 x 32 px images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        voice_encoder = s2f.Speech2FaceVoiceEncoder(channels=(4,) * 9, hidden_size=16, feature_size=FEATURE_SIZE)
        face_encoder = s2f.CompactFaceEncoder((4, 8), FEATURE_SIZE, num_identities=5, image_size_px=IMAGE_SIZE_PX)
        decoder = s2f.NormalizedFaceDecoder(
            FEATURE_SIZE, 16, (8,), base_channels=8, texture_channels=(4, 4), image_size_px=IMAGE_SIZE_PX, warp_grid=8
        )
        for network in (voice_encoder, decoder):
            for weight in (parameter for parameter in network.parameters() if parameter.ndim > 1):
                torch.nn.init.kaiming_normal_(weight)
    return s2f.Speech2FacePipeline(voice_encoder.eval(), face_encoder.eval(), decoder.eval())


@pytest.fixture
def tiny_checkpoint(tiny_pipeline, tmp_path) -> Path:
    """The tiny pipeline, saved."""
    folder = tmp_path / "tiny"
    tiny_pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def write_clip(tmp_path):
    """Function (name, seconds, hz) that writes a 16 kHz wav of harmonics with a little noise and returns its path."""

    def write(name: str, seconds: float = 6.0, hz: float = 120.0) -> Path:
        t = np.arange(round(seconds * 16000)) / 16000
        sound = sum(0.2 / k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 6))
        path = tmp_path / name
        soundfile.write(path, sound + np.random.default_rng(int(hz)).normal(0, 0.01, len(t)), 16000)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """A dataset folder of nine people made of random pictures and tones."""
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def run(capsys):
    """Function that runs the command in this process; returns exit code, standard output and standard error."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(run):
    """Function that asserts exit code 2 and exactly one sentence on standard error, which it returns."""

    def refused(*words):
        code, out, err = run(*words)
        assert code == 2
        assert out == ""
        assert "Traceback" not in err
        assert re.fullmatch(r"s2f: error: [^\n]+\n", err), err
        return err

    return refused


@pytest.fixture
def finished_run(tmp_path):
    """A training run that ended, as its log tells."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in LOG))
    return folder
