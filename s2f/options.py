"""Misspelt options: which one a parser complains about, and which one was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from s2f.errors import UsageError

_UNKNOWN = re.compile(r"unrecognized arguments: --(\w+)|[Oo]ption '(\w+)' is not accepted|not accept option '(\w+)'")


def unknown_option(message: str) -> str | None:
    """Name of the unknown option in one of jsonargparse's messages, about command line or file; None for others."""
    found = _UNKNOWN.search(message)
    return next(name for name in found.groups() if name) if found else None


def did_you_mean(name: str | None, known: Iterable[str]) -> str:
    """`did you mean X?` for the nearest known name, or an empty text."""
    near = difflib.get_close_matches(name or "", list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


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
