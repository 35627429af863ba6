"""The effective batch decides, not how it is split; and the options of Accelerate and PyTorch do what they say."""

import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

from s2f.checkpoints.encoders import load_face_encoder
from s2f.commands.program import run_training
from s2f.datasets import DatasetFolder
from s2f.errors import RecipeError
from s2f.shards.writing import write_shards
from s2f.training.loop.arguments import TrainingArguments
from s2f.training.loop.loop import start
from s2f.training.loop.optimizer import learning_rate, scaled
from s2f.training.loop.sampler import StepSampler, epoch_order
from s2f.training.speech2face.pairs import TableFaces
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from s2f.training.voices.clips import VoiceClips, balance_groups
from tests.s2f.training.runs import CHECKOUT, exported, launch, rows


def losses(folder):
    return [row["loss"] for row in rows(folder)]


PLAIN = ["--network.batch_norm", "false", "--augment", "none", "--max_grad_norm", "0.5"]


@pytest.mark.slow
def test_one_batch_equals_two_accumulated_and_two_processes(shared, train, tiny_dataset, tmp_path):
    """Without batch statistics and augmentation, which belong to a process, only rounding differs."""
    ten = [*PLAIN, "--max_train_steps", "10"]
    assert train(tmp_path / "whole", *ten, "--train_batch_size", "4") == 0
    half = [*ten, "--train_batch_size", "2"]
    assert train(tmp_path / "accumulated", *half, "--gradient_accumulation_steps", "2") == 0
    done = launch(2, *shared, "--data", tiny_dataset, "--output_dir", tmp_path / "two", *half)
    assert done.returncode == 0, done.stderr[-2000:]
    whole = losses(tmp_path / "whole")
    assert len(whole) == 10
    assert losses(tmp_path / "accumulated") == pytest.approx(whole, rel=1e-5)
    assert losses(tmp_path / "two") == pytest.approx(whole, rel=1e-5)
    assert {rows(tmp_path / name, "start")[0]["effective_batch"] for name in ("whole", "accumulated", "two")} == {4}
    assert whole[-1] < whole[0]


def test_accumulated_gradients_are_averaged_not_summed(train, tmp_path):
    """Two halves with the clip at a tiny norm would hide a sum; plain Adam with a large epsilon would not."""
    flags = [*PLAIN, "--max_grad_norm", "0", "--adam_epsilon", "10"]
    assert train(tmp_path / "whole", *flags, "--train_batch_size", "4") == 0
    assert train(tmp_path / "half", *flags, "--train_batch_size", "2", "--gradient_accumulation_steps", "2") == 0
    a, b = exported(tmp_path / "whole"), exported(tmp_path / "half")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)


def test_accumulating_processes_share_the_items_of_one_big_batch():
    def steps(**changes):
        settings = {"items": 11, "batch_size": 8, "seed": 5, "start": 0, "stop": 6, "rank": 0, "processes": 1}
        batches = list(StepSampler(**(settings | changes)))
        size = changes.get("accumulation", 1)
        return [[key for batch in batches[k : k + size] for key in batch] for k in range(0, len(batches), size)]

    whole = steps()
    parts = [steps(batch_size=2, accumulation=2, processes=2, rank=rank) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(step) for step in whole]
    assert steps(batch_size=4, accumulation=2) == whole
    assert steps(batch_size=4, accumulation=2, start=3) == whole[3:]


