"""Speaker identification: labels, terms, what held-out speakers are compared by, a short run and its export."""

import json
import shutil
from typing import get_args, get_type_hints

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from s2f.checkpoints.encoders import VOICE_ENCODERS, load_voice_encoder
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import BadFile, DatasetError, RecipeError
from s2f.training.encoders import voice
from s2f.training.encoders.voice import VoiceIdentityArguments, VoiceIdentityTask, train_voice_identity
from tests.s2f.tiny_data import write_csv
from tests.s2f.training.runs import NETWORK

RECIPE = f"""
encoder: speech2face
network: {NETWORK}
  feature_size: 12
  target_rms: 0.1
seconds: 3.0
augment: light
label_column: speaker
side_tasks: {{f0: 2.0, gender: 0.5}}
loss_weights: {{identity: 3.0}}
train_batch_size: 3
max_train_steps: 2
checkpointing_steps: 1
logging_steps: 1
cpu: true
"""
SMALL = {
    "channels": [4] * 8 + [8],
    "strides": [[1, 2]] * 3 + [[1, 1]] * 4 + [[2, 2]] * 2,
    "hidden_size": 16,
    "feature_size": 12,
}


@pytest.fixture(scope="module")
def data(tiny_dataset, tmp_path_factory):
    """The tiny dataset as `s2f simulate` would label it: six training people with four speakers' voices."""
    root = tmp_path_factory.mktemp("voices") / "data"
    shutil.copytree(tiny_dataset, root)
    speakers = dict(
        zip((f"id{n}" for n in range(9)), ("r9", "r2", "r9", "r5", "r1", "r5", "v1", "v0", "t0"), strict=True)
    )
    people = [row | {"speaker": speakers[name]} for name, row in DatasetFolder(root).people.items()]
    write_csv(root / "people.csv", people)
    truth = [
        {"identity": name, "voice_gender": "fm"[n % 2], "voice_f0_hz": 110 + 20 * n} for n, name in enumerate(speakers)
    ]
    write_csv(root / "truth.csv", truth)
    return root


def task(folder, **options):
    settings = {"output_dir": "unused", "encoder": "speech2face", "network": SMALL} | options
    torch.manual_seed(0)
    made = VoiceIdentityTask(DatasetFolder(folder), VoiceIdentityArguments(data=str(folder), **settings))
    made.to(torch.device("cpu"))
    return made


def test_flags_name_every_voice_encoder():
    assert get_args(get_type_hints(VoiceIdentityArguments)["encoder"]) == tuple(VOICE_ENCODERS)


def test_labels_are_the_sorted_speakers_of_the_rows(data):
    made = task(data, label_column="speaker", side_tasks={"gender": 1.0})
    items = [made.dataset[0, item] for item in range(6)]
    assert [item["label"] for item in items] == [3, 1, 3, 2, 0, 2]
    assert [item["side"]["gender"].item() for item in items] == [0, 1, 0, 1, 0, 1]
    assert made.module.classifier.out_features == 4
    assert task(data).module.classifier.out_features == 6
    balanced = task(data, label_column="speaker", side_tasks={"gender": 1.0}, balance=["speaker"])
    drawn = [balanced.dataset[0, item]["label"] for item in range(4)]
    assert drawn == [0, 1, 2, 3]


def test_crops_are_random_parts(data):
    made = task(data)
    clips = [made.dataset[epoch, 0]["waveform"] for epoch in range(3)]
    assert [len(clip) for clip in clips] == [48000] * 3
    assert not torch.equal(clips[0], clips[1])
    torch.testing.assert_close(clips[2], made.dataset[2, 0]["waveform"])
    whole = made.dataset.read(made.dataset.rows[0])
    assert any(np.array_equal(whole[first : first + 48000], clips[1]) for first in range(8001))


