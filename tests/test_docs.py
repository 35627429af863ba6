"""Every command that the documents print is understood: programs, options, recipes, files and modules exist.

What a document prints goes through the real parsers; nothing is done. `tests/test_docs_run.py` runs what takes seconds.
"""

import argparse
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import import_module

import pytest

from tests import CHECKOUT
from tests.documented import DOCUMENTS, INLINE, commands_in, line_of, printed, read, relative, snippets
from tests.documented_checks import FAULTS, PROGRAMS, TO_GIVE, check, commands_of, stands_in_a_document
from tests.documented_scripts import started_by


def command_modules() -> list[str]:
    paths = [*(CHECKOUT / "s2f" / "commands").rglob("*.py"), *(CHECKOUT / "eval" / "commands").glob("*.py")]
    return [re.sub(r"(/__init__)?\.py$", "", relative(path)).replace("/", ".") for path in paths] + ["demos.command"]


@pytest.fixture(autouse=True)
def _nothing_is_done(monkeypatch):
    """Commands end as soon as their arguments are those that they take; paths are those of the checkout."""

    def stop(kind, arguments):
        kind(**{field.name: arguments[field.name] for field in fields(kind)})
        raise SystemExit(0)

    for module in map(import_module, command_modules()):
        if hasattr(module, "add_arguments"):
            name, instead = ("typed", stop) if hasattr(module, "typed") else ("run", lambda arguments: 0)
            monkeypatch.setattr(module, name, instead)
    monkeypatch.chdir(CHECKOUT)


@pytest.fixture
def said(capsys):
    """Function that runs something with words; returns exit code 0's output, or raises with what a user would read."""

    def said(run: Callable[[list[str]], int | None], words: Sequence[str]) -> str:
        try:
            code = run(list(words)) or 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        if code != 0:
            raise ValueError(captured.err.strip() or f"exit code {code}")
        return captured.out

    return said


@pytest.fixture
def script(monkeypatch, said):
    """Function that runs a Python file in this process, as its command line would, up to the end of argparse's work."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *given):
        parse(parser, *given)
        raise SystemExit(0)

    def script(path: str, words: Sequence[str]) -> str:
        monkeypatch.setattr(sys, "argv", [path, *words])
        monkeypatch.syspath_prepend(str((CHECKOUT / path).parent))
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        try:
            return said(lambda words: runpy.run_path(path, run_name="__main__") and None, words)
        finally:
            monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)

    return script


@pytest.mark.parametrize(
    ("programs", "at_least"),
    [("s2f", 60), ("s2f-eval", 40), (r"train_\w+\.py|accelerate|torchrun", 20), ("python3?", 30), ("pytest|bash", 5)],
)
def test_printed_commands_are_understood(programs, at_least, said, script):
    found = [command for command in printed() if re.fullmatch(programs, command.words[0])]
    assert len(found) >= at_least
    faults = []
    for command in found:
        try:
            check(command, said, script)
        except FAULTS as fault:
            # a message may name the beginning of a command
            if stands_in_a_document(command) or "required" not in str(fault):
                faults.append(f"{', '.join(printed()[command])}: {command}: {fault}")
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "line",
    [
        "s2f reconstrukt CLIP -o OUT",
        "s2f reconstruct CLIP --outfile OUT",
        "s2f weights verifi starter",
        "s2f shards DATA OUT",
        "s2f-eval matching DIR --by U",
        "s2f-eval probes starter DATA",
        "accelerate launch --num_procs 2 train_s2f.py --config s2f/recipes/starter_s2f.yaml --data DIR",
        "accelerate launch train_s2f.py --config s2f/recipes/gone.yaml --data DIR",
        "accelerate launch train_s2f.py --config s2f/recipes/speech2face.yaml --data DIR",
        "torchrun --nproc_per_node 2 -m s2f prepair voxceleb1 ROOT OUT",
        "train_gone.py",
        "python benchmarks/train_step.py --sizes starter",
        "python benchmarks/demo_page.py URL",
        "python benchmarks/gone.py",
        "python -m s2f.unexplained CKPT DATA",
        "pytest tests/gone",
        "pytest -m slwo",
        "bash checkpoints/train_starter.sh VOICES",
    ],
)
def test_rules_bite(line, said, script):
    (command,) = commands_in(line, True)
    with pytest.raises(FAULTS):
        check(command, said, script)


@pytest.mark.parametrize(
    ("path", "words", "at_least"),
    [
        ("checkpoints/train_starter.sh", ["VOICES", "MAKEHUMAN", "MAKEHUMAN_ASSETS"], 13),
        ("demos/simulated_people/make.sh", ["VOICES", "MAKEHUMAN", "MAKEHUMAN_ASSETS", "OUT"], 1),
    ],
)
def test_scripts_start_commands_that_are_understood(path, words, at_least, tmp_path, said, script):
    (tmp_path / "VOICES" / "flac").mkdir(parents=True)
    (tmp_path / "VOICES" / "speakers.csv").write_text("speaker,gender,split,path\na,f,train,flac/a.flac\n")
    commands = started_by(path, words, tmp_path)
    assert len(commands) >= at_least
    for command in commands:
        check(command, said, script)


def test_options_of_running_text_exist(said, monkeypatch):
    known = {word for path in (CHECKOUT / "benchmarks").glob("*.py") for word in read(path).split('"')}
    helps = [said(program.main, [*words, "--help"]) for program in PROGRAMS.values() for words in commands_of(program)]
    monkeypatch.setattr(sys, "argv", ["train", "--help"])
    helps += [said(lambda words: runpy.run_path(words[0], run_name="__main__"), [script]) for script in TO_GIVE]
    known |= {option for text in helps for option in re.findall(r"--[\w.]+(?:-run)?", text)}
    faults = []
    for path in DOCUMENTS:
        for code in INLINE.finditer(read(path)):
            for option in re.findall(r"(?:^| )(--\w[\w.-]*)", code[1] if code[1].startswith("--") else ""):
                if option not in known:
                    faults.append(f"{relative(path)}:{line_of(read(path), code.start())}: {option}")
    assert not faults, "\n" + "\n".join(faults)


def test_blocks_of_other_languages_are_read():
    for snippet in snippets():
        if snippet.language == "json":
            json.loads(snippet.text)
        elif snippet.language == "bash":
            done = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True)
            assert done.returncode == 0, f"{snippet.place}: {done.stderr}"
