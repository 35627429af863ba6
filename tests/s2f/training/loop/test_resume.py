"""A run that is killed and resumed ends bit for bit where an undisturbed one ends, in the middle of an epoch."""

import signal
import subprocess
import sys

import pytest
import torch

from s2f.commands.program import run_training
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests.programs import Program
from tests.s2f.training.runs import RECIPE, command, environment, exported, frozen_networks, launch, rows

STEPS, HALF = 20, 10


@pytest.fixture(scope="module")
def flags(tiny_dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("resume")
    (root / "recipe.yaml").write_text(RECIPE)
    shared = ["--config", root / "recipe.yaml", "--data", tiny_dataset, *frozen_networks(root)]
    return [*shared, "--max_train_steps", STEPS, "--checkpointing_steps", HALF, "--use_ema", "true"]


def kill_after(folder, step: int, processes: int, words: list[object]) -> None:
    """Start a run and kill all of it as soon as its log shows a step."""
    with Program(words, processes, environment()) as program:
        log = folder / "log.jsonl"
        program.wait_for(lambda: log.is_file() and any(row["step"] >= step for row in rows(folder)))
        program.send(signal.SIGKILL)


def torchrun(processes: int, words: list[object]) -> subprocess.CompletedProcess:
    """Start a run as users do, for once."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.run([*start, *map(str, words)], capture_output=True, text=True, env=environment())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed_equals_undisturbed(flags, tmp_path, processes):
    """Six training voices and batches of four: step 10 lies in the middle of an epoch."""
    flags = [*flags, "--gradient_accumulation_steps", 2 // processes, "--train_batch_size", 4 // processes]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    if processes == 1:  # in this process: a start takes longer than the steps
        words = [str(flag) for flag in [*flags, "--output_dir", whole, "--cpu", "true"]]
        assert run_training(Speech2FaceArguments, train_speech2face, words) == 0
    else:
        done = torchrun(processes, command(*flags, "--output_dir", whole))
        assert done.returncode == 0, done.stderr[-2000:]
    assert len(rows(whole)) == STEPS
    kill_after(broken, HALF + 3, processes, command(*flags, "--output_dir", broken))
    assert sorted(path.name for path in broken.glob("checkpoint-*")) == [f"checkpoint-{HALF}"]
    (broken / f"checkpoint-{STEPS}.partial").mkdir()  # as if it had been killed while writing
    done = launch(processes, *flags, "--output_dir", broken, "--resume_from_checkpoint", "latest")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["loss"] for row in rows(broken)] == [row["loss"] for row in rows(whole)]
    a, b = exported(whole), exported(broken)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not list(broken.glob("*.partial"))


def test_changed_settings_are_refused_or_noted(flags, tmp_path, capsys):
    flags = [str(flag) for flag in [*flags, "--output_dir", tmp_path / "run", "--max_train_steps", 4]]
    assert run_training(Speech2FaceArguments, train_speech2face, flags) == 0
    more = [*flags, "--resume_from_checkpoint", "latest", "--loss_weights.normalized", "21"]
    assert run_training(Speech2FaceArguments, train_speech2face, more) == 2
    refusal = capsys.readouterr().err
    assert "'normalized': 20.0" in refusal
    assert "accept_changes" in refusal
    assert run_training(Speech2FaceArguments, train_speech2face, [*more, "--accept_changes", "true"]) == 0
    assert "loss_weights" in rows(tmp_path / "run", "start")[-1]["changes"][0]
