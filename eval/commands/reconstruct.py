"""`s2f-eval reconstruct`: write the reconstructions folder that the other commands about faces read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class ReconstructConfig:
    """Arguments of `s2f-eval reconstruct`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: dataset folder.
        out: new folder for pictures and features; the same command resumes.
        split: people to draw.
        seconds: how much of the voices is heard, one or more lengths; pictures are drawn from the longest.
        people: a random choice of so many people; if not given, everybody.
        seed: of the choice.
        training: dataset folder whose training people make the controls; if not given, DATA.
        skip_bad: leave out people whose voice or picture cannot be used, and list them.
        device: cpu, cuda, cuda:1, mps.
    """

    checkpoint: str
    data: str
    out: str
    split: Literal["val", "test"] = "test"
    seconds: Sequence[float] = (3.0, 6.0)
    people: int | None = None
    seed: int = 0
    training: str | None = None
    skip_bad: bool = False
    device: str = "cpu"


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ReconstructConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Draw, and print what was drawn; 0 done."""
    from eval.reconstructions.write import write_reconstructions
    from s2f.datasets import DatasetFolder
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    config = typed(ReconstructConfig, arguments)
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint, config.device)
    about = write_reconstructions(
        pipeline,
        config.checkpoint,
        DatasetFolder(config.data),
        config.split,
        config.seconds,
        Path(config.out),
        training=DatasetFolder(config.training) if config.training else None,
        people=config.people,
        seed=config.seed,
        skip_bad=config.skip_bad,
    )
    heard = " and ".join(
        f"{value:g} s ({about['repeated'][f'{value:g}s']} shorter ones repeated)" for value in about["seconds"]
    )
    print(
        f"{config.out}: {about['people']} people heard for {heard}, {len(about['left_out'])} left out; controls from "
        f"{about['training_people']} training people, {len(about['training_left_out'])} left out"
    )
    return EXIT_OK