@pytest.mark.parametrize("items", [8, 11, 21, 64])
def test_distinct_steps_never_meet_an_item_twice(items):
    """Epochs end with whole steps, however a step is shared, and a resumed run goes on in the same order."""

    def steps(**changes):
        settings = {"items": items, "batch_size": 8, "seed": 3, "start": 0, "stop": 60, "rank": 0, "processes": 1}
        batches = list(StepSampler(**(settings | {"distinct": True} | changes)))
        size = changes.get("accumulation", 1)
        return [[key for batch in batches[k : k + size] for key in batch] for k in range(0, len(batches), size)]

    whole = steps()
    assert all(len({item for _, item in step}) == 8 for step in whole)
    assert [{epoch for epoch, _ in step} for step in whole] == [{k // (items // 8)} for k in range(60)]
    assert {item for step in whole for _, item in step} == set(range(items))
    assert any(len({item for _, item in step}) < 8 for step in steps(distinct=False)) == bool(items % 8)
    for epoch in (0, 1):
        used = [item for step in whole for e, item in step if e == epoch]
        assert used == epoch_order(items, 3, epoch)[: items // 8 * 8].tolist()
    two = [steps(batch_size=4, processes=2, rank=rank) for rank in (0, 1)]
    assert [a + b for a, b in zip(*two, strict=True)] == whole
    assert steps(batch_size=2, accumulation=4) == whole
    for done in range(0, 60, 7):
        assert steps(start=done) == whole[done:]


def test_distinct_steps_need_as_many_items():
    with pytest.raises(RecipeError, match="at least 16 identities, all different in one step, got 15; lower"):
        StepSampler(15, 4, seed=0, start=0, stop=1, rank=0, processes=2, accumulation=2, distinct=True)


def test_runs_are_read_nearly_in_order():
    runs = [10] * 40
    order = epoch_order(400, seed=1, epoch=0, runs=runs)
    assert sorted(order.tolist()) == list(range(400))
    for first in range(0, 400, 160):
        assert len({item // 10 for item in order[first : first + 160].tolist()}) <= 16
    assert order.tolist() != epoch_order(400, seed=1, epoch=1, runs=runs).tolist()
    assert order[:160].tolist() != sorted(order[:160].tolist())
    uneven = epoch_order(7, seed=0, epoch=0, runs=[3, 4])
    assert sorted(uneven.tolist()) == list(range(7))


def test_scaling_rule_by_hand():
    """Four times the batch: twice the rate, a quarter of the steps; so the rate decays after as many items."""
    paper = TrainingArguments(
        data="", output_dir="", scale_lr_from=8, lr_scheduler="exponential", lr_decay_steps=10000, lr_warmup_steps=100
    )
    assert scaled(paper, processes=1) == paper
    large = scaled(TrainingArguments(**(vars(paper) | {"gradient_accumulation_steps": 2})), processes=2)
    assert large.learning_rate == pytest.approx(2e-3)
    assert (large.lr_decay_steps, large.lr_warmup_steps) == (2500, 25)
    assert learning_rate(2500, 10**6, large) == pytest.approx(2 * learning_rate(10000, 10**6, paper))
    assert learning_rate(2499, 10**6, large) == pytest.approx(2e-3)
    unscaled = TrainingArguments(**(vars(paper) | {"scale_lr_from": None, "train_batch_size": 64}))
    assert scaled(unscaled, processes=4) is unscaled


def test_scaled_rate_is_what_training_uses_and_logs(train, tmp_path):
    assert train(tmp_path / "run", "--scale_lr_from", "16", "--max_train_steps", "1") == 0
    assert rows(tmp_path / "run")[0]["lr"] == pytest.approx(1e-3 * math.sqrt(4 / 16))
    assert rows(tmp_path / "run", "start")[0]["arguments"]["learning_rate"] == pytest.approx(5e-4)


def test_average_of_the_weights_is_exported(train, tmp_path):
    """By hand: with decays min(0.15, (1 + step) / (10 + step)) the average of three steps' weights."""
    flags = ["--checkpointing_steps", "1", "--max_train_steps", "3"]
    assert train(tmp_path / "plain", *flags) == 0
    assert train(tmp_path / "average", *flags, "--use_ema", "true", "--ema_decay", "0.15") == 0
    assert losses(tmp_path / "average") == losses(tmp_path / "plain")
    from safetensors.torch import load_file

    steps = [load_file(tmp_path / "plain" / f"checkpoint-{k}" / "model.safetensors") for k in (1, 2, 3)]
    name = "voice_encoder.fc2.weight"
    average = steps[0][name]  # diffusers counts from the second step on; the first is copied
    for decay, weights in zip((0.15, 0.15), steps[1:], strict=True):
        average = decay * average + (1 - decay) * weights[name]
    torch.testing.assert_close(exported(tmp_path / "average")["fc2.weight"], average)
    assert not torch.equal(exported(tmp_path / "average")["fc2.weight"], exported(tmp_path / "plain")["fc2.weight"])


def test_channels_last_changes_only_rounding(train, tmp_path):
    assert train(tmp_path / "plain") == 0
    assert train(tmp_path / "last", "--channels_last", "true") == 0
    assert losses(tmp_path / "last") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_step_changes_only_rounding(train, tmp_path):
    one = ["--max_train_steps", "1", "--augment", "none"]
    assert train(tmp_path / "plain", *one) == 0
    assert train(tmp_path / "compiled", *one, "--torch_compile", "true") == 0
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=2e-3)
    assert exported(tmp_path / "compiled").keys() == exported(tmp_path / "plain").keys()


def test_tensorboard_has_the_rows_of_the_log(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(tmp_path / "run", "--report_to", "tensorboard") == 0
    (folder,) = {path.parent for path in (tmp_path / "run" / "logs").rglob("events*") if path.parent.name == "s2f"}
    events = EventAccumulator(str(folder)).Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses(tmp_path / "run"), rel=1e-6)
    assert events.Scalars("val_cosine")


def test_missing_tracker_and_wrong_device_are_refused(tmp_path, monkeypatch):
    def arguments(**changes):
        return TrainingArguments(data="", output_dir=str(tmp_path / "run"), cpu=True, **changes)

    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])
    with pytest.raises(RecipeError, match="a tracker"):
        start(arguments(report_to="tensorboard"))
    with pytest.raises(RecipeError, match="a tracker"):
        start(arguments(report_to="tensorbord"))
    with pytest.raises(RecipeError, match="needs a GPU"):
        start(arguments(sync_batch_norm=True))
    for name in ("train_batch_size", "gradient_accumulation_steps", "logging_steps", "checkpointing_steps"):
        with pytest.raises(RecipeError, match=f"{name} >= 1, got 0"):
            arguments(**{name: 0})


MATCHING = ("svhf", "kim2018", "wen2021")  # theirs are in test_matching.py
ABLATIONS = sorted(
    path for path in (CHECKOUT / "s2f" / "recipes" / "ablations").glob("*.yaml") if not path.stem.startswith(MATCHING)
)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda path: path.stem)
def test_ablations_of_the_published_recipe_train(shared, tiny_dataset, tmp_path, ablation):
    """The paper's recipe and the ablation, on networks of a few thousand weights."""
    recipe = [*("--config", str(CHECKOUT / "s2f/recipes/speech2face.yaml")), *("--config", str(ablation))]
    small = yaml.safe_load(Path(shared[1]).read_text())["network"]
    sizes = [word for name, value in small.items() for word in (f"--network.{name}", str(value))]
    few = ["--max_train_steps", "1", "--logging_steps", "1", "--data", str(tiny_dataset)]
    words = [*recipe, *sizes, *shared[2:], *few, "--output_dir", str(tmp_path / "run")]
    assert run_training(Speech2FaceArguments, train_speech2face, words) == 0
    (row,) = rows(tmp_path / "run")
    used = rows(tmp_path / "run", "start")[0]["arguments"]
    weights = used["loss_weights"]
    assert row["loss"] == pytest.approx(sum(weight * row[name] for name, weight in weights.items() if weight), rel=1e-5)
    changed = {name for name in yaml.safe_load(ablation.read_text())}
    assert changed <= {"loss_weights", "network", "seconds"}
    config = (tmp_path / "run" / "pipeline" / "voice_encoder" / "config.json").read_text()
    assert ('"batch_norm": false' in config) == (ablation.stem == "no_batch_norm")
    assert ("norms.0.weight" in exported(tmp_path / "run")) == (ablation.stem != "no_batch_norm")
    assert (used["seconds"] == 3.0) == (ablation.stem == "three_seconds")
    assert ("pixel" in row) == (ablation.stem == "pixel_loss")


def test_there_is_an_ablation_for_every_one_of_the_paper():
    assert {path.stem for path in ABLATIONS} == {
        *("pixel_loss", "no_batch_norm", "three_seconds"),
        *("decoder_term_only", "normalized_term_only", "distillation_term_only"),
    }


def test_features_on_the_fly_equal_precomputed_ones(train, tmp_path):
    assert train(tmp_path / "before") == 0
    assert train(tmp_path / "in_the_step", "--face_features", "on_the_fly") == 0
    assert losses(tmp_path / "in_the_step") == pytest.approx(losses(tmp_path / "before"), rel=1e-5)
    with pytest.raises(RecipeError, match="target face without mean_bias"):
        Speech2FaceArguments(
            data="", output_dir="", face_encoder="", decoder="", face_features="on_the_fly", mean_bias=True
        )


@pytest.fixture(scope="module")
def shards(shared, tiny_dataset, tmp_path_factory):
    """The tiny dataset as shards of two samples."""
    folder = tmp_path_factory.mktemp("shards") / "packed"
    write_shards(DatasetFolder(tiny_dataset), load_face_encoder(shared[3]), folder, samples_per_shard=2)
    return folder


def test_shards_train_validate_and_resume(train, shards, tmp_path):
    flags = ["--max_train_steps", "4", "--checkpointing_steps", "2", "--validation_steps", "4", "--mean_bias", "true"]
    assert train(tmp_path / "whole", *flags, data=shards) == 0
    assert (tmp_path / "whole" / "validation" / "step_000004" / "f2f_s2f.png").is_file()
    assert rows(tmp_path / "whole", "validation")[0]["val_cosine"] <= 1
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "checkpoint-4")
    resumed = [*flags, "--resume_from_checkpoint", "latest", "--dataloader_num_workers", "1"]
    assert train(tmp_path / "part", *resumed, data=shards) == 0
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")


