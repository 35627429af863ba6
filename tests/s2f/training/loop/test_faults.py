"""What can go wrong in a long run: each says one sentence, and the last checkpoint stays whole."""

import csv
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch

from s2f.errors import AudioMissing, BadFile, OutputError, RecipeError
from s2f.training.loop.bad_items import SkippingItems
from s2f.training.loop.checkpointing import writing_run
from s2f.training.loop.finite import FiniteCheck
from tests.programs import Program
from tests.s2f.training.runs import command, environment, exported, rows


def test_full_disk_keeps_the_last_checkpoint(train, tmp_path, capsys):
    """The kernel refuses to let any file grow beyond a few kilobytes, as a full disk or a quota would."""
    assert train(tmp_path / "whole", "--max_train_steps", "4") == 0
    folder = tmp_path / "run"
    assert train(folder, "--max_train_steps", "2") == 0
    before = {path: path.read_bytes() for path in (folder / "checkpoint-2").iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    more = ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert train(folder, *more, "--validation_steps", "3") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"room and permission to write in {folder}" in message
    assert f"{folder}/checkpoint-2 is complete and --resume_from_checkpoint latest goes on" in message
    assert {path: path.read_bytes() for path in (folder / "checkpoint-2").iterdir()} == before
    assert train(folder, *more) == 0
    a, b = exported(tmp_path / "whole"), exported(folder)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_checkpoint_that_cannot_be_written_leaves_nothing_half(train, tmp_path, capsys, monkeypatch):
    def save_state(self, folder):
        Path(folder).mkdir()
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr("accelerate.Accelerator.save_state", save_state)
    assert train(tmp_path / "run", "--max_train_steps", "4") == 2
    assert "there is no checkpoint yet" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_damaged_checkpoint_is_named(train, tmp_path, capsys):
    assert train(tmp_path / "run", "--max_train_steps", "2") == 0
    (tmp_path / "run" / "checkpoint-2" / "model.safetensors").write_bytes(b"half")
    more = ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]
    assert train(tmp_path / "run", *more) == 2
    assert "expected a complete checkpoint" in capsys.readouterr().err


def test_loss_that_is_no_number_stops_before_the_next_checkpoint(train, tmp_path, capsys):
    flags = ["--max_train_steps", "8", "--learning_rate", "1e30", "--max_grad_norm", "0", "--logging_steps", "5"]
    assert train(tmp_path / "run", *flags) == 2
    message = capsys.readouterr().err
    assert "expected a finite loss" in message
    assert "normalized" in message
    assert not list((tmp_path / "run").glob("checkpoint-*"))  # two steps between them, and the second loss is none


def test_finite_check_reports_the_first_bad_step_and_only_then_waits():
    class Alone:
        def gather(self, tensor):
            return tensor

    check = FiniteCheck(torch.device("cpu"))
    check.note(0, {"loss": torch.tensor(1.0), "a": torch.tensor(2.0)})
    check.require(Alone())
    check.note(3, {"loss": torch.tensor(torch.nan), "a": torch.tensor(5.0)})
    check.note(4, {"loss": torch.tensor(1.0), "a": torch.tensor(torch.inf)})
    with pytest.raises(RecipeError, match="loss nan, a 5 at step 3"):
        check.require(Alone())


@pytest.fixture
def damaged(tiny_dataset, tmp_path):
    """The tiny dataset with one training voice that is no sound and one that is silent."""
    copy = tmp_path / "damaged"
    shutil.copytree(tiny_dataset, copy)
    (copy / "id0.wav").write_bytes(b"not audio")
    import numpy
    import soundfile

    soundfile.write(copy / "id3.wav", numpy.zeros(56000), 16000)
    return copy


def test_unreadable_clip_stops_and_names_the_file(train, damaged, tmp_path, capsys):
    assert train(tmp_path / "run", "--max_train_steps", "4", data=damaged) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "id0.wav" in message or "id3.wav" in message
    assert "--skip_bad true" in message


