"""`s2f doctor`: say what works here and what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_NO, EXIT_OK, add_options, typed


@dataclass(frozen=True)
class DoctorConfig:
    """Arguments of `s2f doctor`.

    Args:
        json: print one JSON object instead of the table.
    """

    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DoctorConfig)


def run(arguments: Namespace) -> int:
    """Print the report; 0 the core works, 1 it does not."""
    from s2f.commands import machine

    found = machine.report()
    print(json.dumps(found, indent=2) if typed(DoctorConfig, arguments).json else machine.table(found))
    return EXIT_OK if found["ok"] else EXIT_NO
