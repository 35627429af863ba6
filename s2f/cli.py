"""The `s2f` command."""

import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from jsonargparse import ArgumentParser

from s2f import __version__
from s2f.errors import S2fError
from s2f.options import EXIT_BAD_INPUT, EXIT_INTERRUPTED, complain, did_you_mean, unknown_option

QUIET_LIBRARIES = {"DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
COMMANDS = {
    "reconstruct": "draw the average-looking face linked with a voice",
    "doctor": "say what works here and what is missing",
    "simulate": "make a dataset of synthetic people with real voices",
    "prepare": "make a dataset folder from VoxCeleb, AVSpeech, your own films and others",
    "data": "check a dataset folder: is it complete, is it honest",
    "embed": "write the embeddings folder of a matching checkpoint",
    "shards": "pack a dataset's voices and face features into tar files",
}


def command_module(name: str) -> ModuleType:
    """Import the module of a command; some need slow imports."""
    return import_module(f"s2f.commands.{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program name; None takes the process's own.

    Returns:
        0 done, 1 the answer is no, 2 bad input or usage, 130 interrupted.
    """
    words = [_underscored(word) for word in (sys.argv[1:] if argv is None else argv)]
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    try:
        parser = _parser(words)
        arguments = parser.parse_args(words)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(command_module(arguments.command).run(arguments[arguments.command]))
    except SystemExit as stop:  # --help, --version and --print_config end here
        return int(stop.code or 0)
    except ArgumentError as error:
        complain(f"{error}{_nearest(str(error), words)}")
        return EXIT_BAD_INPUT
    except S2fError as error:
        complain(str(error))
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_INTERRUPTED


def _parser(words: Sequence[str]) -> ArgumentParser:
    """Build the parser; only the chosen command's options are added, because some need slow imports."""
    parser = ArgumentParser(
        prog="s2f", description="Hear a voice, see a face.", version=__version__, exit_on_error=False
    )
    commands = parser.add_subcommands(dest="command", required=True)
    chosen = _chosen(words)
    for name, about in COMMANDS.items():
        command = ArgumentParser(description=about, exit_on_error=False)
        if name == chosen:
            command.add_argument("--config", action="config", help="YAML file with any of these options")
            command_module(name).add_arguments(command)
        commands.add_subcommand(name, command, help=about)
    return parser


def _nearest(message: str, words: Sequence[str]) -> str:
    """Say which option an unknown one, on the command line or in a file, was probably meant to be."""
    unknown = unknown_option(message)
    chosen = _chosen(words)
    if not unknown or not chosen:
        return "; `s2f --help` lists the commands, `s2f COMMAND --help` their options"
    command = ArgumentParser(exit_on_error=False)
    command_module(chosen).add_arguments(command)
    options = re.findall(r"--(\w+)", command.format_help())
    return "; " + (did_you_mean(unknown, options) or f"`s2f {chosen} --help` lists the options")


def _chosen(words: Sequence[str]) -> str | None:
    """The command: the first word that names one."""
    return next((word for word in words if word in COMMANDS), None)


def _underscored(word: str) -> str:
    """Spell an option's name as its field: `--batch-size=4` becomes `--batch_size=4`."""
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if re.match(r"--\w", word) else word
