"""A pickle that would run code, in every place where a file can enter: it never runs, and the refusal is ours.

Readers of other people's lists have tests of their own (tests/s2f/runtime/test_safe_pickle.py); tests/test_house.py
keeps every other reader of pickles out.
"""

import builtins
import pickle
import zipfile

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

import s2f
from eval.attributes.probes import ProbeClassifier
from eval.embeddings.folder import read_embeddings
from s2f import audio
from s2f.checkpoints.loading import load_network, resolve
from s2f.errors import CheckpointError, S2fError
from s2f.faces.images import load_image
from s2f.faces.lpips import load_lpips
from s2f.matching.model import MatchingModel
from s2f.shards.reading import read_face_feature
from s2f.training.loop.checkpointing import load_checkpoint, save_checkpoint
from s2f.weights.convert import import_weights
from s2f.weights.kinds import KINDS
from s2f.weights.verify import verify

SUFFIXES = (".pth", ".caffemodel", ".t7", ".mat", ".h5", ".npy", ".model")


class Payload:
    """Asks whoever unpickles it to make a file."""

    def __init__(self, marker):
        self.code = f"open({str(marker)!r}, 'w').close()"

    def __reduce__(self):
        return builtins.eval, (self.code,)


@pytest.fixture
def marker(tmp_path):
    """The file that would appear; none may at the end of a test."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists(), "code of the file was run"


def plain(marker):
    return pickle.dumps({"state_dict": Payload(marker)}, 4)


def zipped(marker):
    """As `torch.save` writes it today."""
    target = marker.with_name("payload.pth")
    torch.save({"conv1_1.weight": torch.zeros(2), "x": Payload(marker)}, target)
    assert zipfile.is_zipfile(target)
    return target.read_bytes()


def old(marker):
    """As `torch.save` wrote it before version 1.6."""
    target = marker.with_name("payload.pth")
    torch.save({"x": Payload(marker)}, target, _use_new_zipfile_serialization=False)
    return target.read_bytes()


def numpy_object(marker):
    target = marker.with_name("payload.npy")
    array = np.empty((), object)
    array[()] = {"conv1": {"weights": Payload(marker)}}
    np.save(target, array, allow_pickle=True)
    return target.read_bytes()


PAYLOADS = (plain, zipped, old, numpy_object)


def test_the_payloads_would_run(tmp_path):
    for number, make in enumerate(PAYLOADS):
        marker = tmp_path / f"ran{number}"
        content = make(marker)
        path = tmp_path / "payload.bin"
        path.write_bytes(content)
        if make is plain:
            pickle.loads(content)
        elif make is numpy_object:
            np.load(path, allow_pickle=True)
        else:
            torch.load(path, weights_only=False)
        assert marker.exists(), make


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_import(kind, marker, tmp_path):
    for make in PAYLOADS:
        for suffix in SUFFIXES:
            path = tmp_path / f"weights{suffix}"
            path.write_bytes(make(marker))
            with pytest.raises(CheckpointError):
                import_weights(kind, path, tmp_path / "out", channel_order=None if KINDS[kind].order else "rgb")
            assert not marker.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "make"),
    [("vgg_face_dag", zipped), ("fast_resnet", old), ("ir_se50", zipped), ("soundnet_npy", numpy_object)],
)
def test_what_was_asked_for_is_named(kind, make, marker, tmp_path):
    (tmp_path / "weights").write_bytes(make(marker))
    with pytest.raises(CheckpointError, match=r"a pickle that (asks for|imports) (builtins\.)?eval"):
        import_weights(kind, tmp_path / "weights", tmp_path / "out")


@pytest.mark.parametrize("make", PAYLOADS)
@pytest.mark.parametrize(
    "name", ["model.safetensors", "diffusion_pytorch_model.safetensors", "config.json", "model_index.json"]
)
def test_files_of_a_checkpoint(make, name, marker, tmp_path):
    part = tmp_path / "checkpoint" / "decoder"
    s2f.NormalizedFaceDecoder(8, 4, (4,), 5, 4, (4,), 32).save_pretrained(part)
    (tmp_path / "checkpoint" / "model_index.json").write_text('{"decoder": ["s2f", "NormalizedFaceDecoder"]}')
    target = tmp_path / "checkpoint" / name if name == "model_index.json" else part / name
    (part / "diffusion_pytorch_model.safetensors").unlink(missing_ok=name == "model.safetensors")
    target.write_bytes(make(marker))
    for load in (
        lambda: load_network(s2f.NormalizedFaceDecoder, part),
        lambda: s2f.Speech2FacePipeline.from_pretrained(tmp_path / "checkpoint"),
        lambda: MatchingModel.from_pretrained(tmp_path / "checkpoint"),
        lambda: ProbeClassifier.from_pretrained(tmp_path / "checkpoint"),
    ):
        with pytest.raises(S2fError):
            load()
    assert not verify(tmp_path / "checkpoint").ok


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_pickles_beside_or_instead_of_weights(suffix, marker, tmp_path):
    path = tmp_path / f"diffusion_pytorch_model{suffix}"
    path.write_bytes(zipped(marker))
    with pytest.raises(CheckpointError, match=r"the pickle .*`s2f weights import`"):
        load_network(s2f.NormalizedFaceDecoder, tmp_path)
    with pytest.raises(CheckpointError, match=r"the pickle .*`s2f weights import`"):
        resolve(path)


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.bin",
        "scheduler.bin",
        "random_states_0.pkl",
        "custom_checkpoint_0.pkl",
        "model.safetensors",
        "step.json",
    ],
)
@pytest.mark.parametrize("make", [plain, zipped, old])
def test_a_training_checkpoint(name, make, marker, tmp_path):
    """Resuming reads pickles of Accelerate, tensors and random states alone."""
    accelerator = Accelerator(cpu=True)
    network = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    accelerator.prepare(network, optimizer, scheduler)

    class Kept:
        def state_dict(self):
            return {"value": 1.0}

        def load_state_dict(self, state):
            self.value = state["value"]

    accelerator.register_for_checkpointing(Kept())
    save_checkpoint(accelerator, tmp_path, 1, {"seed": 0}, None)
    folder = tmp_path / "checkpoint-1"
    assert (folder / name).is_file(), sorted(path.name for path in folder.iterdir())
    assert load_checkpoint(accelerator, tmp_path, "latest", {"seed": 0}, False) == (1, [])
    (folder / name).write_bytes(make(marker))
    with pytest.raises(CheckpointError, match="a complete checkpoint"):
        load_checkpoint(accelerator, tmp_path, "latest", {"seed": 0}, False)


@pytest.mark.parametrize("make", PAYLOADS)
def test_media_and_arrays(make, marker, tmp_path):
    content = make(marker)
    (tmp_path / "voice.wav").write_bytes(content)
    (tmp_path / "voice.npy").write_bytes(content)
    (tmp_path / "face.npy").write_bytes(content)
    for name in ("voice.csv", "face.csv"):
        (tmp_path / name).write_text("identity\na\n")
    (tmp_path / "face.png").write_bytes(content)
    (tmp_path / "alexnet.safetensors").write_bytes(content)
    (tmp_path / "train-000000.tar").write_bytes(content)
    place = {"face_offset": "0", "face_bytes": str(len(content)), "key": "0", "path": "train-000000.tar"}
    for load in (
        lambda: audio.load(tmp_path / "voice.wav", 16000),
        lambda: audio.load(content, 16000),
        lambda: load_image(tmp_path / "face.png"),
        lambda: read_embeddings(tmp_path),
        lambda: read_face_feature(tmp_path, place),
        lambda: load_lpips(tmp_path / "alexnet.safetensors"),
    ):
        with pytest.raises(S2fError):
            load()