def test_each_person_equally_often_from_shards(train, shared, tiny_dataset, tmp_path):
    """Two of six people have three more rows each, and still everybody is drawn twice in an epoch of twelve."""
    copy = tmp_path / "data"
    shutil.copytree(tiny_dataset, copy)
    header, *lines = (copy / "voices.csv").read_text().splitlines()
    (copy / "voices.csv").write_text("\n".join([header, *lines, *lines[:2] * 3]) + "\n")
    write_shards(DatasetFolder(copy), load_face_encoder(shared[3]), tmp_path / "packed", samples_per_shard=5)
    assert train(tmp_path / "run", "--balance", "[identity]", data=tmp_path / "packed") == 0
    data = DatasetFolder(tmp_path / "packed")
    voices = data.voices("train")
    settings = Speech2FaceArguments(data="", output_dir="", face_encoder="", decoder="", balance=["identity"])
    clips = VoiceClips(data, voices, TableFaces([]), settings, 16000, groups=balance_groups(data, voices, ["identity"]))
    drawn = Counter(voices[clips.row_of(0, item)]["identity"] for item in range(len(clips)))
    assert len(clips) == 12
    assert set(drawn.values()) == {2}
    assert Counter(row["identity"] for row in voices)["id0"] == 4
    assert clips.runs is None
    assert VoiceClips(data, voices, TableFaces([]), settings, 16000).runs == [5, 5, 2]


