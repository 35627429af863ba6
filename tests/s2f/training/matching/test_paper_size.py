"""One step of each published recipe at its own sizes, on the CPU; only batches are smaller."""

import math

import pytest

from encoders.voice.thin_resnet import ThinResNet34
from s2f.commands.program import run_training
from s2f.matching.model import MatchingModel
from s2f.training.matching.task import MatchingArguments
from s2f.training.matching.three_stages import train_matching
from tests.s2f.training.runs import CHECKOUT, rows

RECIPES = CHECKOUT / "s2f" / "recipes"
ENCODERS = {"svhf": 16_038_784 + 57_991_232, "kim2018": 774_096 + 14_714_688}
ENCODERS |= {"trinet": 7_656_200 + 43_574_976, "wen2021": 7_656_200 + 43_797_696}
SMALLER = {
    "svhf": ["--train_batch_size", "2"],
    "kim2018": ["--train_batch_size", "2"],
    "trinet": ["--train_batch_size", "2", "--voices_per_identity", "2", "--faces_per_identity", "2"],
    "wen2021": ["--train_batch_size", "2", "--reweighting", "{}", "--seconds", "2.5", "--voice_seconds", "2.5"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALLER))
def test_one_step_of_the_published_recipe(name, tiny_dataset, tmp_path):
    flags = ["--config", str(RECIPES / f"{name}.yaml"), "--data", str(tiny_dataset), "--output_dir", str(tmp_path)]
    flags += ["--max_train_steps", "1", "--cpu", "true", *SMALLER[name]]
    if name == "trinet":  # its voice network is frozen, so it must come from somewhere
        ThinResNet34().save_pretrained(tmp_path / "voice")
        flags += ["--voice_weights", str(tmp_path / "voice")]
    assert run_training(MatchingArguments, train_matching, flags) == 0
    (step,) = rows(tmp_path)
    assert math.isfinite(step["loss"])
    assert step["lr"] == pytest.approx(rows(tmp_path, "start")[0]["arguments"]["learning_rate"])
    model = MatchingModel.from_pretrained(tmp_path / "model")
    encoders = [*model.voice_encoder.parameters(), *model.face_encoder.parameters()]
    assert sum(parameter.numel() for parameter in encoders) == ENCODERS[name]