def test_unreadable_clips_are_skipped_and_listed_when_asked(train, damaged, tmp_path):
    flags = ["--skip_bad", "true", "--max_train_steps", "4"]
    assert train(tmp_path / "run", *flags, data=damaged) == 0
    with (tmp_path / "run" / "skipped.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    skipped = dict(lines)
    assert header == ["path", "reason"]
    assert len(lines) == 2  # each once, however often it was drawn
    assert set(skipped) == {"id0.wav", "id3.wav"}
    assert "not audio" in skipped["id0.wav"]
    assert "silence" in skipped["id3.wav"]
    assert train(tmp_path / "workers", *flags, "--dataloader_num_workers", "2", data=damaged) == 0
    assert [row["loss"] for row in rows(tmp_path / "workers")] == [row["loss"] for row in rows(tmp_path / "run")]


def test_bad_held_out_voice_is_met_at_the_start(train, tiny_dataset, tmp_path, capsys):
    """Validation would come thousands of steps later."""
    copy = tmp_path / "data"
    shutil.copytree(tiny_dataset, copy)
    (copy / "id6.wav").unlink()
    assert train(tmp_path / "run", data=copy) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "id6.wav" in message
    assert "--skip_bad true" in message
    assert not (tmp_path / "run" / "log.jsonl").exists()
    assert train(tmp_path / "run", "--skip_bad", "true", data=copy) == 0
    assert "id6.wav" in (tmp_path / "run" / "skipped.csv").read_text()
    assert rows(tmp_path / "run", "validation")
    (copy / "id7.wav").unlink()
    assert train(tmp_path / "none", "--skip_bad", "true", data=copy) == 2
    assert "held-out voices that can be used" in capsys.readouterr().err


def test_missing_file_is_no_full_disk(tmp_path):
    with pytest.raises(AudioMissing, match="a clip"), writing_run(tmp_path):
        raise AudioMissing("a clip", "none", "check the path")
    with pytest.raises(OutputError, match="room and permission to write"), writing_run(tmp_path):
        raise OSError(28, "No space left on device")


class Holes:
    """Ten items of which the even ones cannot be read."""

    def __len__(self):
        return 10

    def __getitem__(self, key):
        epoch, item = key
        if item % 2 == 0:
            raise BadFile.of(f"{item}.wav", ValueError("empty"))
        return epoch, item


def test_replacement_is_a_readable_item_of_the_epoch_and_always_the_same():
    items = SkippingItems(Holes(), seed=3)
    assert items[5, 7] == ((5, 7), [])
    (epoch, item), reasons = items[5, 4]
    assert epoch == 5
    assert item % 2 == 1
    assert reasons[0][0] == "4.wav"
    assert items[5, 4] == ((epoch, item), reasons)
    found = {items[epoch, 4][0][1] for epoch in range(40)}
    assert found == {1, 3, 5, 7, 9}


@pytest.mark.slow
def test_interrupt_says_what_is_safe(shared, tiny_dataset, tmp_path):
    folder = tmp_path / "run"
    words = command(*shared, "--data", tiny_dataset, "--output_dir", folder)
    words += ["--max_train_steps", "100000", "--dataloader_num_workers", "1", "--checkpoints_total_limit", "1"]
    with Program(words, environment=environment()) as program:
        program.wait_for(lambda: (folder / "log.jsonl").is_file() and len(rows(folder)) > 3)
        program.send(signal.SIGINT)  # the loading process hears it too
        code, errors = program.wait(), program.err.read_text()
    assert code == 130, errors[-2000:]
    said = [line for line in errors.splitlines() if "interrupted" in line]  # a loading process may have the last word
    assert said, errors[-2000:]
    last = said[-1]
    assert "is complete and --resume_from_checkpoint latest goes on" in last
    assert "Traceback" not in errors
