"""The `s2f-eval` command."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from s2f.errors import S2fError
from s2f.options import did_you_mean, unknown_option


@dataclass(frozen=True)
class DemographicsConfig:
    """Arguments of `s2f-eval demographics`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: simulated dataset folder.
        split: people to evaluate.
        seconds: how much of each recording is heard.
        faces: count faces with dlib's CNN detector (extra `dlib`).
        pictures: folder for the drawn faces.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    split: Literal["val", "test"] = "test"
    seconds: float = 6.0
    faces: bool = False
    pictures: str | None = None
    json: bool = False


def _demographics(config: DemographicsConfig) -> None:
    from eval.demographics import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.face_detection import FaceDetector
    from s2f.pipeline import Speech2FacePipeline

    detector = FaceDetector() if config.faces else None
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint)
    pictures = Path(config.pictures) if config.pictures else None
    report = evaluate(pipeline, DatasetFolder(config.data), config.split, config.seconds, detector, pictures)
    print(report.json() if config.json else report.table())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation.

    Args:
        argv: arguments without the program name; None takes the process's own.

    Returns:
        0 done, 2 bad input or usage.
    """
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    parser = ArgumentParser(prog="s2f-eval", description="Measure how far voice and face agree.", exit_on_error=False)
    commands = parser.add_subcommands(dest="command", required=True)
    command = ArgumentParser(description="gender of the drawn faces against the speakers'", exit_on_error=False)
    command.add_argument("checkpoint", help='"starter" or a checkpoint folder')
    command.add_argument("data", help="simulated dataset folder")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--faces", action="store_true", help="count faces with dlib's CNN detector (extra dlib)")
    command.add_class_arguments(DemographicsConfig, skip={"checkpoint", "data", "json", "faces"})
    commands.add_subcommand("demographics", command, help="gender agreement, shuffled control, one face per picture")
    try:
        arguments = parser.parse_args(argv)["demographics"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = [field.name for field in fields(DemographicsConfig)]
            _demographics(DemographicsConfig(**{name: arguments[name] for name in names}))
    except SystemExit as stop:  # --help ends here
        return int(stop.code or 0)
    except (ArgumentError, S2fError) as error:
        hint = did_you_mean(unknown_option(str(error)), (field.name for field in fields(DemographicsConfig)))
        print("; ".join(filter(None, ("s2f-eval: error: " + " ".join(str(error).split()), hint))), file=sys.stderr)
        return 2
    return 0
