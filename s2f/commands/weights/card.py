"""`s2f weights card`: a checkpoint's model card."""

from __future__ import annotations

from dataclasses import dataclass, field

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, typed


@dataclass(frozen=True)
class CardConfig:
    """Arguments of `s2f weights card`.

    Attributes:
        checkpoint: a checkpoint folder.
        license: identifier of the weights' licence.
        run: folder of the training run.
        evaluation: files that an evaluation's `--json` printed.
        title: of the card.
    """

    checkpoint: str
    license: str
    run: str | None = None
    evaluation: list[str] = field(default_factory=list)
    title: str = ""


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a checkpoint folder")
    parser.add_argument("--license", required=True, metavar="ID", help="licence of the weights, as apache-2.0 or other")
    parser.add_argument("--run", metavar="DIR", help="folder of the training run")
    parser.add_argument("--evaluation", nargs="*", default=[], metavar="JSON", help="files an evaluation printed")
    parser.add_argument("--title", default="", help="title; the folder's name without")


def run(arguments: Namespace) -> int:
    """Write README.md and SHA256SUMS; 0 done."""
    from s2f.checkpoints.model_card import CardFacts, write_card

    config = typed(CardConfig, arguments)
    facts = CardFacts(config.license, config.run, config.evaluation, config.title)
    print(write_card(config.checkpoint, facts))
    return EXIT_OK
