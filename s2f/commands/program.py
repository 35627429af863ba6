"""Command lines: programs with commands, typed options, hints at misspelt ones, errors and exit codes."""

from __future__ import annotations

import inspect
import keyword
import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from docstring_parser import parse
from jsonargparse import ArgumentParser, Namespace

from s2f.errors import AssetMissing, S2fError, did_you_mean
from s2f.version import __version__

EXIT_OK, EXIT_NO, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
OFFLINE = {"HF_HUB_OFFLINE": "1"}
QUIET_LIBRARIES = {"DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", **OFFLINE}

Arguments = TypeVar("Arguments")
_UNKNOWN = re.compile(r"unrecognized arguments: --(\w+)|[Oo]ption '(\w+)' is not accepted|not accept option '(\w+)'")


def unknown_option(message: str) -> str | None:
    """Name of the unknown option in one of jsonargparse's messages, about command line or file; None for others."""
    found = _UNKNOWN.search(message)
    return next(name for name in found.groups() if name) if found else None


def typed(kind: type[Arguments], arguments: Namespace) -> Arguments:
    """Arguments of a parser as the dataclass that documents them."""
    return kind(**{field.name: arguments[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def sentences(config: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of its bases say about each field."""
    documented = (entry for base in config.__mro__[::-1] for entry in parse(base.__doc__ or "").params)
    return {entry.arg_name: entry.description or "" for entry in documented}


def add_options(
    parser: ArgumentParser,
    config: type,
    places: Collection[str] = (),
    choices: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Add the fields of a command's dataclass, described by its docstring and those of its bases.

    Args:
        parser: of the command.
        config: dataclass. A field without a default must be given. A switch that is off unless asked for becomes a flag
            without a value, a sequence takes several words, and `out` has the short name `-o`.
        places: fields that are given by place, in the order of the dataclass.
        choices: the words that a field may be, and what each means, where its type does not say so.
    """
    about, types = sentences(config), get_type_hints(config)
    for field in fields(config):
        name, kind = field.name, types[field.name]
        if kind == (str | None):
            kind = str  # as typed: jsonargparse would read ~ and null as nothing
        default: Any = field.default if field.default_factory is MISSING else field.default_factory()
        needed = default is MISSING
        given: dict[str, Any] = {"help": about[name]} | ({} if needed else {"default": default})
        if default is False:
            given |= {"action": "store_true"}
        elif name in choices:
            meanings = "; ".join(f"{word}: {meaning}" for word, meaning in choices[name].items())
            given |= {"choices": list(choices[name]), "help": f"{about[name]} {meanings}"}
        elif get_origin(kind) is Sequence:
            given |= {"nargs": "+", "type": get_args(kind)[0]} | ({} if needed else {"default": list(default)})
        elif get_origin(kind) is Literal:
            given |= {"choices": list(get_args(kind))}
        else:
            given |= {"type": kind}
        if name in places:
            parser.add_argument(name, metavar=name.upper(), **given | ({} if needed else {"nargs": "?"}))
        else:
            names = ("-o", "--out") if name == "out" else (f"--{name}",)
            parser.add_argument(*names, required=needed, **given)


def complain(message: str, program: str = "s2f") -> None:
    """Print one sentence about what went wrong, on standard error, under the program's name."""
    print(f"{program}: error: " + " ".join(message.split()), file=sys.stderr)


def exit_code(
    work: Callable[[], int],
    program: str,
    hint: Callable[[str], str],
    when_interrupted: Callable[[], str] = lambda: "",
) -> int:
    """Do a program's work; what goes wrong becomes one sentence on standard error and an exit code.

    Args:
        work: parses and does what is asked; returns its exit code.
        program: what is typed.
        hint: takes the message about a wrong command line to a clause that helps, or to an empty text.
        when_interrupted: a clause that says how to go on after an interruption.

    Returns:
        What `work` returns, 2 for bad input or usage, 130 when interrupted.
    """
    try:
        return work()
    except SystemExit as stop:  # --help, --version and --print_config end here
        return int(stop.code or EXIT_OK)
    except ArgumentError as error:
        code, said = EXIT_BAD_INPUT, (str(error), hint(str(error)))
    except S2fError as error:
        code, said = EXIT_BAD_INPUT, (str(error), "")
    except KeyboardInterrupt:
        code, said = EXIT_INTERRUPTED, ("interrupted", when_interrupted())
    complain("; ".join(filter(None, said)), program)
    return code


@dataclass(frozen=True)
class Program:
    """A program whose commands are modules, each with `add_arguments(parser)` and `run(arguments) -> exit code`.

    Attributes:
        name: what is typed.
        about: one sentence for its help.
        package: where the modules are, named like the commands (`_` for `-`, `import_` for a keyword of Python). Those
            of rooms above this one, which it may not import, are entry points of this name. A module may have a
            `PROGRAM` of its own instead, which then gets the words after the command.
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
        chosen = next((word for word in words if word in self.commands), None)
        for name, value in QUIET_LIBRARIES.items():
            if chosen not in self.online or name not in OFFLINE:
                os.environ.setdefault(name, value)
        return exit_code(lambda: self._run(words, chosen), self.name, lambda message: self._nearest(message, chosen))

    def _run(self, words: Sequence[str], chosen: str | None) -> int:
        if chosen and (inner := getattr(self._module(chosen), "PROGRAM", None)):
            return int(inner.main(words[words.index(chosen) + 1 :]))
        arguments = self._parser(chosen).parse_args(words)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(self._module(arguments.command).run(arguments[arguments.command]))

    def _module(self, name: str) -> ModuleType:
        """Import the module of a command; some need slow imports."""
        word = name.replace("-", "_")
        module = f"{self.package}.{word}_" if keyword.iskeyword(word) else f"{self.package}.{word}"
        if find_spec(module) is not None:
            return import_module(module)
        plugged = entry_points(group=self.package, name=name)
        if not plugged:
            got = "an installation without it"
            raise AssetMissing(f"the command {self.name} {name}", got, "install s2f again: `pip install -e '.[all]'`")
        return next(iter(plugged)).load()

    def _parser(self, chosen: str | None) -> ArgumentParser:
        """Build the parser; only the chosen command's options are added, because some need slow imports."""
        parser = ArgumentParser(prog=self.name, description=self.about, version=__version__, exit_on_error=False)
        commands = parser.add_subcommands(dest="command", required=True)
        for name, about in self.commands.items():
            command = self._command(name) if name == chosen else ArgumentParser(exit_on_error=False)
            commands.add_subcommand(name, command, help=about)
        return parser

    def _command(self, name: str) -> ArgumentParser:
        command = ArgumentParser(description=self.commands[name], exit_on_error=False)
        command.add_argument("--config", action="config", help="YAML file with any of these options")
        self._module(name).add_arguments(command)
        return command

    def _nearest(self, message: str, chosen: str | None) -> str:
        """Say which option an unknown one, on the command line or in a file, was probably meant to be."""
        unknown = unknown_option(message)
        if not unknown or not chosen:
            return f"`{self.name} --help` lists the commands, `{self.name} COMMAND --help` their options"
        options = re.findall(r"--(\w+)", self._command(chosen).format_help())
        return did_you_mean(unknown, options) or f"`{self.name} {chosen} --help` lists the options"


def _underscored(word: str) -> str:
    """Spell an option's name as its field: `--batch-size=4` becomes `--batch_size=4`."""
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if re.match(r"--\w", word) else word


class Recipe(Protocol):
    """Arguments of a training command, which know what is safe when it is interrupted."""

    def what_is_safe(self) -> str:
        """A clause that says from which checkpoint an interrupted run goes on."""


Recipes = TypeVar("Recipes", bound=Recipe)


def run_training(
    arguments_class: type[Recipes], train: Callable[[Recipes], None], argv: Sequence[str] | None = None
) -> int:
    """Parse flags and a `--config` file, then train; the body of every `train_*.py`.

    The command line beats the file, an unknown key is an error, and `--dry-run` prints the resolved tree. Recipes are
    for files first, so that jsonargparse reads them as they are: a switch takes true or false here.

    Args:
        arguments_class: dataclass of the recipe.
        train: called with the parsed arguments.
        argv: command line without the program name; None takes the process's.

    Returns:
        Exit code: 0 done, 2 bad input, 130 interrupted.
    """
    parser = ArgumentParser(description=inspect.getdoc(arguments_class), exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML recipe, see s2f/recipes")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved recipe and stop")
    parser.add_class_arguments(arguments_class, None)
    given: list[Recipes] = []

    def work() -> int:
        parsed = parser.parse_args(argv)
        if parsed.pop("dry_run"):
            print(parser.dump(parsed, skip_unset=False), end="")
            return EXIT_OK
        values = {name: value for name, value in parsed.as_dict().items() if name != "config"}
        given.append(arguments_class(**values))
        train(given[0])
        return EXIT_OK

    def hint(message: str) -> str:
        return did_you_mean(unknown_option(message), inspect.signature(arguments_class).parameters)

    return exit_code(work, parser.prog, hint, lambda: given[0].what_is_safe() if given else "")
