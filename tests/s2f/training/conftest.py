"""Training commands on the tiny dataset."""

from pathlib import Path

import pytest

from s2f.commands.program import run_training
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from tests.s2f.training.runs import RECIPE, frozen_networks


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Flags that name a tiny recipe of four steps and its frozen networks."""
    root = tmp_path_factory.mktemp("shared")
    (root / "recipe.yaml").write_text(RECIPE)
    brief = ["--max_train_steps", "4", "--checkpointing_steps", "2"]
    return ["--config", str(root / "recipe.yaml"), *frozen_networks(root), *brief]


@pytest.fixture
def train(shared, tiny_dataset):
    """Function (folder, flags) that runs train_s2f.py's body in this process and returns its exit code."""

    def train(folder: Path, *flags: str, data: Path = tiny_dataset) -> int:
        words = [*shared, "--data", str(data), "--output_dir", str(folder), *flags]
        return run_training(Speech2FaceArguments, train_speech2face, words)

    return train
