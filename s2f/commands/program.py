"""A program with commands: parsing, hints at misspelt options, one sentence about what went wrong, exit codes."""

from __future__ import annotations

import keyword
import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType

from jsonargparse import ArgumentParser

from s2f import __version__
from s2f.commands.options import EXIT_BAD_INPUT, EXIT_INTERRUPTED, complain, did_you_mean, unknown_option
from s2f.errors import AssetMissing, S2fError

OFFLINE = {"HF_HUB_OFFLINE": "1"}
QUIET_LIBRARIES = {"DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", **OFFLINE}


@dataclass(frozen=True)
class Program:
    """A program whose commands are modules, each with `add_arguments(parser)` and `run(arguments) -> exit code`.

    Attributes:
        name: what is typed.
        about: one sentence for its help.
        package: where the modules are, named like the commands (`import_` for a keyword of Python). Those of rooms
            above this one, which it may not import, are entry points of this name. A module may have a `PROGRAM` of
            its own instead, which then gets the words after the command.
        commands: one line about each command.
        online: commands that may use the network.
    """

    name: str
    about: str
    package: str
    commands: Mapping[str, str]
    online: Sequence[str] = ()

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run one command.

        Args:
            argv: arguments without the program name; None takes the process's own.

        Returns:
            0 done, 1 the answer is no, 2 bad input or usage, 130 interrupted.
        """
        words = [_underscored(word) for word in (sys.argv[1:] if argv is None else argv)]
        chosen = self._chosen(words)
        for name, value in QUIET_LIBRARIES.items():
            if chosen not in self.online or name not in OFFLINE:
                os.environ.setdefault(name, value)
        try:
            if chosen and (inner := getattr(self._module(chosen), "PROGRAM", None)):
                return inner.main(words[words.index(chosen) + 1 :])
            parser = self._parser(words)
            arguments = parser.parse_args(words)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return int(self._module(arguments.command).run(arguments[arguments.command]))
        except SystemExit as stop:  # --help, --version and --print_config end here
            return int(stop.code or 0)
        except ArgumentError as error:
            complain(f"{error}{self._nearest(str(error), words)}", self.name)
            return EXIT_BAD_INPUT
        except S2fError as error:
            complain(str(error), self.name)
            return EXIT_BAD_INPUT
        except KeyboardInterrupt:
            complain("interrupted", self.name)
            return EXIT_INTERRUPTED

    def _module(self, name: str) -> ModuleType:
        """Import the module of a command; some need slow imports."""
        module = f"{self.package}.{name}_" if keyword.iskeyword(name) else f"{self.package}.{name}"
        if find_spec(module) is not None:
            return import_module(module)
        plugged = entry_points(group=self.package, name=name)
        if not plugged:
            got = "an installation without it"
            raise AssetMissing(f"the command {self.name} {name}", got, "install s2f again: `pip install -e '.[all]'`")
        return next(iter(plugged)).load()

    def _parser(self, words: Sequence[str]) -> ArgumentParser:
        """Build the parser; only the chosen command's options are added, because some need slow imports."""
        parser = ArgumentParser(prog=self.name, description=self.about, version=__version__, exit_on_error=False)
        commands = parser.add_subcommands(dest="command", required=True)
        chosen = self._chosen(words)
        for name, about in self.commands.items():
            command = ArgumentParser(description=about, exit_on_error=False)
            if name == chosen:
                command.add_argument("--config", action="config", help="YAML file with any of these options")
                self._module(name).add_arguments(command)
            commands.add_subcommand(name, command, help=about)
        return parser

    def _nearest(self, message: str, words: Sequence[str]) -> str:
        """Say which option an unknown one, on the command line or in a file, was probably meant to be."""
        unknown = unknown_option(message)
        chosen = self._chosen(words)
        if not unknown or not chosen:
            return f"; `{self.name} --help` lists the commands, `{self.name} COMMAND --help` their options"
        command = ArgumentParser(exit_on_error=False)
        self._module(chosen).add_arguments(command)
        options = re.findall(r"--(\w+)", command.format_help())
        return "; " + (did_you_mean(unknown, options) or f"`{self.name} {chosen} --help` lists the options")

    def _chosen(self, words: Sequence[str]) -> str | None:
        """The command: the first word that names one."""
        return next((word for word in words if word in self.commands), None)


def _underscored(word: str) -> str:
    """Spell an option's name as its field: `--batch-size=4` becomes `--batch_size=4`."""
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if re.match(r"--\w", word) else word
