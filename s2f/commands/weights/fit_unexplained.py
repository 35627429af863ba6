"""`s2f weights fit-unexplained`: add to a pipeline what its voices leave open."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    from s2f.reconstruction.fit_unexplained import UnexplainedConfig

    add_options(parser, UnexplainedConfig, ("pipeline", "data"))


def run(arguments: Namespace) -> int:
    """Fit, write the part into the folder and print the shares explained; 0 done."""
    from s2f.reconstruction.fit_unexplained import UnexplainedConfig, add_unexplained

    print(add_unexplained(typed(UnexplainedConfig, arguments)))
    return EXIT_OK