def test_terms_are_the_cross_entropy_of_the_feature_and_the_side_heads(data):
    module = task(data, side_tasks={"f0": 1.0}).module.eval()
    waveform = 0.1 * torch.randn(4, 48000)
    label, pitch = torch.tensor([0, 5, 2, 2]), torch.tensor([0.1, -1.0, 3.0, 0.0])
    terms = module({"waveform": waveform, "label": label, "side": {"f0": pitch}})
    feature = module.encoder.features(module.encoder.front_end(waveform))
    logits = feature @ module.classifier.weight.T + module.classifier.bias
    torch.testing.assert_close(terms["identity"], (logits.logsumexp(1) - logits[torch.arange(4), label]).mean())
    predicted = feature @ module.side_heads.heads["f0"].weight[0] + module.side_heads.heads["f0"].bias
    torch.testing.assert_close(terms["side_f0"], F.smooth_l1_loss(predicted, pitch))
    assert terms.keys() == {"identity", "side_f0"}
    for term, head in (("identity", module.classifier), ("side_f0", module.side_heads)):
        weights = [head.state_dict(keep_vars=True).popitem()[1], module.encoder.fc1.weight, module.encoder.fc2.weight]
        assert all(gradient.any() for gradient in torch.autograd.grad(terms[term], weights, retain_graph=True))


def test_augmentation_knows_the_rate_of_the_encoder(data, monkeypatch):
    calls = []
    monkeypatch.setattr(voice, "augment_voice", lambda *given: calls.append(given) or given[0])
    batch = {"waveform": 0.1 * torch.randn(2, 48000), "label": torch.tensor([0, 1]), "side": {}}
    for augment in ("none", "strong"):
        task(data, augment=augment).module(batch)
    ((waveform, rate, strength),) = calls
    assert waveform is batch["waveform"]
    assert (rate, strength) == (16000, voice.STRENGTHS["strong"])


@pytest.fixture
def ramps(data, tmp_path):
    """The held-out voices as ramps: v1 (id6) has one recording, v0 (id7) two, and one of them in a third row."""
    root = tmp_path / "ramps"
    shutil.copytree(data, root)
    ramp = np.linspace(0.1, 0.9, 16000 * 5, dtype=np.float32)
    for name, sound in (("one", ramp), ("two", -ramp[::-1]), ("three", ramp / 2)):
        soundfile.write(root / f"{name}.wav", sound, 16000, subtype="FLOAT")
    rows = [row for row in DatasetFolder(root).voices("train")]
    part = {"start_s": "", "duration_s": "", "video": ""}
    rows += [{"identity": name, "path": f"{file}.wav"} | part for name, file in (("id6", "one"), ("id7", "two"))]
    rows += [{"identity": "id7", "path": f"{file}.wav"} | part for file in ("two", "three")]
    write_csv(root / "voices.csv", rows)
    return root, ramp


def test_held_out_clips_are_two_recordings_or_two_halves(ramps):
    root, ramp = ramps
    held_out = task(root, label_column="speaker").held_out
    assert [row["identity"] for row in held_out.rows] == ["id7", "id6"]  # v0, v1
    assert [row["path"] for row in held_out.rows] == ["two.wav", "one.wav"]
    assert held_out.first.shape == held_out.second.shape == (2, 48000)
    np.testing.assert_allclose(held_out.first[0], -ramp[::-1][:48000], atol=1e-6)
    np.testing.assert_allclose(held_out.second[0], ramp[:48000] / 2, atol=1e-6)
    np.testing.assert_allclose(held_out.first[1], np.resize(ramp[:40000], 48000), atol=1e-6)
    np.testing.assert_allclose(held_out.second[1], np.resize(ramp[40000:], 48000), atol=1e-6)


def test_a_bad_held_out_recording_stops_or_is_skipped(ramps, tmp_path):
    root, _ = ramps
    (root / "one.wav").unlink()
    with pytest.raises(BadFile, match=r"one\.wav"):
        task(root)
    made = task(root, skip_bad=True, output_dir=str(tmp_path))
    assert [row["identity"] for row in made.held_out.rows] == ["id7"]
    assert made.validate(tmp_path) == {}  # nobody to tell the one from
    assert "one.wav" in (tmp_path / "skipped.csv").read_text()
    (root / "two.wav").unlink()
    with pytest.raises(DatasetError, match="held-out voices that can be used"):
        task(root, skip_bad=True)


