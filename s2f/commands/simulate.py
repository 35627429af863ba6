"""`s2f simulate`: make a dataset of synthetic people with voices made from real ones."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    from s2f.simulate.dataset.config import SimulateConfig

    add_options(parser, SimulateConfig, ("out",))


def run(arguments: Namespace) -> int:
    """Simulate and print what an ideal observer reaches; 0 done."""
    from s2f.simulate.dataset.config import SimulateConfig
    from s2f.simulate.dataset.run import simulate
    from s2f.simulate.dataset.truth import calibration

    print(calibration(simulate(typed(SimulateConfig, arguments))))
    return EXIT_OK
