"""`s2f-eval consistency`: agreement of predicted faces over segments, over clips, and with the length heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import new_folder, show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class ConsistencyConfig:
    """Arguments of `s2f-eval consistency`.

    Args:
        checkpoint: "starter" or a checkpoint folder.
        data: dataset folder.
        split: whose recordings are heard.
        voices: folder of original recordings, whose "dev" speakers are heard instead; DATA then only has the training
            faces, with which the predictions are compared.
        seconds: length of a segment.
        lengths: how much is heard of the same recordings, in seconds, one after the other.
        device: where to compute, for example cuda.
        plots: folder for the pictures, each as PNG and SVG.
        json: print one JSON object instead of the table.
    """

    checkpoint: str
    data: str
    split: Literal["val", "test"] = "test"
    voices: str | None = None
    seconds: float = 3.0
    lengths: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    device: str = "cpu"
    plots: str | None = None
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ConsistencyConfig, ("checkpoint", "data"))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from pathlib import Path

    from eval.consistency.evaluate import evaluate
    from eval.faces.recordings import reader_recordings, split_recordings
    from s2f.datasets import DatasetFolder
    from s2f.reconstruction.pipeline import Speech2FacePipeline

    config = typed(ConsistencyConfig, arguments)
    pipeline = Speech2FacePipeline.from_pretrained(config.checkpoint, config.device)
    data = DatasetFolder(config.data)
    if config.voices is None:
        recordings, notes = split_recordings(pipeline, data, config.split)
        params: dict[str, str] = {"split": config.split}
    else:
        recordings, notes = reader_recordings(config.voices), []
        params = {"split": "dev", "voices": Path(config.voices).name}
    report = evaluate(pipeline, data, recordings, config.seconds, config.lengths, params, notes)
    if config.plots is not None:
        from eval.consistency.plots import draw_consistency

        draw_consistency(report, new_folder(config.plots))
    return show(report, config.json)
