"""`s2f embed`: write the embeddings folder of a matching checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class EmbedConfig:
    """Arguments of `s2f embed`.

    Args:
        checkpoint: folder that train_matching.py wrote, `model` in its output_dir.
        data: dataset folder.
        out: new folder for the embeddings; the same command resumes.
        split: people to embed.
        skip_bad: leave out files that cannot be used, and list them.
        device: cpu, cuda, cuda:1, mps.
    """

    checkpoint: str
    data: str
    out: str
    split: Literal["train", "val", "test"] = "test"
    skip_bad: bool = False
    device: str = "cpu"


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, EmbedConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Embed and print what was embedded; 0 done."""
    from s2f.datasets import DatasetFolder
    from s2f.matching.embed import write_embeddings
    from s2f.matching.model import MatchingModel
    from s2f.runtime.devices import existing_device

    config = typed(EmbedConfig, arguments)
    checkpoint = Path(config.checkpoint)
    model = MatchingModel.from_pretrained(checkpoint).to(existing_device(config.device))
    about = write_embeddings(
        model, checkpoint, DatasetFolder(config.data), config.split, Path(config.out), config.skip_bad
    )
    left_out = sum(len(about[side]["left_out"]) for side in ("voice", "face"))
    print(
        f"{config.out}: {about['voice']['rows']} voices and {about['face']['rows']} faces, compared by "
        f"{about['metric']}; {left_out} unusable ones left out"
    )
    return EXIT_OK
