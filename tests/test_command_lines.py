"""Every option of every command: in its dataclass, with a sentence, and with the default that the dataclass has."""

from dataclasses import MISSING, fields, is_dataclass

import pytest
from jsonargparse import ArgumentParser

from eval.cli import PROGRAM as EVALUATION
from s2f.cli import PROGRAM as S2F
from s2f.commands.program import sentences
from s2f.commands.weights import PROGRAM as WEIGHTS
from s2f.prepare.config import PrepareConfig
from s2f.reconstruction.fit_unexplained import UnexplainedConfig
from s2f.simulate.dataset.config import SimulateConfig

ELSEWHERE = {"simulate": SimulateConfig, "prepare": PrepareConfig, "fit-unexplained": UnexplainedConfig}
COMMANDS = [(program, name) for program in (S2F, WEIGHTS, EVALUATION) for name in program.commands if name != "weights"]
EXTRA = {"prepare": {"list"}}
OPTIONAL_BESIDE_LIST = {("prepare", name) for name in ("dataset", "root", "out")}


def config_of(module, command):
    """The dataclass that documents a command."""
    if command in ELSEWHERE:
        return ELSEWHERE[command]
    own = [value for value in vars(module).values() if is_dataclass(value) and value.__module__ == module.__name__]
    (config,) = (value for value in own if value.__name__.endswith("Config"))
    return config


@pytest.mark.parametrize(("program", "command"), COMMANDS, ids=[f"{program.name} {name}" for program, name in COMMANDS])
def test_every_option_is_documented_once_and_has_its_default(program, command, capsys):
    module, parser = program._module(command), ArgumentParser(exit_on_error=False)
    module.add_arguments(parser)
    options = {action.dest: action for action in parser._actions if action.dest not in ("help", "print_config")}
    config = config_of(module, command)
    about = sentences(config)
    assert set(options) - EXTRA.get(command, set()) == {field.name for field in fields(config)}
    for name in options:
        assert options[name].help.strip(), name
    for field in fields(config):
        option = options[field.name]
        assert about[field.name]
        assert option.help.startswith(about[field.name])
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if (command, field.name) in OPTIONAL_BESIDE_LIST:
            assert option.default == ""
        elif default is MISSING:
            assert option.required
        else:
            assert option.default == (list(default) if isinstance(default, tuple) else default)
            assert not option.required
    assert program.main([command, "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name, option in options.items():
        assert (f"--{name}" in printed) if option.option_strings else (f" {name.upper()}" in printed), name


@pytest.mark.parametrize("word", ["~", "null", "#x"])
def test_a_word_is_what_was_typed(word):
    parser = ArgumentParser(exit_on_error=False)
    WEIGHTS._module("push").add_arguments(parser)
    assert parser.parse_args(["CKPT", "--to_folder", word]).to_folder == word
    assert parser.parse_args(["CKPT"]).to_folder is None
