"""The three training commands on a tiny dataset: they run, repeat, resume exactly, and chain into a pipeline."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from s2f import Speech2FacePipeline
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.faces.features import face_features
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.task import train_decoder
from s2f.training.encoders.face import FaceArguments, train_face
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests.s2f.training.runs import NETWORK, launch

FACE = """
encoder: compact
network: {channels: [4, 8], feature_size: 16, image_size_px: 16}
side_tasks: true
loss_weights: {identity: 1.0, landmarks: 1.0, thumbnail: 1.0, gender: 1.0, age: 1.0}
train_batch_size: 4
max_train_steps: 4
checkpointing_steps: 2
logging_steps: 1
"""
DECODER = """
network: {hidden_size: 16, landmark_sizes: [16], base_channels: 4, texture_channels: [4, 4], image_size_px: 64,
  warp_grid: 8, learn_mean: true, basis_size: 3, basis_size_px: 16, normalize_feature: true}
loss_weights: {landmarks: 0.01, texture: 1.0, gradient: 1.0, feature: 0.1}
mean_share: 0.5
morph_share: 0.5
morph_people: 3
feature_noise: 0.1
background_weight: 0.5
train_batch_size: 3
max_train_steps: 4
checkpointing_steps: 2
logging_steps: 1
"""
VOICE = f"""
network: {NETWORK}
seconds: 3.0
crop: random
trim_db: 40.0
augment: strong
target: face
loss_weights: {{decoder: 1.0, normalized: 20.0, distillation: 50.0}}
train_batch_size: 2
max_train_steps: 4
checkpointing_steps: 2
logging_steps: 1
max_grad_norm: 1.0
"""


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["event"] == "train"]


def same_weights(a: Path, b: Path) -> bool:
    first = load_file(a / "diffusion_pytorch_model.safetensors")
    second = load_file(b / "diffusion_pytorch_model.safetensors")
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def chain(tiny_dataset, tmp_path_factory):
    """Train face encoder, decoder and voice encoder in this order; return a function that re-runs a stage."""
    root = tmp_path_factory.mktemp("runs")
    recipes = {"face": FACE, "decoder": DECODER, "s2f": VOICE}
    stages = {
        "face": (FaceArguments, train_face, []),
        "decoder": (DecoderArguments, train_decoder, ["--face_encoder", f"{root}/face/face_encoder"]),
        "s2f": (
            Speech2FaceArguments,
            train_speech2face,
            ["--face_encoder", f"{root}/face/face_encoder", "--decoder", f"{root}/decoder/decoder"],
        ),
    }

    def train(stage: str, folder: Path, *extra: str) -> int:
        (root / f"{stage}.yaml").write_text(recipes[stage])
        arguments, function, needs = stages[stage]
        flags = ["--config", f"{root}/{stage}.yaml", "--data", str(tiny_dataset), "--output_dir", str(folder)]
        return run_training(arguments, function, [*flags, *needs, *extra])

    for stage in stages:
        assert train(stage, root / stage) == 0
    return root, train


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps one precision per process; forget it before and after."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


EXPORTS = {"face": "face_encoder", "decoder": "decoder", "s2f": "pipeline/voice_encoder"}


@pytest.mark.parametrize("stage", EXPORTS)
def test_same_seed_same_losses_and_another_seed_others(chain, tmp_path, stage):
    root, train = chain
    assert train(stage, tmp_path / "again") == 0
    assert losses(tmp_path / "again") == losses(root / stage)
    assert len(losses(root / stage)) == 4
    assert train(stage, tmp_path / "other", "--seed", "1") == 0
    assert losses(tmp_path / "other") != losses(root / stage)


@pytest.mark.parametrize("stage", EXPORTS)
def test_resume_equals_uninterrupted(chain, tmp_path, stage):
    """Interrupted one step past a checkpoint: the resumed run repeats that step and ends with the same weights."""
    root, train = chain
    folder = tmp_path / "run"
    assert train(stage, folder) == 0
    for name in ("checkpoint-4", EXPORTS[stage].split("/")[0]):
        shutil.rmtree(folder / name)
    lines = (folder / "log.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= 3]
    (folder / "log.jsonl").write_text("\n".join(kept) + "\n")
    assert train(stage, folder, "--resume_from_checkpoint", "latest") == 0
    assert losses(folder) == losses(root / stage)
    assert same_weights(folder / EXPORTS[stage], root / stage / EXPORTS[stage])


def test_chain_ends_in_a_pipeline(chain, tiny_dataset):
    root, _ = chain
    pipeline = Speech2FacePipeline.from_pretrained(root / "s2f" / "pipeline")
    output = pipeline(str(tiny_dataset / "id8.wav"), seconds=3)
    assert output.images[0].size == (64, 64)
    assert output.face_features.shape == (1, 16)


def test_validation_pictures_and_figures(chain, tiny_dataset):
    root, _ = chain
    names = {"face": "probe_truth_found.png", "decoder": "true_single_mean.png", "s2f": "true_f2f_s2f.png"}
    for stage, name in names.items():
        assert (root / stage / "validation" / "step_000004" / name).is_file()
        rows = [json.loads(line) for line in (root / stage / "log.jsonl").read_text().splitlines()]
        assert [row["event"] for row in rows][-1] == "done"
        assert rows[0]["split_hash"] == DatasetFolder(tiny_dataset).split_hash
        assert any(row["event"] == "validation" and len(row) > 2 for row in rows)


@pytest.mark.parametrize("stage", EXPORTS)
def test_loader_processes_change_nothing(chain, tmp_path, stage):
    root, train = chain
    assert train(stage, tmp_path / "workers", "--dataloader_num_workers", "2") == 0
    assert losses(tmp_path / "workers") == losses(root / stage)


@pytest.mark.parametrize("stage", EXPORTS)
def test_bfloat16_stays_close(chain, tmp_path, fresh_accelerate, stage):
    root, train = chain
    assert train(stage, tmp_path / "half", "--mixed_precision", "bf16", "--max_train_steps", "1") == 0
    (half,) = losses(tmp_path / "half")
    assert half != losses(root / stage)[0]
    assert half == pytest.approx(losses(root / stage)[0], rel=0.05)  # batch norm over two items amplifies rounding


def test_precision_of_the_launcher_is_used(chain, tmp_path, fresh_accelerate, monkeypatch):
    _, train = chain
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert train("face", tmp_path / "launched", "--max_train_steps", "1") == 0
    first = json.loads((tmp_path / "launched" / "log.jsonl").read_text().splitlines()[0])
    assert first["mixed_precision"] == "bf16"


def test_resume_refuses_another_runs_settings(chain, tmp_path, capsys):
    _, train = chain
    assert train("face", tmp_path / "run") == 0
    assert train("face", tmp_path / "run", "--resume_from_checkpoint", "latest", "--seed", "9") == 2
    assert "seed 0 then, 9 now" in capsys.readouterr().err


def test_only_the_newest_checkpoints_are_kept(chain, tmp_path):
    _, train = chain
    assert train("face", tmp_path / "run", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2") == 0
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]


def test_frozen_networks_stay_as_they_were(chain):
    root, _ = chain
    assert same_weights(root / "s2f/pipeline/face_encoder", root / "face/face_encoder")
    assert same_weights(root / "s2f/pipeline/decoder", root / "decoder/decoder")


def test_mean_bias_starts_from_the_mean_target(chain, tiny_dataset, tmp_path):
    _, train = chain
    assert train("s2f", tmp_path / "none", "--max_train_steps", "0", "--mean_bias", "true") == 0
    pipeline = Speech2FacePipeline.from_pretrained(tmp_path / "none" / "pipeline")
    data = DatasetFolder(tiny_dataset)
    faces = face_features(pipeline.face_encoder, [data.path(row) for row in data.faces("train")], torch.device("cpu"))
    torch.testing.assert_close(pipeline.voice_encoder.fc2.bias.detach(), faces.mean(0))


def test_bad_usage_is_one_sentence_and_exit_code_two(chain, tmp_path, capsys):
    _, train = chain
    assert train("face", tmp_path / "a", "--sed", "1") == 2
    assert "did you mean seed?" in capsys.readouterr().err
    assert train("face", tmp_path / "b", "--network.chanels", "[4]") == 2
    assert "chan" in capsys.readouterr().err
    assert train("face", tmp_path / "c", "--resume_from_checkpoint", "latest") == 2
    assert "none" in capsys.readouterr().err
    assert train("face", tmp_path / "d", "--data", str(tmp_path / "nowhere")) == 2
    assert "people.csv" in capsys.readouterr().err
    (tmp_path / "used" / "checkpoint-12").mkdir(parents=True)
    assert train("face", tmp_path / "used") == 2
    assert "add --resume_from_checkpoint latest" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert train("face", tmp_path / "file" / "x") == 2
    assert "choose another folder" in capsys.readouterr().err


def test_recipe_order_is_file_then_command_line(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("seed: 3\nlearning_rate: 0.5\n")
    flags = ["--config", str(recipe), "--data", "d", "--output_dir", "o", "--learning_rate", "0.25", "--dry-run"]
    assert run_training(FaceArguments, train_face, flags) == 0
    printed = capsys.readouterr().out
    assert "seed: 3" in printed
    assert "learning_rate: 0.25" in printed
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_two_processes_train_together(chain, tiny_dataset, tmp_path):
    """Two gloo processes write one log and one export, also when a head gets no gradient."""
    root, _ = chain
    flags = ["--config", root / "face.yaml", "--data", tiny_dataset, "--output_dir", tmp_path / "two"]
    flags += ["--max_train_steps", "2", "--loss_weights.gender", "0"]
    done = launch(2, *flags, script="train_face.py")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert rows[0]["processes"] == 2
    assert len(losses(tmp_path / "two")) == 2
    assert (tmp_path / "two" / "face_encoder" / "config.json").is_file()
