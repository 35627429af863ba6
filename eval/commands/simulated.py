"""`s2f-eval simulated`: drawn faces against the truth of simulated people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class SimulatedConfig:
    """Arguments of `s2f-eval simulated`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: simulated dataset folder with truth.csv; its people need no faces if `probes` is given.
        split: people to evaluate.
        probes: dataset folder with faces, for the probes and the variance of real features; DATA if not given.
        seconds: how much of each recording is heard.
        landmarks: starter, dlib, dlib-hog or a folder, for the drawn picture; decoder takes the points it drew to.
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


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, SimulatedConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.simulated.evaluate import evaluate
    from s2f.datasets import DatasetFolder
    from s2f.faces.landmarks import landmark_detector
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    config = typed(SimulatedConfig, arguments)
    detector = None if config.landmarks == "decoder" else landmark_detector(config.landmarks)
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint, config.device)
    probes = DatasetFolder(config.probes) if config.probes else None
    report = evaluate(pipeline, DatasetFolder(config.data), config.split, config.seconds, detector, probes)
    landmarks = {"landmarks": config.landmarks}
    rows = [
        replace(row, params={**row.params, **landmarks}) if row.metric.startswith(("pearson", "landmarks")) else row
        for row in report.rows
    ]
    return show(replace(report, rows=rows), config.json)