def test_shards_of_another_encoder_or_target_are_refused(train, shards, tmp_path, capsys):
    assert train(tmp_path / "a", "--target", "recording_mean", data=shards) == 2
    assert "with shards" in capsys.readouterr().err
    other = frozen_networks_with_another_seed(tmp_path)
    assert train(tmp_path / "b", "--face_encoder", other, data=shards) == 2
    assert "another face encoder" in capsys.readouterr().err


def frozen_networks_with_another_seed(folder: Path) -> str:
    import s2f

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        encoder = s2f.CompactFaceEncoder((4, 8), 16, num_identities=6, image_size_px=16)
        encoder.save_pretrained(folder / "other")
    return str(folder / "other")


def test_changed_table_is_noticed_on_resume(train, tiny_dataset, tmp_path, capsys):
    copy = tmp_path / "data"
    shutil.copytree(tiny_dataset, copy)
    assert train(tmp_path / "run", "--checkpointing_steps", "2", data=copy) == 0
    text = (copy / "voices.csv").read_text()
    (copy / "voices.csv").write_text(text.replace("id1,id1.wav,0,", "id1,id1.wav,0.5,"))
    more = ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]
    assert train(tmp_path / "run", *more, data=copy) == 2
    assert "data_hash" in capsys.readouterr().err
