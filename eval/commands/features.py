"""`s2f-eval features`: predicted against true face features, and retrieval by them."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed
from s2f.errors import UsageError


@dataclass(frozen=True)
class FeaturesConfig:
    """Arguments of `s2f-eval features`.

    Args:
        reconstructions: reconstructions folder, written by `s2f-eval reconstruct` (docs/contracts.md).
        truth: simulated dataset folder that was reconstructed; adds what the ideal observer finds.
        seed: of the deal of voices to other speakers.
        control: also evaluate shuffled voices, one mean face for everybody and the nearest training face.
        json: print one JSON object instead of the table.
    """

    reconstructions: str
    truth: str | None = None
    seed: int = 0
    control: bool = True
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, FeaturesConfig, ("reconstructions",))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.reconstructions.features import evaluate
    from eval.reconstructions.folder import read_reconstructions
    from s2f.datasets import DatasetFolder

    config = typed(FeaturesConfig, arguments)
    if config.seed < 0:
        raise UsageError("a seed of 0 or more", str(config.seed), "give another")
    truth = DatasetFolder(config.truth) if config.truth is not None else None
    report = evaluate(read_reconstructions(config.reconstructions), truth, config.seed, config.control)
    return show(report, config.json)
