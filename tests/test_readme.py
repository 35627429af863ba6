"""The README tells today's truth: every command and recipe is in it, and its figures are the card's.

That what it prints is understood and runs, is for `tests/test_docs.py` and `tests/test_docs_run.py`.
"""

import re

import yaml

from eval.cli import COMMANDS as EVALUATIONS
from s2f.cli import COMMANDS
from s2f.commands.weights import COMMANDS as WEIGHTS
from s2f.weights.kinds import KINDS
from tests import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_stand_there_and_ci_runs_them():
    assert "pip install '.[all]' && s2f reconstruct examples/voice.wav -o face.png" in README
    assert "pip install -e '.[all,dev]' && pytest" in README
    ci = (CHECKOUT / ".ci" / "run").read_text()
    assert "pip install --quiet --disable-pip-version-check -e '.[all,dev]'" in ci
    assert "reconstruct" in ci
    assert ci.rstrip().splitlines()[-4:] == ["pytest", "", 'step "pytest -m slow"', "pytest -m slow"]


def test_every_command_is_described():
    assert set(re.findall(r"`s2f ([a-z]+)", README)) == set(COMMANDS)
    assert set(re.findall(r"`s2f-eval ([a-z]+)", README)) == set(EVALUATIONS)


def test_the_commands_and_kinds_of_weights_are_described():
    text = (CHECKOUT / "docs" / "weights.md").read_text(encoding="utf-8")
    assert set(re.findall(r"s2f weights ([a-z-]+)", README + text)) == set(WEIGHTS)
    for name, kind in KINDS.items():
        assert f"| `{name}` |" in text
        assert kind.file.split(" ")[0] in text
    described = {name for name in re.findall(r"^\| `(\w+)` \|", text, re.M) if name in KINDS}
    assert described == set(KINDS)


def test_shown_training_command_needs_nothing_but_data():
    assert "accelerate launch train_s2f.py --config s2f/recipes/starter_s2f.yaml --data DIR\n" in README
    recipe = yaml.safe_load((CHECKOUT / "s2f" / "recipes" / "starter_s2f.yaml").read_text(encoding="utf-8"))
    assert (CHECKOUT / recipe["decoder"]).samefile(CHECKOUT / "checkpoints" / "starter" / "decoder")


def test_every_recipe_is_in_the_readme():
    assert set(re.findall(r"train_\w+\.py --config s2f/recipes/(\w+\.yaml)", README)) == {
        path.name for path in (CHECKOUT / "s2f" / "recipes").glob("*.yaml")
    }


def test_figures_are_those_of_the_card():
    card = (CHECKOUT / "checkpoints" / "starter" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in README.splitlines() if re.match(r"\| (gender_agreement|one_face) ", line)]
    assert len(rows) >= 3
    for row in rows:
        assert row in card
