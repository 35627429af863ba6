"""Programs and training commands: options from dataclasses, misspelt ones recognised, errors and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from s2f.commands.program import Program, add_options, run_training, typed, unknown_option
from s2f.errors import UsageError, did_you_mean


def test_names_come_from_real_parser_messages(tmp_path):
    """Whatever jsonargparse says today, on the command line and in a file, the unknown name is found in it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--seconds", type=float, default=6.0)
    (tmp_path / "file.yaml").write_text("secods: 3\n")
    for words in (["--secods", "3"], ["--config", str(tmp_path / "file.yaml")]):
        with pytest.raises(ArgumentError) as caught:
            parser.parse_args(words)
        assert unknown_option(str(caught.value)) == "secods"
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args(["--seconds", "six"])
    assert unknown_option(str(caught.value)) is None


def test_nearest_name_or_nothing():
    assert did_you_mean("secods", ["device", "seconds"]) == "did you mean seconds?"
    assert did_you_mean("zzz", ["device", "seconds"]) == ""
    assert did_you_mean(None, ["device"]) == ""


# --- options from a dataclass -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Common:
    """What many commands take.

    Args:
        quiet: say nothing.
    """

    quiet: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class DrawConfig(Common):
    """Arguments of a command.

    Args:
        kind: what is drawn:
        clips: audio files.
        out: where to.
        split: of people.
        seconds: lengths.
        faces: draw faces too.
        shares: by name.
        limit: at most so many.
    """

    kind: str
    clips: Sequence[str]
    out: str
    split: Literal["val", "test"] = "test"
    seconds: Sequence[float] = (3.0, 6.0)
    faces: bool = True
    shares: dict[str, float] = field(default_factory=dict)
    limit: int | None = None


@pytest.fixture
def draw():
    """Function (words) that parses a command line of `DrawConfig`."""
    parser = ArgumentParser(exit_on_error=False)
    add_options(parser, DrawConfig, ("kind", "clips"), {"kind": {"face": "a picture", "wave": "a curve"}})

    def draw(*words):
        return typed(DrawConfig, parser.parse_args([*words]))

    draw.help = " ".join(parser.format_help().split())
    return draw


def test_options_have_the_types_and_defaults_of_the_dataclass(draw):
    short, brief = draw("face", "a", "b", "-o", "x"), DrawConfig("face", ["a", "b"], "x", seconds=[3.0, 6.0])
    assert short == brief
    more = ["--split", "val", "--seconds", "1", "2.5", "--faces", "false", "--shares", "{a: 1}", "--limit", "4"]
    full = DrawConfig("wave", ["a"], "x", "val", [1.0, 2.5], False, {"a": 1.0}, 4, quiet=True)
    assert draw("wave", "a", "--out", "x", "--quiet", *more) == full


@pytest.mark.parametrize(
    "words",
    [
        ("face", "a"),
        ("face", "-o", "x"),
        ("sound", "a", "-o", "x"),
        ("face", "a", "-o", "x", "--split", "train"),
        ("face", "a", "-o", "x", "--seconds"),
        ("face", "a", "-o", "x", "--seconds", "six"),
    ],
)
def test_what_is_missing_or_of_another_type_is_refused(draw, words):
    with pytest.raises(ArgumentError):
        draw(*words)


def test_help_has_the_sentences_of_the_docstring_and_of_its_bases(draw):
    for words in (
        "KIND what is drawn: face: a picture; wave: a curve",
        "CLIPS audio files. ",
        "-o OUT, --out OUT where to. ",
        "--quiet say nothing. ",
    ):
        assert words in draw.help


# --- exit codes -------------------------------------------------------------------------------------------------------

GREET = '''
from dataclasses import dataclass
from s2f.commands.program import add_options, typed
from s2f.errors import UsageError

@dataclass(frozen=True)
class GreetConfig:
    """Arguments of `hello greet`.

    Args:
        name: who is greeted.
        times: how often.
    """

    name: str
    times: int = 1

def add_arguments(parser):
    add_options(parser, GreetConfig, ("name",))

def run(arguments):
    config = typed(GreetConfig, arguments)
    if config.name == "nobody":
        raise UsageError("somebody", "nobody", "give a name")
    if config.name == "interrupt":
        raise KeyboardInterrupt
    print(" ".join(["hello"] * config.times), config.name)
    return int(config.name == "stranger")
'''


@pytest.fixture
def hello(tmp_path, monkeypatch, capsys):
    """Function (words) that runs a program of one command: exit code, standard output, standard error."""
    package = tmp_path / "hello_commands"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "greet.py").write_text(GREET)
    monkeypatch.syspath_prepend(tmp_path)
    program = Program("hello", "Be polite.", "hello_commands", {"greet": "say hello to somebody"})

    def hello(*words):
        return program.main([*words]), *capsys.readouterr()

    return hello


def test_a_program_answers_by_its_exit_code(hello, tmp_path):
    (tmp_path / "words.yaml").write_text("name: file\ntime: 3\n")
    assert hello("greet", "you", "--times", "2") == (0, "hello hello you\n", "")
    assert hello("greet", "stranger")[0] == 1
    for words in (("--help",), ("greet", "--help")):
        code, out, err = hello(*words)
        assert (code, err) == (0, "")
        assert "say hello to somebody" in out
    assert hello("greet", "nobody") == (2, "", "hello: error: expected somebody, got nobody; give a name\n")
    assert hello("greet", "interrupt") == (130, "", "hello: error: interrupted\n")
    for words in (("greet", "you", "--tims", "2"), ("greet", "--config", str(tmp_path / "words.yaml"))):
        code, out, err = hello(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.endswith("; did you mean times?\n")
    assert hello("greet", "you", "--zzz", "2")[2].endswith("; `hello greet --help` lists the options\n")
    code, _, err = hello("great", "you")
    assert code == 2
    assert "`hello --help` lists the commands" in err


@dataclass
class Recipe:
    """Arguments of a training.

    Attributes:
        steps: how many.
    """

    steps: int = 3

    def what_is_safe(self) -> str:
        return f"checkpoint-{self.steps} is complete"


def test_a_training_answers_by_its_exit_code(tmp_path, capsys, monkeypatch):
    trained = []

    def train(recipe):
        if recipe.steps == 0:
            raise UsageError("a step", "none", "train longer")
        if recipe.steps == 7:
            raise KeyboardInterrupt
        trained.append(recipe.steps)

    def run(*words):
        return run_training(Recipe, train, words), *capsys.readouterr()

    monkeypatch.setattr("sys.argv", ["train.py"])
    (tmp_path / "recipe.yaml").write_text("steps: 4\n")
    (tmp_path / "misspelt.yaml").write_text("stebs: 4\n")
    assert run() == (0, "", "")
    assert run("--config", str(tmp_path / "recipe.yaml"))[0] == 0
    assert run("--config", str(tmp_path / "recipe.yaml"), "--steps", "5")[0] == 0
    assert trained == [3, 4, 5]
    assert run("--steps", "6", "--dry-run") == (0, "steps: 6\n", "")
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert "how many" in out
    for words in (("--stebs", "4"), ("--config", str(tmp_path / "misspelt.yaml"))):
        code, out, err = run(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.endswith("; did you mean steps?\n")
    assert run("--steps", "0") == (2, "", "train.py: error: expected a step, got none; train longer\n")
    assert run("--steps", "7") == (130, "", "train.py: error: interrupted; checkpoint-7 is complete\n")
    assert trained == [3, 4, 5]
