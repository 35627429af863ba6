"""`s2f weights card`: a checkpoint's model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class CardConfig:
    """Arguments of `s2f weights card`.

    Args:
        checkpoint: a checkpoint folder.
        license: identifier of the weights' licence, as apache-2.0 or other.
        run: folder of the training run.
        evaluation: files that an evaluation's `--json` printed.
        title: of the card; if not given, the folder's name.
    """

    checkpoint: str
    license: str
    run: str | None = None
    evaluation: Sequence[str] = ()
    title: str = ""


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, CardConfig, ("checkpoint",))


def run(arguments: Namespace) -> int:
    """Write README.md and SHA256SUMS; 0 done."""
    from s2f.checkpoints.model_card import CardFacts, write_card
    from s2f.weights.registry import load_networks

    config = typed(CardConfig, arguments)
    load_networks(Path(config.checkpoint))  # a card says nothing of networks that cannot be loaded
    facts = CardFacts(config.license, config.run, config.evaluation, config.title)
    print(write_card(config.checkpoint, facts))
    return EXIT_OK
