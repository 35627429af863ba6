"""The `s2f-eval` command."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from eval.results import Report
from s2f.options import answer


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


@dataclass(frozen=True)
class SimulatedConfig:
    """Arguments of `s2f-eval simulated`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: simulated dataset folder with truth.csv; its people need no faces if `probes` is given.
        split: people to evaluate.
        probes: dataset folder with faces, for the probes and the variance of real features; DATA if not given.
        seconds: how much of each recording is heard.
        landmarks: starter, dlib or a folder, to look at the drawn picture; decoder takes the points it drew to.
        device: where the networks run: cpu, cuda, cuda:1, mps.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    split: Literal["val", "test"] = "test"
    probes: str | None = None
    seconds: float = 6.0
    landmarks: str = "starter"
    device: str = "cpu"
    json: bool = False


def _demographics(config: DemographicsConfig) -> str:
    from eval.demographics import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.face_detection import FaceDetector
    from s2f.pipeline import Speech2FacePipeline

    detector = FaceDetector() if config.faces else None
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint)
    pictures = Path(config.pictures) if config.pictures else None
    data = DatasetFolder(config.data)
    report = evaluate(
        pipeline, data, config.split, config.seconds, detector, pictures, config.conditions, config.voices
    )
    return report.json() if config.json else report.table()


def _simulated(config: SimulatedConfig) -> str:
    from eval.simulated import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.faces import landmark_detector
    from s2f.pipeline import Speech2FacePipeline

    detector = None if config.landmarks == "decoder" else landmark_detector(config.landmarks)
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint, config.device)
    probes = DatasetFolder(config.probes) if config.probes else None
    report = evaluate(pipeline, DatasetFolder(config.data), config.split, config.seconds, detector, probes)
    landmarks = {"landmarks": config.landmarks}
    rows = [
        replace(row, params={**row.params, **landmarks}) if row.metric.startswith(("pearson", "landmarks")) else row
        for row in report.rows
    ]
    report = replace(report, rows=rows)
    return report.json() if config.json else _short_table(report)


def _short_table(report: Report) -> str:
    """Table of a report whose settings, the same in every row that has them, are said once above it."""
    settings = {name: row.params[name] for row in report.rows for name in SETTINGS if name in row.params}
    rows = [replace(row, params={k: v for k, v in row.params.items() if k not in SETTINGS}) for row in report.rows]
    said = ", ".join(f"{name}={value}" for name, value in settings.items())
    return f"settings {said}\n{replace(report, rows=rows).table()}"


@dataclass(frozen=True)
class _Command:
    config: type
    run: Callable[[Any], str]
    help: str
    flags: dict[str, str]


SETTINGS = ("seconds", "split", "landmarks")
DATA_HELP = "dataset folder"
COMMANDS = {
    "demographics": _Command(
        DemographicsConfig,
        _demographics,
        "gender agreement, shuffled control, adults shown as children, one face per picture",
        {
            "faces": "count faces with dlib's CNN detector (extra dlib)",
            "conditions": "also hear the recordings degraded: noise, telephone, reverberation, louder, quieter",
        },
    ),
    "simulated": _Command(
        SimulatedConfig,
        _simulated,
        "age class, gender and craniofacial measures of drawn faces against the truth of simulated people",
        {},
    ),
}


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="s2f-eval", description="Measure how far voice and face agree.", exit_on_error=False)
    subcommands = parser.add_subcommands(dest="command", required=True)
    for name, command in COMMANDS.items():
        one = ArgumentParser(description=command.help, exit_on_error=False)
        one.add_argument("checkpoint", help='"starter" or a checkpoint folder')
        one.add_argument("data", help=DATA_HELP)
        flags = command.flags | {"json": "print one JSON object"}
        for flag, text in flags.items():
            one.add_argument(f"--{flag}", action="store_true", help=text)
        one.add_class_arguments(command.config, skip={"checkpoint", "data", *flags})
        subcommands.add_subcommand(name, one, help=command.help)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation.

    Args:
        argv: arguments without the program name; None takes the process's own.

    Returns:
        0 done, 2 bad input or usage.
    """
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    words = sys.argv[1:] if argv is None else argv
    chosen = [COMMANDS[word] for word in words[:1] if word in COMMANDS] or list(COMMANDS.values())
    names = [field.name for command in chosen for field in fields(command.config)]

    def work() -> str:
        parsed = _parser().parse_args(words)
        command, arguments = COMMANDS[parsed["command"]], parsed[parsed["command"]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(command.run(command.config(**{name: arguments[name] for name in names})))

    return answer(work, "s2f-eval", names)
