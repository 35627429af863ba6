"""`s2f data check`: is a dataset folder complete, is it honest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_NO, EXIT_OK, add_options, typed


@dataclass(frozen=True)
class DataConfig:
    """Arguments of `s2f data`.

    Args:
        action: what to do: "check".
        folder: dataset folder, or a folder of feature shards.
        json: print one JSON object instead of the table.
    """

    action: Literal["check"]
    folder: str
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DataConfig, ("action", "folder"))


def run(arguments: Namespace) -> int:
    """Print the findings; 0 the folder is usable, 1 it is not."""
    from s2f.dataset_check.folder import check

    config = typed(DataConfig, arguments)
    findings = check(Path(config.folder))
    print(findings.json() if config.json else findings.table())
    return EXIT_OK if findings.usable else EXIT_NO
