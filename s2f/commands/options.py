"""Command lines: exit codes, typed arguments, hints at misspelt options, and how a small command ends."""

from __future__ import annotations

import difflib
import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TypeVar

from jsonargparse import Namespace

from s2f.errors import S2fError, UsageError

EXIT_OK, EXIT_NO, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

Arguments = TypeVar("Arguments")
_UNKNOWN = re.compile(r"unrecognized arguments: --(\w+)|[Oo]ption '(\w+)' is not accepted|not accept option '(\w+)'")


def unknown_option(message: str) -> str | None:
    """Name of the unknown option in one of jsonargparse's messages, about command line or file; None for others."""
    found = _UNKNOWN.search(message)
    return next(name for name in found.groups() if name) if found else None


def did_you_mean(name: str | None, known: Iterable[str]) -> str:
    """`did you mean X?` for the nearest known name, or an empty text."""
    near = difflib.get_close_matches(name or "", list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def typed(kind: type[Arguments], arguments: Namespace) -> Arguments:
    """Arguments of a parser as the dataclass that documents them."""
    return kind(**{field.name: arguments[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def complain(message: str, program: str = "s2f") -> None:
    """Print one sentence about what went wrong, on standard error, under the program's name."""
    print(f"{program}: error: " + " ".join(message.split()), file=sys.stderr)


def answer(work: Callable[[], str]) -> int:
    """Do a small program's work and print what it returns, or one sentence about what went wrong.

    Args:
        work: parses the command line and does what it asks.

    Returns:
        0 done, 2 bad input or usage.
    """
    try:
        print(work())
    except SystemExit as stop:  # --help ends here
        return int(stop.code or EXIT_OK)
    except (ArgumentError, S2fError) as error:
        complain(str(error))
        return EXIT_BAD_INPUT
    return EXIT_OK


def check_names(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Refuse names that are not known.

    Args:
        given: names somebody wrote.
        known: names there are.
        kind: what they name, for the message.

    Raises:
        UsageError: the first unknown name, with the nearest known one.
    """
    known = list(known)
    for name in given:
        if name not in known:
            fix = did_you_mean(name, known) or f"choose from {', '.join(known)}"
            raise UsageError(f"a known {kind}", repr(name), fix)
