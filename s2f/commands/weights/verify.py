"""`s2f weights verify`: is a checkpoint folder whole."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_NO, EXIT_OK, add_options, typed


@dataclass(frozen=True)
class VerifyConfig:
    """Arguments of `s2f weights verify`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, VerifyConfig, ("checkpoint",))


def run(arguments: Namespace) -> int:
    """Print the findings; 0 the folder is whole, 1 it is not."""
    from s2f.checkpoints.loading import packaged
    from s2f.weights.verify import verify

    config = typed(VerifyConfig, arguments)
    found = verify(packaged().get(config.checkpoint, config.checkpoint))
    print(found.json() if config.json else found.table())
    return EXIT_OK if found.ok else EXIT_NO
