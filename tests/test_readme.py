"""The README tells today's truth: its commands, its snippet, its recipes and its figures."""

import re
import subprocess
import sys

import pytest

from eval.cli import COMMANDS as EVALUATIONS
from s2f.cli import COMMANDS
from s2f.commands.program import run_training
from s2f.commands.weights import COMMANDS as WEIGHTS
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.task import train_decoder
from s2f.training.encoders.face import FaceArguments, train_face
from s2f.training.encoders.landmarks import LandmarkArguments, train_landmarks
from s2f.training.matching.task import MatchingArguments
from s2f.training.matching.three_stages import train_matching
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face
from s2f.weights.kinds import KINDS
from tests import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SCRIPTS = {
    "train_face": (FaceArguments, train_face, ["--data", "d", "--output_dir", "o"]),
    "train_landmarks": (LandmarkArguments, train_landmarks, ["--data", "d", "--output_dir", "o"]),
    "train_decoder": (DecoderArguments, train_decoder, ["--data", "d", "--output_dir", "o", "--face_encoder", "f"]),
    "train_s2f": (
        Speech2FaceArguments,
        train_speech2face,
        ["--data", "d", "--output_dir", "o", "--face_encoder", "f", "--decoder", "x"],
    ),
    "train_matching": (MatchingArguments, train_matching, ["--data", "d", "--output_dir", "o"]),
}


def test_the_two_commands_stand_there_and_ci_runs_them():
    assert "pip install '.[all]' && s2f reconstruct examples/voice.wav -o face.png" in README
    assert "pip install -e '.[all,dev]' && pytest" in README
    ci = (CHECKOUT / ".ci" / "run").read_text()
    assert "pip install --quiet --disable-pip-version-check -e '.[all,dev]'" in ci
    assert "reconstruct" in ci
    assert ci.rstrip().splitlines()[-4:] == ["pytest", "", 'step "pytest -m slow"', "pytest -m slow"]


def test_python_snippet_runs(tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "examples").symlink_to(CHECKOUT / "examples")
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "face.png").stat().st_size > 1000


def test_named_commands_exist():
    named = set(re.findall(r"`s2f ([a-z]+)", README))
    assert named
    assert named <= set(COMMANDS)
    assert set(re.findall(r"`s2f-eval ([a-z]+)", README)) == set(EVALUATIONS)


def test_the_commands_and_kinds_of_weights_are_described():
    text = (CHECKOUT / "docs" / "weights.md").read_text(encoding="utf-8")
    assert set(re.findall(r"s2f weights ([a-z-]+)", README + text)) == set(WEIGHTS)
    for name, kind in KINDS.items():
        assert f"| `{name}` |" in text
        assert kind.file.split(" ")[0] in text
    described = {name for name in re.findall(r"^\| `(\w+)` \|", text, re.M) if name in KINDS}
    assert described == set(KINDS)


def test_shown_training_command_needs_nothing_but_data(capsys):
    assert "accelerate launch train_s2f.py --config s2f/recipes/starter_s2f.yaml --data DIR\n" in README
    recipe = str(CHECKOUT / "s2f/recipes/starter_s2f.yaml")
    assert (
        run_training(Speech2FaceArguments, train_speech2face, ["--config", recipe, "--data", "DIR", "--dry-run"]) == 0
    )
    assert "decoder: checkpoints/starter/decoder" in capsys.readouterr().out


RECIPES = sorted(set(re.findall(r"(train_\w+)\.py --config (s2f/recipes/\w+\.yaml)", README)))


@pytest.mark.parametrize(("script", "recipe"), RECIPES)
def test_every_recipe_of_the_readme_resolves(script, recipe, capsys):
    arguments, train, flags = SCRIPTS[script]
    assert run_training(arguments, train, ["--config", str(CHECKOUT / recipe), *flags, "--dry-run"]) == 0
    assert "loss_weights:" in capsys.readouterr().out


def test_every_recipe_is_in_the_readme():
    assert {recipe for _, recipe in RECIPES} == {
        str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "s2f" / "recipes").glob("*.yaml")
    }


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def test_figures_are_those_of_the_card():
    card = (CHECKOUT / "checkpoints" / "starter" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in README.splitlines() if re.match(r"\| (gender_agreement|one_face) ", line)]
    assert len(rows) >= 3
    for row in rows:
        assert row in card
