"""`s2f-eval demographics`: gender of drawn faces against the speakers'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import add_checkpoint_and_data, add_options, show
from s2f.options import typed


@dataclass(frozen=True)
class DemographicsConfig:
    """Arguments of `s2f-eval demographics`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: dataset folder with the genders of its people.
        split: people to evaluate.
        seconds: how much of each recording is heard.
        faces: count faces with dlib's CNN detector (extra `dlib`).
        conditions: repeat the gender agreement with noise, telephone, reverberation, louder and quieter.
        voices: folder of original recordings, whose "dev" speakers are heard instead; DATA then only fits the probes.
        pictures: folder for the drawn faces.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    split: Literal["val", "test"] = "test"
    seconds: float = 6.0
    faces: bool = False
    conditions: bool = False
    voices: str | None = None
    pictures: str | None = None
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_checkpoint_and_data(parser)
    add_options(parser, DemographicsConfig, {"checkpoint", "data"})


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.demographics import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.face_detection import FaceDetector
    from s2f.pipeline import Speech2FacePipeline

    config = typed(DemographicsConfig, arguments)
    detector = FaceDetector() if config.faces else None
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint)
    pictures = Path(config.pictures) if config.pictures else None
    data = DatasetFolder(config.data)
    report = evaluate(
        pipeline, data, config.split, config.seconds, detector, pictures, config.conditions, config.voices
    )
    return show(report, config.json)