def test_rank_one_compares_directions_of_second_and_first_clips(data, tmp_path, monkeypatch):
    """Features are the first values of planted clips: of three second clips two point to their own first one."""
    made = task(data, side_tasks={"gender": 0.5})
    assert made.arguments.loss_weights == {"identity": 1.0, "side_gender": 0.5}
    monkeypatch.setattr(type(made.module.encoder), "encode", lambda _, waveform: waveform[:, :12])
    made.held_out.rows = made.held_out.rows[:1] * 3  # id6, a woman
    made.held_out.first = F.pad(torch.tensor([[1.0, 0.0], [0.0, 9.0], [-1.0, 0.0]]), (0, 10))
    made.held_out.second = F.pad(torch.tensor([[5.0, 1.0], [0.1, 0.2], [3.0, -0.1]]), (0, 10))
    figures = made.validate(tmp_path)
    head = made.module.side_heads.heads["gender"]
    side = F.softplus(made.held_out.first @ head.weight[0] + head.bias).mean().item()
    assert figures == pytest.approx({"rank1": 2 / 3, "gallery": 3.0, "val_side_gender": side})


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Function (folder name, flags) that runs train_voice.py's body; returns exit code and folder."""
    root = tmp_path_factory.mktemp("runs")
    (root / "recipe.yaml").write_text(RECIPE)

    def train(name, *flags):
        words = ["--config", root / "recipe.yaml", "--data", data, "--output_dir", root / name, *flags]
        return run_training(VoiceIdentityArguments, train_voice_identity, [str(word) for word in words]), root / name

    return train


def test_a_run_logs_validates_and_exports_the_encoder_alone(trained, data):
    code, folder = trained("whole")
    assert code == 0
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for row in [row for row in rows if row["event"] == "train"]:
        weighted = 3 * row["identity"] + 2 * row["side_f0"] + 0.5 * row["side_gender"]
        assert row["loss"] == pytest.approx(weighted, rel=1e-4)
    last = [row for row in rows if row["event"] == "validation"][-1]
    assert last.keys() == {"step", "event", "rank1", "gallery", "val_side_f0", "val_side_gender"}
    assert last["gallery"] == 2
    first, second = (load_file(folder / f"checkpoint-{step}" / "model.safetensors") for step in (1, 2))
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert {"classifier.weight", "side_heads.heads.f0.weight", "encoder.fc2.weight"} <= changed
    encoder = load_voice_encoder(folder / "voice_encoder")
    assert encoder.embedding_dim == 12
    assert not encoder.training
    own = {name.removeprefix("encoder."): value for name, value in second.items() if name.startswith("encoder.")}
    exported = encoder.state_dict()
    assert exported.keys() == own.keys()
    assert all(torch.equal(exported[name], own[name]) for name in own)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label_column", "speker"], "expected a column speker in people.csv, got only identity, gender, age, split"),
        (["--side_tasks", "{embedding: 1.0}"], "expected side_tasks of f0, tract, gender, age_class, got 'embedding'"),
        (["--side_tasks", "{pitch: 1.0}"], "expected side_tasks of f0"),
        (["--seconds", "0.5"], "expected seconds >= "),
        (["--network", "{width: 3}"], "expected options of Speech2FaceVoiceEncoder"),
    ],
)
def test_bad_flags_end_with_code_two(trained, capsys, flags, message):
    assert trained("bad", *flags)[0] == 2
    error = capsys.readouterr().err
    assert message in error
    assert ";" in error


def test_labels_that_cannot_be_used(data, tmp_path):
    root = tmp_path / "labels"
    shutil.copytree(data, root)
    people = list(DatasetFolder(root).people.values())
    write_csv(root / "people.csv", [row | {"speaker": "" if row["identity"] == "id3" else "r1"} for row in people])
    with pytest.raises(DatasetError, match=r"expected a speaker of everybody in people\.csv, got none for id3"):
        task(root, label_column="speaker")
    write_csv(root / "people.csv", [row | {"speaker": "r1"} for row in people])
    with pytest.raises(DatasetError, match="two or more values of speaker to tell apart, got only r1"):
        task(root, label_column="speaker")
    with pytest.raises(RecipeError, match="seconds >= "):
        task(root, seconds=0.1)
